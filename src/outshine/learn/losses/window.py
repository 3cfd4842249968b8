"""Cross-entropy on the rows that the student is not yet confident about."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from outshine.data.task import EVERY_OUTCOME
from outshine.learn.losses.base import Loss, RunningLoss, cross_entropy, losses

Radius = Literal["median"] | Annotated[float, Field(gt=0, le=0.5)]


class _RunningWindow(RunningLoss):
    def __init__(self, radius: float, num_classes: int = 2) -> None:
        # max f ≤ 1/K + r, of two classes |f − ½| ≤ r, as log-odds: f rounds to 1 long before z stops telling rows apart
        most = 1 / num_classes + radius
        if num_classes == 2:
            self.most_log_odds = 2 * math.atanh(2 * radius) if radius < 0.5 else math.inf
        else:
            self.most_log_odds = math.log(most / (1 - most)) if most < 1 else math.inf

    def __call__(self, z: Float[Tensor, "b *k"], y: Float[Tensor, "b *k"], step: int) -> Float[Tensor, "b"]:
        inside = log_odds_of_likeliest(z.detach()) <= self.most_log_odds
        return cross_entropy(z, y).where(inside, 0.0)


def log_odds_of_likeliest(z: Float[Tensor, "b *k"]) -> Float[Tensor, "b"]:
    """The log-odds of the likelier class, |z|; of K classes those of the likeliest against all others together."""
    if z.dim() == 1:
        return z.abs()
    ordered = z.sort(-1, descending=True).values
    return ordered[..., 0] - ordered[..., 1:].logsumexp(-1)


@losses.register("window")
class Window(Loss):
    """CE(f, y)·1[|f − ½| ≤ r].

    r is the median of |p_weak − ½| over the training labels of the run (even number: mean of the middle
    two), or a number. K classes: 1[max f − 1/K ≤ r], r the median of max p_weak − 1/K; it is the same for two. Rows
    outside count in the batch's size all the same, so that a row weighs as much whatever the others do. Source: the
    post, "Confidence-window loss".
    """

    title: ClassVar[str] = "cross-entropy on rows that the student is unconfident about"

    radius: Radius = Field(
        default="median",
        description="largest |f − ½|, or max f − 1/K, trained on; median: that of the weak labels of the training rows",
    )
    outcomes: ClassVar[tuple[str, ...]] = EVERY_OUTCOME

    def start(self, y: Float[Tensor, "n *k"], num_updates: int) -> RunningLoss:
        return _RunningWindow(self.radius_for(y), 2 if y.dim() == 1 else y.shape[1])

    def radius_for(self, y: Float[Tensor, "n *k"]) -> float:
        """r for a run on labels y."""
        if self.radius != "median":
            return self.radius
        if y.dim() == 1:
            return float((y.double() - 0.5).abs().quantile(0.5))
        return float((y.double().max(-1).values - 1 / y.shape[1]).quantile(0.5))

    def notes(self, y: Float[Tensor, "n *k"]) -> list[str]:
        if self.radius_for(y) > 0:
            return []
        if y.dim() > 1:
            return [
                "window: the radius is 0 (at least half of the labels are an even mix of all classes); next to nothing "
                "is trained on"
            ]
        return ["window: the radius is 0 (at least half of the labels are one half); next to nothing is trained on"]
