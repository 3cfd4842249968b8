"""Cross-entropy with an entropy penalty: the student is pushed away from one half, wherever it stands."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from pydantic import Field, NonNegativeInt
from torch import Tensor
from torch.nn import functional

from outshine.data.task import EVERY_OUTCOME
from outshine.learn.losses.base import (
    Loss,
    RunningLoss,
    auxiliary_warmup,
    cross_entropy,
    fade_in,
    losses,
)

BISTABLE = 0.5  # above: at y = ½ the loss has two minima away from f = ½, and the start decides between them


def entropy(z: Float[Tensor, "b *k"]) -> Float[Tensor, "b"]:
    """H(f) = CE(f, f) in nats, differentiable in both places.

    Binary labels: f = sigmoid(z) and dH/dz = −z f (1 − f). H is even in z; written for |z| it loses no digits where
    softplus(z) − z f would cancel. K classes: f = softmax(z), H = −Σₖ fₖ log fₖ and dH/dzₖ = −fₖ (log fₖ + H).
    """
    if z.dim() > 1:
        return -(z.softmax(-1) * z.log_softmax(-1)).sum(-1)
    size = z.abs()
    return functional.softplus(-size) + size * (-size).sigmoid()


class _RunningEntropy(RunningLoss):
    def __init__(self, alpha: float, warmup: int) -> None:
        self.alpha = alpha
        self.warmup = warmup

    def __call__(self, z: Float[Tensor, "b *k"], y: Float[Tensor, "b *k"], step: int) -> Float[Tensor, "b"]:
        a = self.alpha * fade_in(step, self.warmup)
        return (1 - a) * cross_entropy(z, y) + a * entropy(z)


@losses.register("entropy")
class Entropy(Loss):
    """(1 − a)·CE(f, y) + a·H(f), a = alpha·min(1, t / warm-up), H(f) = CE(f, f).

    The gradient goes through both places of CE(f, f): with the target detached it would vanish, and the
    loss would be `xent` scaled by 1 − a. At y = ½ the curvature at f = ½ is (1 − 2a) / 4: alpha = ½ is a
    bifurcation, above it f = ½ is unstable. So it is with K classes at y = f = 1/K, where the curvature is (1 − 2a) / K
    in every direction.
    Source: the post, "Entropy loss"; Grandvalet & Bengio, NeurIPS 2004.
    """

    title: ClassVar[str] = "cross-entropy plus a penalty on the entropy of the student's predictions"

    alpha: float = Field(default=0.5, ge=0, le=1, description="weight of the penalty; above .5 it is bistable")
    warmup_updates: NonNegativeInt = Field(
        default=100, description="optimizer updates to fade in; at most a quarter of the run"
    )

    outcomes: ClassVar[tuple[str, ...]] = EVERY_OUTCOME

    def start(self, y: Float[Tensor, "n *k"], num_updates: int) -> RunningLoss:
        return _RunningEntropy(self.alpha, auxiliary_warmup(num_updates, self.warmup_updates))

    def notes(self, y: Float[Tensor, "n *k"]) -> list[str]:
        if self.alpha <= BISTABLE:
            return []
        if y.dim() > 1:
            return [
                f"entropy: alpha = {self.alpha:g} is above .5: rows whose labels are an even mix of classes are pushed "
                "to one of these, whichever the start favours"
            ]
        return [
            f"entropy: alpha = {self.alpha:g} is above .5: rows with labels near one half are pushed to either side, "
            "whichever the start favours"
        ]
