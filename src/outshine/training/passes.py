"""Texts through a trainee, one micro-batch after the other: padded, or packed where it knows how."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor, nn

from outshine.models.packing import Pack
from outshine.models.recompute import recomputed
from outshine.training.batching import Limits, collate, micro_batches, packs

if TYPE_CHECKING:
    from outshine.training.gradient import Trainee


def passes(
    trainee: Trainee,
    tokens: Sequence[Sequence[int]],
    pad_id: int,
    limits: Limits,
    blocks: Iterable[nn.Module] = (),
) -> Iterator[tuple[list[int], Float[Tensor, "m b"]]]:
    """The numbers of the texts of each micro-batch, and the log-odds that each member gives to them.

    limits: of one member's texts; padding counts as tokens, where there is any. blocks: those that the backward pass
    runs again instead of keeping what is inside them.
    """
    lengths, packed = [len(ids) for ids in tokens], trainee.packing is not None
    cut = packs if packed else micro_batches
    for rows in cut(lengths, range(len(tokens)), limits):
        with recomputed(blocks):
            if packed:
                log_odds = trainee.packed_log_odds(Pack.of([tokens[row] for row in rows], trainee.device))
            else:
                log_odds = trainee.log_odds(*collate(tokens, rows, pad_id, trainee.device))
        yield rows, log_odds
