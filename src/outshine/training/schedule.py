"""The learning rate along a run."""

from __future__ import annotations

import math


def num_updates(num_rows: int, batch_size: int, epochs: int) -> int:
    """Optimizer updates of a run: the last, smaller batch of an epoch counts as one."""
    return epochs * math.ceil(num_rows / batch_size)


def warmup_updates(total: int, warmup: int) -> int:
    """Updates of warm-up in a run of `total`: min(warmup, ⌈total/10⌉)."""
    return min(warmup, math.ceil(total / 10))


def learning_rate_factor(step: int, total: int, warmup: int) -> float:
    """Share of the peak learning rate at update `step` of `total` (from 0).

    Linear warm-up over min(warmup, ⌈total/10⌉) updates that starts at 1/warm-up (no update is wasted at
    rate 0), then half a cosine down to 0 (reached only after the last update).
    """
    warmup = warmup_updates(total, warmup)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
