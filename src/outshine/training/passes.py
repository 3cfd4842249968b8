"""Texts through a trainee, one micro-batch after the other: padded, or packed where it knows how."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor, nn

from outshine.models.packing import Pack
from outshine.models.recompute import recomputed
from outshine.models.sharding import team_of
from outshine.training.batching import Limits, collate, micro_batches, packs
from outshine.training.dealing import Turn, deal

if TYPE_CHECKING:
    from outshine.training.gradient import Trainee


def passes(
    trainee: Trainee,
    tokens: Sequence[Sequence[int]],
    pad_id: int,
    limits: Limits,
    blocks: Iterable[nn.Module] = (),
) -> Iterator[tuple[Turn, Float[Tensor, "m b"]]]:
    """The texts of each pass of this process, and the log-odds that each member gives to them.

    limits: of one member's texts; padding counts as tokens, where there is any. blocks: those that the backward pass
    runs again instead of keeping what is inside them.
    """
    lengths, packed = [len(ids) for ids in tokens], trainee.packing is not None
    cut = packs if packed else micro_batches
    for turn in deal(cut(lengths, range(len(tokens)), limits), team_of(trainee)):
        with recomputed(blocks):
            if packed:
                log_odds = trainee.packed_log_odds(Pack.of([tokens[row] for row in turn.rows], trainee.device))
            else:
                log_odds = trainee.log_odds(*collate(tokens, turn.rows, pad_id, trainee.device))
        yield turn, log_odds
