"""Cross-entropy with soft labels."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from outshine.data.task import EVERY_OUTCOME
from outshine.learn.losses.base import Loss, RunningLoss, cross_entropy, losses


class _RunningXent(RunningLoss):
    def __call__(self, z: Float[Tensor, "b *k"], y: Float[Tensor, "b *k"], step: int) -> Float[Tensor, "b"]:
        return cross_entropy(z, y)


@losses.register("xent")
class Xent(Loss):
    """CE(f, y) with soft y. Supervisor and ceiling are always trained with it."""

    title: ClassVar[str] = "cross-entropy with the soft label"

    outcomes: ClassVar[tuple[str, ...]] = EVERY_OUTCOME

    def start(self, y: Float[Tensor, "n *k"], num_updates: int) -> RunningLoss:
        return _RunningXent()
