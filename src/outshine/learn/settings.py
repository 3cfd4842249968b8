"""The hyper-parameters of fine-tuning; defaults are the post's."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from outshine.engine.settings import Settings


class TrainingSettings(Settings):
    """AdamW with warm-up and cosine decay; the best adapter by validation AUROC is kept."""

    epochs: PositiveInt = Field(default=3, description="passes over the training rows")
    batch_size: PositiveInt = Field(default=32, description="examples of one optimizer update")
    beta1: float = Field(default=0.9, ge=0, lt=1, description="AdamW's decay of the first moment")
    beta2: float = Field(default=0.95, ge=0, lt=1, description="AdamW's decay of the second moment")
    weight_decay: NonNegativeFloat = Field(default=0.1, description="AdamW's decoupled weight decay")
    max_grad_norm: PositiveFloat = Field(default=1.0, description="the gradient's norm is clipped to this")
    warmup_updates: NonNegativeInt = Field(default=40, description="updates of warm-up; at most a tenth of the run")
    eval_every: PositiveInt = Field(default=25, description="updates between two validations")
    select: Literal["best", "last"] = Field(default="best", description="which weights are kept: best on val, or last")
    val_metric: Literal["hard", "soft"] = Field(
        default="hard", description="val AUROC against hardened labels, or each row as positive with weight p"
    )


def num_updates(num_rows: int, batch_size: int, epochs: int) -> int:
    """Return optimizer updates of a run: the last, smaller batch of an epoch counts as one."""
    return epochs * math.ceil(num_rows / batch_size)


def warmup_updates(total: int, warmup: int) -> int:
    """Return how many updates of warm-up there are in a run of `total`: min(warmup, ⌈total/10⌉)."""
    return min(warmup, math.ceil(total / 10))


def learning_rate_factor(step: int, total: int, warmup: int) -> float:
    """Return the share of the peak learning rate at update `step` of `total` (from 0).

    Linear warm-up over min(warmup, ⌈total/10⌉) updates that starts at 1/warm-up (no update is wasted at
    rate 0), then half a cosine down to 0 (reached only after the last update).
    """
    warmup = warmup_updates(total, warmup)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
