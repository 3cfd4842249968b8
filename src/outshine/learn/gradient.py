"""The gradient of one effective batch, the same however the batch is cut into micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from outshine.engine.runtime import Runtime
from outshine.learn.batches import training_limits
from outshine.learn.cohort import Model
from outshine.learn.forward import LogOdds, passes
from outshine.learn.losses import RunningLoss
from outshine.learn.parallel_batches import num_parallel_batches
from outshine.learn.shard_batches import BatchOfProcess, sum_gradients, sum_over_processes
from outshine.learn.sharding import processes_of


class Outcome(NamedTuple):
    """What the forward passes over an effective batch gave, for one member."""

    loss: float  # mean over the batch
    log_odds: Float[Tensor, "n"]  # float64 on the CPU, in batch order


def accumulate_gradient(
    model: Model,
    tokens: Sequence[Sequence[int]],
    labels: Sequence[np.ndarray],
    losses: Sequence[RunningLoss],
    step: int,
    pad_id: int,
    runtime: Runtime,
) -> list[Outcome]:
    """Add the gradient of each member's mean loss over the batch to its parameters' `.grad`.

    tokens: of the n texts; labels: [n] for each member; losses: one for each member. The gradient is
    g = (1/n) Σᵢ ∇ loss(zᵢ, yᵢ) with n the size of this effective batch, so that micro-batches (cut by the
    runtime's token budget, which all members share, of similar length or packed, one by one or side by side) change it
    by rounding only, and so does gradient checkpointing. No member's loss depends on another's parameters. Processes
    that share a base deal the micro-batches out among themselves and add up what they found (`.grad` is to be None
    before): each ends with the whole gradient and all log-odds.
    """
    num_members = len(losses)
    y = torch.as_tensor(np.stack(labels), dtype=model.head.dtype, device=model.device)
    log_odds = torch.zeros(num_members, len(tokens), *model.task.score_shape, dtype=torch.float64)
    means = torch.zeros(num_members, dtype=torch.float64)
    processes, limits = processes_of(model), training_limits(runtime, model.device.type).shared(num_members)
    parameters = [parameter for member in model.members() for parameter in member.values()]
    at_once = num_parallel_batches(runtime, model.head) if processes.size == 1 else 1

    def learn(turn: BatchOfProcess, run: LogOdds) -> _Learnt:
        z = run()
        if not turn.counts:
            return _Learnt(turn.rows, None, [], _gradients(z.sum() * 0, parameters, at_once))
        shares = [loss(z[i], y[i, turn.rows], step).sum() / len(tokens) for i, loss in enumerate(losses)]
        found = _gradients(torch.stack(shares).sum(), parameters, at_once)
        return _Learnt(turn.rows, z.detach().cpu().double(), [share.item() for share in shares], found)

    blocks = model.blocks() if runtime.gradient_checkpointing else ()
    for learnt in passes(model, tokens, pad_id, limits, learn, blocks=blocks, at_once=at_once):
        _add(learnt.gradients, parameters)
        if learnt.log_odds is not None:
            log_odds[:, learnt.rows] = learnt.log_odds
            means += torch.tensor(learnt.shares, dtype=torch.float64)
    sum_gradients(model.members(), processes)
    sum_over_processes(log_odds, processes)
    sum_over_processes(means, processes)
    return [Outcome(mean.item(), row) for mean, row in zip(means, log_odds, strict=True)]


class _Learnt(NamedTuple):
    """What one micro-batch gave."""

    rows: list[int]
    log_odds: Float[Tensor, "m b"] | None  # None: passed only because other processes passed
    shares: list[float]  # of each member's mean loss
    gradients: Sequence[Tensor | None]  # of the parameters; empty where they are in `.grad` already


def _gradients(loss: Tensor, parameters: list[nn.Parameter], at_once: int) -> Sequence[Tensor | None]:
    """∇ loss: added to `.grad` at once, or apart where other micro-batches are under way.

    The sum then has the same order, and the same bits, whichever is through first.
    """
    if at_once == 1:
        loss.backward()
        return ()
    return torch.autograd.grad(loss, parameters, allow_unused=True)


def _add(gradients: Sequence[Tensor | None], parameters: list[nn.Parameter]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=bool(gradients)):
        if gradient is None:
            continue
        parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
