"""Cross-entropy on the rows that the student is not yet confident about."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from outshine.learn.losses.base import Loss, RunningLoss, cross_entropy, losses

Radius = Literal["median"] | Annotated[float, Field(gt=0, le=0.5)]


class _RunningWindow(RunningLoss):
    def __init__(self, radius: float) -> None:
        # |f − ½| ≤ r as |log-odds| ≤ 2 artanh(2r): f rounds to 1 long before z stops telling rows apart
        self.most_log_odds = 2 * math.atanh(2 * radius) if radius < 0.5 else math.inf

    def __call__(self, z: Float[Tensor, "b"], y: Float[Tensor, "b"], step: int) -> Float[Tensor, "b"]:
        inside = z.detach().abs() <= self.most_log_odds
        return cross_entropy(z, y).where(inside, 0.0)


@losses.register("window")
class Window(Loss):
    """CE(f, y)·1[|f − ½| ≤ r].

    r is the median of |p_weak − ½| over the training labels of the run (even number: mean of the middle
    two), or a number. Rows outside count in the batch's size all the same, so that a row weighs as much
    whatever the others do. Source: the post, "Confidence-window loss".
    """

    title: ClassVar[str] = "cross-entropy on rows that the student is unconfident about"

    radius: Radius = Field(
        default="median",
        description="largest |f − ½| trained on; median: of |p_weak − ½| over the training rows",
    )

    def start(self, y: Float[Tensor, "n"], num_updates: int) -> RunningLoss:
        return _RunningWindow(self.radius_for(y))

    def radius_for(self, y: Float[Tensor, "n"]) -> float:
        """r for a run on labels y."""
        if self.radius != "median":
            return self.radius
        return float((y.double() - 0.5).abs().quantile(0.5))

    def notes(self, y: Float[Tensor, "n"]) -> list[str]:
        if self.radius_for(y) > 0:
            return []
        return ["window: the radius is 0 (at least half of the labels are one half); next to nothing is trained on"]
