"""The fine-tuning loop: from classifiers and labelled token ids to the weights that validate best."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from outshine.data.task import Task
from outshine.engine.errors import TrainingError
from outshine.engine.runtime import Runtime
from outshine.engine.threads import MallocTrimmer
from outshine.learn.batches import (
    LabelledRows,
    LogOdds,
    check_finite,
    effective_batch,
    num_parallel_batches,
    passes,
    predict_together,
    training_limits,
)
from outshine.learn.checkpoint import RunState, Update, restore, save
from outshine.learn.classifier import Classifier, Model
from outshine.learn.distributed import (
    BatchOfProcess,
    check_same_checkpoint,
    processes_of,
    sum_gradients,
    sum_over_processes,
)
from outshine.learn.losses import Loss, RunningLoss
from outshine.learn.out_of_memory import Budgets
from outshine.learn.settings import TrainingSettings, learning_rate_factor, num_updates

Score = Callable[[np.ndarray], float]
_TIDY_SECONDS = 5.0  # at least, from one return of freed memory to the system to the next


class Validation(NamedTuple):
    """Validation rows and the score of log-odds on them; `score` None: validation cannot choose."""

    tokens: list[list[int]]
    score: Score | None


class TrainConfig(NamedTuple):
    """What a run's result depends on besides the classifier and the rows."""

    loss: Loss
    settings: TrainingSettings
    learning_rate: float  # at the peak of the schedule
    seed: int  # of the batch order


class RunEnv(NamedTuple):
    """Where and how a run is computed: nothing here changes its result by more than rounding."""

    runtime: Runtime
    pad_id: int  # masked out everywhere
    checkpoint: Path  # where it exists the run goes on from there to the same bits
    advance: Callable[[int, int], None] = lambda done, total: None  # told examples done, and of how many
    watch: Callable[[int], object] = lambda updates: None  # told the updates made, where validation is due
    note: Callable[[str], object] = lambda message: None  # told what a user should know

    @property
    def budgets(self) -> Path:
        """The file of the budgets that were found to fit into memory."""
        return self.checkpoint.with_name("budgets.json")


class TrainResult(NamedTuple):
    """What a run leaves: the classifier carries the chosen weights."""

    curve: list[Update]
    chosen_step: int  # updates made when the chosen weights were taken


class TrainJob(NamedTuple):
    """What one member of a cohort learns: its training rows, its validation and how it is trained."""

    train: LabelledRows
    val: Validation
    run: TrainConfig


def finetune(
    classifier: Classifier, train: LabelledRows, val: Validation, run: TrainConfig, run_env: RunEnv
) -> TrainResult:
    """Train for all epochs, validate on the way, leave the chosen weights in the classifier.

    Raises TrainingError where the loss, the gradient or a validation prediction is not finite.
    """
    (result,) = finetune_together(classifier, [TrainJob(train, val, run)], run_env)
    if isinstance(result, TrainingError):
        raise result
    return result


def finetune_together(model: Model, jobs: Sequence[TrainJob], run_env: RunEnv) -> list[TrainResult | TrainingError]:
    """Train the members of a cohort in the same passes over the same texts, each as if it were alone.

    Members have the same texts in the same order, batch sizes, epochs and validation steps; labels, losses, learning
    rates and the rest are each one's own. A member whose loss, gradient or validation prediction is not finite
    gets the error in place of its result, and the others go on.
    """
    runtime, settings, num_rows = run_env.runtime, jobs[0].run.settings, len(jobs[0].train.ids)
    total = num_updates(num_rows, settings.batch_size, settings.epochs)
    states = [_start(job, own, total) for job, own in zip(jobs, model.optimized(), strict=True)]
    processes = processes_of(model)
    made = check_same_checkpoint(restore(states, run_env.checkpoint, run_env.note), processes)
    budgets = _budgets(model, run_env)
    saved_at, heap = time.monotonic(), MallocTrimmer(_TIDY_SECONDS)
    orders: dict[int, list[int]] = {}

    for step in range(made, total):
        outcomes = _gradients_of_batch(model, jobs, states, budgets, orders, step, run_env.pad_id)
        updates = [
            _optimizer_step(state, job.run, model.task, outcome, step, total)
            for state, job, outcome in zip(states, jobs, outcomes, strict=True)
        ]
        _clear_gradients(model)

        # validation, on val alone
        last = step + 1 == total
        scores = [math.nan] * len(states)
        if last or (step + 1) % settings.eval_every == 0:
            scores = _validate(model, states, jobs, run_env, step)
            run_env.watch(step + 1)
            heap.tidy()
        _record(states, updates, scores)

        if all(state.error for state in states):
            break
        if not last and processes.is_main and time.monotonic() - saved_at >= runtime.checkpoint_seconds:
            save(states, step + 1, run_env.checkpoint)
            saved_at = time.monotonic()
        run_env.advance(_examples(step + 1, num_rows, settings.batch_size), settings.epochs * num_rows)
    return [TrainingError(state.error) if state.error else TrainResult(state.curve, state.choose()) for state in states]


