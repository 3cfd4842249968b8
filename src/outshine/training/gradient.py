"""The gradient of one effective batch, the same however the batch is cut into micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from outshine.core.runtime import Runtime
from outshine.losses import RunningLoss
from outshine.models.sharding import team_of
from outshine.training.batching import collate, micro_batches
from outshine.training.dealing import add_up, add_up_gradients, deal


@runtime_checkable
class Trainee(Protocol):
    """One classifier, or several on one base that go through it together."""

    @property
    def head(self) -> nn.Parameter:
        """A head: its dtype is that of the log-odds."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        ...

    def members(self) -> list[dict[str, nn.Parameter]]:
        """What training changes, by name, of each member."""
        ...

    def log_odds(self, input_ids: Int[Tensor, "b t"], mask: Int[Tensor, "b t"]) -> Float[Tensor, "m b"]:
        """The log-odds that each member gives to each text."""
        ...


class Outcome(NamedTuple):
    """What the forward passes over an effective batch gave, for one member."""

    loss: float  # mean over the batch
    log_odds: Float[Tensor, "n"]  # float64 on the CPU, in batch order


def accumulate_gradient(
    trainee: Trainee,
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
    runtime's token budget, which all members share, of similar length) change it by rounding only. No member's
    loss depends on another's parameters. Processes that share a base deal the micro-batches out among themselves
    and add up what they found (`.grad` is to be None before): each ends with the whole gradient and all log-odds.
    """
    num_members = len(losses)
    y = torch.as_tensor(np.stack(labels), dtype=trainee.head.dtype, device=trainee.device)
    lengths = [len(ids) for ids in tokens]
    log_odds = torch.zeros(num_members, len(lengths), dtype=torch.float64)
    means = torch.zeros(num_members, dtype=torch.float64)
    team = team_of(trainee)
    budget, most = shared(runtime.token_budget, num_members), runtime.max_rows and shared(runtime.max_rows, num_members)
    for rows, counts, _ in deal(micro_batches(lengths, range(len(lengths)), budget, most), team):
        ids, mask = collate(tokens, rows, pad_id, trainee.device)
        z = trainee.log_odds(ids, mask)
        if not counts:
            (z.sum() * 0).backward()
            continue
        shares = [loss(z[i], y[i, rows], step).sum() / len(lengths) for i, loss in enumerate(losses)]
        torch.stack(shares).sum().backward()
        log_odds[:, rows] = z.detach().cpu().double()
        for i, share in enumerate(shares):
            means[i] += share.item()
    add_up_gradients(trainee.members(), team)
    add_up(log_odds, team)
    add_up(means, team)
    return [Outcome(mean.item(), row) for mean, row in zip(means, log_odds, strict=True)]


def shared(budget: int, num_members: int) -> int:
    """What of a budget of rows or tokens is left for the texts where each goes through once for every member."""
    return max(1, budget // num_members)
