"""Texts through a trainee in micro-batches: padded, or packed where it knows how; side by side where that pays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from jaxtyping import Float
from torch import Tensor, nn

from outshine.models.packing import Pack
from outshine.models.recompute import recomputed
from outshine.models.sharding import team_of
from outshine.training.batching import Limits, collate, micro_batches, packs
from outshine.training.dealing import Turn, deal
from outshine.training.lanes import in_lanes

if TYPE_CHECKING:
    from outshine.models.cohort import Trainee

R = TypeVar("R")
LogOdds = Callable[[], Float[Tensor, "m b"]]  # of the texts of a pass: runs it


def passes(
    trainee: Trainee,
    tokens: Sequence[Sequence[int]],
    pad_id: int,
    limits: Limits,
    use: Callable[[Turn, LogOdds], R],
    *,
    blocks: Iterable[nn.Module] = (),
    at_once: int = 1,
) -> Iterator[R]:
    """What `use` makes of each pass of this process, given its texts and a call for each member's log-odds of them.

    limits: of one member's texts; padding counts as tokens, where there is any. blocks: those that the backward pass
    runs again instead of keeping what is inside them. at_once: passes side by side, each on a thread of its own.
    """
    lengths, packed = [len(ids) for ids in tokens], trainee.packing is not None
    rows = range(len(tokens))
    batches = packs(lengths, rows, limits) if packed else micro_batches(lengths, rows, limits, trainee.sharing)

    def log_odds(turn: Turn) -> Float[Tensor, "m b"]:
        if packed:
            return trainee.packed_log_odds(Pack.of([tokens[row] for row in turn.rows], trainee.device))
        return trainee.log_odds(*collate(tokens, turn.rows, pad_id, trainee.device))

    turns = deal(batches, team_of(trainee))
    with recomputed(blocks):
        yield from in_lanes(lambda turn: use(turn, lambda: log_odds(turn)), turns, at_once)