def _start(job: TrainJob, parameters: dict[str, torch.nn.Parameter], total: int) -> RunState:
    """Return a member before its first update."""
    settings = job.run.settings
    optimizer = torch.optim.AdamW(
        parameters.values(),
        lr=job.run.learning_rate,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
        # the same numbers: a CPU's default goes through the parameters one by one
        **({"fused": True} if next(iter(parameters.values())).is_cuda else {"foreach": True}),
    )
    loss = job.run.loss.start(torch.as_tensor(job.train.y), total)
    return RunState(parameters, optimizer, loss, settings.select)


def _gradients_of_batch(
    model: Model,
    jobs: Sequence[TrainJob],
    states: Sequence[RunState],
    budgets: Budgets,
    orders: dict[int, list[int]],
    step: int,
    pad_id: int,
) -> list[BatchOutput]:
    """Compute the gradient of each member's mean loss over the effective batch of update `step` (from 0)."""
    train, run = jobs[0].train, jobs[0].run
    rows = effective_batch(train.ids, run.seed, run.settings.batch_size, step, orders)
    tokens, labels = [train.tokens[i] for i in rows], [job.train.y[rows] for job in jobs]
    losses = [state.loss for state in states]

    def compute(runtime: Runtime) -> list[BatchOutput]:
        _clear_gradients(model)  # what an attempt left that ran out of memory
        return accumulate_gradient(model, tokens, labels, losses, step, pad_id, runtime)

    return budgets.fitting(step, "token_budget", compute, _longest(model, tokens))


def _clear_gradients(model: Model) -> None:
    for leaf in model.leaves():
        leaf.grad = None
    if model.flat:
        model.flat.share_gradients()


class BatchOutput(NamedTuple):
    """What the forward passes over an effective batch gave, for one member."""

    loss: float  # mean over the batch
    log_odds: Float[Tensor, "n *k"]  # float64 on the CPU, in batch order


def accumulate_gradient(
    model: Model,
    tokens: Sequence[Sequence[int]],
    labels: Sequence[np.ndarray],
    losses: Sequence[RunningLoss],
    step: int,
    pad_id: int,
    runtime: Runtime,
) -> list[BatchOutput]:
    """Add the gradient of each member's mean loss over the batch to `.grad` of the model's leaves.

    tokens: of the n texts; labels: [n] for each member; losses: one for each member. The gradient is
    g = (1/n) Σᵢ ∇ loss(zᵢ, yᵢ) with n the size of this effective batch, so that micro-batches (cut by the
    runtime's token budget, which all members share, of similar length or packed, one by one or side by side) change it
    by rounding only, and so does gradient checkpointing. No member's loss depends on another's parameters. Processes
    that share a base deal the micro-batches out among themselves and add up their gradients (`.grad` is to be None
    before): each ends with the whole gradient and all log-odds.
    """
    num_members = len(losses)
    y = torch.as_tensor(np.stack(labels), dtype=model.head.dtype, device=model.device)
    log_odds = torch.zeros(num_members, len(tokens), *model.task.score_shape, dtype=torch.float64)
    means = torch.zeros(num_members, dtype=torch.float64)
    processes, limits = processes_of(model), training_limits(runtime, model.device.type).shared(num_members)
    leaves = model.leaves()
    at_once = num_parallel_batches(runtime, model.head) if processes.size == 1 else 1

    def differentiate(batch: BatchOfProcess, run: LogOdds) -> _MicroBatchOutcome:
        z = run()
        if not batch.counts:
            return _MicroBatchOutcome(batch.rows, None, None, _gradients(z.sum() * 0, leaves, at_once))
        shares = [loss(z[i], y[i, batch.rows], step).sum() / len(tokens) for i, loss in enumerate(losses)]
        gradients = _gradients(torch.stack(shares).sum(), leaves, at_once)
        return _MicroBatchOutcome(batch.rows, z.detach(), torch.stack(shares).detach(), gradients)

    blocks = model.blocks() if runtime.gradient_checkpointing else ()
    outcomes = []
    for outcome in passes(model, tokens, pad_id, limits, differentiate, blocks=blocks, at_once=at_once):
        _add(outcome.gradients, leaves)
        if outcome.log_odds is not None:
            outcomes.append(outcome._replace(gradients=()))
    for outcome in outcomes:  # a GPU is waited for here, once all is on its way
        log_odds[:, outcome.rows] = outcome.log_odds.cpu().double()
        means += outcome.shares.cpu().double()
    sum_gradients(leaves, processes)
    if model.flat:
        model.flat.share_gradients()
    sum_over_processes(log_odds, processes)
    sum_over_processes(means, processes)
    return [BatchOutput(mean.item(), row) for mean, row in zip(means, log_odds, strict=True)]


