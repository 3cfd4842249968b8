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
from outshine.models.packing import Pack, Packing
from outshine.models.sharding import team_of
from outshine.training.batching import training_limits
from outshine.training.dealing import add_up, add_up_gradients
from outshine.training.passes import passes


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

    @property
    def packing(self) -> Packing | None:
        """How it takes several texts in one row; None: texts are padded."""
        ...

    def members(self) -> list[dict[str, nn.Parameter]]:
        """What training changes, by name, of each member."""
        ...

    def blocks(self) -> nn.ModuleList:
        """The transformer blocks."""
        ...

    def log_odds(self, input_ids: Int[Tensor, "b t"], mask: Int[Tensor, "b t"]) -> Float[Tensor, "m b"]:
        """The log-odds that each member gives to each text."""
        ...

    def packed_log_odds(self, pack: Pack) -> Float[Tensor, "m n"]:
        """The same of texts in one row."""
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
    runtime's token budget, which all members share, of similar length or packed) change it by rounding only, and so
    does gradient checkpointing. No member's loss depends on another's parameters. Processes that share a base deal the
    micro-batches out among themselves and add up what they found (`.grad` is to be None before): each ends with the
    whole gradient and all log-odds.
    """
    num_members = len(losses)
    y = torch.as_tensor(np.stack(labels), dtype=trainee.head.dtype, device=trainee.device)
    log_odds = torch.zeros(num_members, len(tokens), dtype=torch.float64)
    means = torch.zeros(num_members, dtype=torch.float64)
    team, limits = team_of(trainee), training_limits(runtime, trainee.device.type).shared(num_members)
    blocks = trainee.blocks() if runtime.gradient_checkpointing else ()
    for turn, z in passes(trainee, tokens, pad_id, limits, blocks):
        if not turn.counts:
            (z.sum() * 0).backward()
            continue
        rows = turn.rows
        shares = [loss(z[i], y[i, rows], step).sum() / len(tokens) for i, loss in enumerate(losses)]
        torch.stack(shares).sum().backward()
        log_odds[:, rows] = z.detach().cpu().double()
        for i, share in enumerate(shares):
            means[i] += share.item()
    add_up_gradients(trainee.members(), team)
    add_up(log_odds, team)
    add_up(means, team)
    return [Outcome(mean.item(), row) for mean, row in zip(means, log_odds, strict=True)]
