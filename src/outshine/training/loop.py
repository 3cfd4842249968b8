"""The fine-tuning loop: from a classifier and labelled token ids to the weights that validate best."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from outshine.core.errors import TrainingError
from outshine.core.runtime import Runtime
from outshine.losses import Loss
from outshine.models.classifier import Classifier
from outshine.training.batching import LabelledRows, effective_batch
from outshine.training.gradient import accumulate_gradient
from outshine.training.predict import predict
from outshine.training.schedule import learning_rate_factor, num_updates
from outshine.training.settings import TrainingSettings
from outshine.training.state import RunState, Update


class Validation(NamedTuple):
    """Validation rows and the score of log-odds on them; `score` None: validation cannot choose."""

    tokens: list[list[int]]
    score: Callable[[np.ndarray], float] | None


class Run(NamedTuple):
    """What a run's result depends on besides the classifier and the rows."""

    loss: Loss
    settings: TrainingSettings
    learning_rate: float  # at the peak of the schedule
    seed: int  # of the batch order


class Machine(NamedTuple):
    """Where and how a run is computed: nothing here changes its result by more than rounding."""

    runtime: Runtime
    pad_id: int  # masked out everywhere
    checkpoint: Path  # where it exists the run goes on from there to the same bits
    advance: Callable[[int, int], None] = lambda done, total: None  # told examples done, and of how many
    watch: Callable[[int], object] = lambda updates: None  # told the updates made, where validation is due


class Trained(NamedTuple):
    """What a run leaves: the classifier carries the chosen weights."""

    curve: list[Update]
    chosen_step: int  # updates made when the chosen weights were taken


def finetune(classifier: Classifier, train: LabelledRows, val: Validation, run: Run, machine: Machine) -> Trained:
    """Train for all epochs, validate on the way, leave the chosen weights in the classifier.

    Raises TrainingError where the loss, the gradient or a validation prediction is not finite.
    """
    settings, runtime = run.settings, machine.runtime
    num_rows = len(train.ids)
    total = num_updates(num_rows, settings.batch_size, settings.epochs)
    parameters = classifier.trainable()
    optimizer = torch.optim.AdamW(
        parameters.values(),
        lr=run.learning_rate,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
    )
    loss = run.loss.start(torch.as_tensor(train.y), total)
    state = RunState(parameters, optimizer, loss, settings.select)
    state.restore(machine.checkpoint)
    saved_at = time.monotonic()
    orders: dict[int, list[int]] = {}

    for step in range(len(state.curve), total):
        # the gradient of the mean loss over one effective batch
        rows = effective_batch(train.ids, run.seed, settings.batch_size, step, orders)
        outcome = accumulate_gradient(classifier, train.take(rows), loss, step, machine.pad_id, runtime)
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), settings.max_grad_norm).item()
        if not (math.isfinite(outcome.loss) and math.isfinite(norm)):
            raise TrainingError(
                f"training diverged at update {step + 1} of {total} (loss {outcome.loss:g}, gradient norm {norm:g}); "
                f"lower the learning rate (now {run.learning_rate:g}) or use compute_dtype: float32"
            )

        # one update
        rate = run.learning_rate * learning_rate_factor(step, total, settings.warmup_updates)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.observe(torch.sigmoid(outcome.log_odds))

        # validation, on val alone
        last = step + 1 == total
        due = last or (step + 1) % settings.eval_every == 0
        auroc = math.nan
        if due and val.score is not None:
            auroc = val.score(
                predict(classifier, val.tokens, machine.pad_id, runtime.eval_token_budget, runtime.max_eval_rows)
            )
        if due:
            machine.watch(step + 1)
        state.record(Update(step + 1, outcome.loss, norm, rate, auroc))

        if not last and time.monotonic() - saved_at >= runtime.checkpoint_seconds:
            state.save(machine.checkpoint)
            saved_at = time.monotonic()
        machine.advance(_examples(step + 1, num_rows, settings.batch_size), settings.epochs * num_rows)

    return Trained(state.curve, state.choose())


def _examples(updates: int, num_rows: int, batch_size: int) -> int:
    """Examples seen in so many updates: the last batch of an epoch may be smaller."""
    epochs, batches = divmod(updates, num_updates(num_rows, batch_size, 1))
    return epochs * num_rows + batches * batch_size