class _MicroBatchOutcome(NamedTuple):
    """What one micro-batch gave."""

    rows: list[int]
    log_odds: Float[Tensor, "m b *k"] | None  # None: passed only because other processes passed
    shares: Float[Tensor, "m"] | None  # of each member's mean loss
    gradients: Sequence[Tensor | None]  # by the leaves; empty where they are in `.grad` already


def _gradients(loss: Tensor, leaves: list[nn.Parameter], at_once: int) -> Sequence[Tensor | None]:
    """∇ loss: added to `.grad` at once, or apart where other micro-batches are under way.

    The sum then has the same order, and the same bits, whichever is through first.
    """
    if at_once == 1:
        loss.backward()
        return ()
    return torch.autograd.grad(loss, leaves, allow_unused=True)


def _add(gradients: Sequence[Tensor | None], leaves: list[nn.Parameter]) -> None:
    for leaf, gradient in zip(leaves, gradients, strict=bool(gradients)):
        if gradient is not None:
            leaf.grad = gradient if leaf.grad is None else leaf.grad.add_(gradient)


def _optimizer_step(
    state: RunState, run: TrainConfig, task: Task, outcome: BatchOutput, step: int, total: int
) -> Update:
    """Clip the gradient and take one step; where it is not finite the run ends, its weights as they were."""
    settings = run.settings
    norm = torch.nn.utils.clip_grad_norm_(state.parameters.values(), settings.max_grad_norm).item()
    rate = run.learning_rate * learning_rate_factor(step, total, settings.warmup_updates)
    if not state.error and not (math.isfinite(outcome.loss) and math.isfinite(norm)):
        state.error = (
            f"training diverged at update {step + 1} of {total} (loss {outcome.loss:g}, gradient norm {norm:g}); "
            f"lower the learning rate (now {run.learning_rate:g}) or use compute_dtype: float32"
        )
    if not state.error:
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        state.optimizer.step()
        state.loss.observe(task.probabilities(outcome.log_odds))
    return Update(step + 1, outcome.loss, norm, rate, math.nan)


def _record(states: Sequence[RunState], updates: Sequence[Update], scores: Sequence[float]) -> None:
    """Write down a line of the curve, and perhaps the best weights so far, of each member that goes on."""
    for state, update, score in zip(states, updates, scores, strict=True):
        if not state.error:
            state.record(update._replace(val_auroc=score))


def _validate(
    model: Model, states: Sequence[RunState], jobs: Sequence[TrainJob], run_env: RunEnv, step: int
) -> list[float]:
    """Return each member's score; NaN where validation cannot choose or the member has failed."""
    scores = [math.nan] * len(states)
    members = [i for i, job in enumerate(jobs) if job.val.score is not None and not states[i].error]
    if not members:
        return scores
    log_odds = predict_fitting(model, jobs[0].val.tokens, run_env, step)
    for i in members:
        score = jobs[i].val.score
        try:
            check_finite(log_odds[i])
        except TrainingError as error:
            states[i].error = str(error)
            continue
        scores[i] = score(log_odds[i]) if score else math.nan
    return scores


def predict_fitting(
    model: Model,
    tokens: list[list[int]],
    run_env: RunEnv,
    step: int,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """`predict_together` after update `step` (from 0) of a run, in batches that fit into memory; [m, n]."""
    return _budgets(model, run_env).fitting(
        step,
        "eval_token_budget",
        lambda runtime: predict_together(model, tokens, run_env.pad_id, runtime, advance),
        _longest(model, tokens),
    )


def _budgets(model: Model, run_env: RunEnv) -> Budgets:
    def release() -> None:
        if model.graphs is not None:
            model.graphs.clear()

    return Budgets(run_env.runtime, run_env.budgets, model.device.type, processes_of(model), release)


def _longest(model: Model, tokens: list[list[int]]) -> int:
    """Return the tokens of a batch of one text: as little as can go through at once."""
    return len(model.members()) * max(map(len, tokens))


def _examples(updates: int, num_rows: int, batch_size: int) -> int:
    """Return examples seen in so many updates: the last batch of an epoch may be smaller."""
    epochs, batches = divmod(updates, num_updates(num_rows, batch_size, 1))
    return epochs * num_rows + batches * batch_size
