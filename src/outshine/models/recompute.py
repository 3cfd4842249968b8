"""Gradient checkpointing: blocks that keep only their inputs for the backward pass and are run again in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

# Dropout is off, so that there is no random state to keep; the re-entrant way needs inputs with gradients, which the
# first block of a frozen base has not.
_checkpointed = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)


@contextmanager
def recomputed(blocks: Iterable[nn.Module]) -> Iterator[None]:
    """Forward passes inside keep of each block only what goes in; the backward pass, in or outside, runs it again.

    The same operations on the same numbers, hence the same gradient. transformers' own checkpointing works in
    training mode only, which would switch dropout on. Blocks are as they were afterwards.
    """
    wrapped: list[nn.Module] = []
    try:
        for block in blocks:
            block.forward = partial(_checkpointed, block.forward)  # hides the class's own, no module is exchanged
            wrapped.append(block)
        yield
    finally:
        for block in wrapped:
            del block.forward
