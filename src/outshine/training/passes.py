"""Texts through a trainee, one micro-batch after the other: padded, or packed where it knows how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from outshine.models.packing import Pack
from outshine.training.batching import Limits, collate, micro_batches, packs

if TYPE_CHECKING:
    from outshine.training.gradient import Trainee


def passes(
    trainee: Trainee, tokens: Sequence[Sequence[int]], pad_id: int, limits: Limits
) -> Iterator[tuple[list[int], Float[Tensor, "m b"]]]:
    """The numbers of the texts of each micro-batch, and the log-odds that each member gives to them.

    limits: of one member's texts; padding counts as tokens, where there is any.
    """
    lengths = [len(ids) for ids in tokens]
    if trainee.packing is not None:
        for rows in packs(lengths, range(len(tokens)), limits):
            yield rows, trainee.packed_log_odds(Pack.of([tokens[row] for row in rows], trainee.device))
        return
    for rows in micro_batches(lengths, range(len(tokens)), limits):
        yield rows, trainee.log_odds(*collate(tokens, rows, pad_id, trainee.device))
