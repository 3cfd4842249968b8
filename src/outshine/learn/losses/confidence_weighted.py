"""Cross-entropy with the weak label's own answer, weighted by how sure it is."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from outshine.data.task import EVERY_OUTCOME
from outshine.learn.losses.base import Loss, RunningLoss, cross_entropy, losses


class _RunningConfidenceWeighted(RunningLoss):
    def __call__(self, z: Float[Tensor, "b *k"], y: Float[Tensor, "b *k"], step: int) -> Float[Tensor, "b"]:
        if y.dim() == 1:
            return 2 * (y - 0.5).abs() * cross_entropy(z, (y > 0.5).to(y.dtype))
        even = 1 / y.shape[1]
        surest, answer = y.max(-1)
        target = functional.one_hot(answer, y.shape[1]).to(y.dtype)
        return (surest - even) / (1 - even) * cross_entropy(z, target)


@losses.register("confidence_weighted")
class ConfidenceWeighted(Loss):
    """w·CE(f, 1[y > ½]), w = 2|y − ½| = 2(σ(|Δ|) − ½), Δ the weak label's log-odds.

    A label of one half weighs nothing, one of 0 or 1 as much as with `xent`. Of preference pairs Δ is the difference of
    the supervisor's rewards. K classes: w = (max y − 1/K) / (1 − 1/K), and CE with the class of the maximum. Source:
    Afzali, Jeon, Brbić, "When weak LLMs speak with confidence, preference alignment gets stronger", ICLR 2026,
    arXiv:2603.04968, there for the objectives of preference optimisation.
    """

    title: ClassVar[str] = "cross-entropy with the hardened label, weighted by the label's confidence"
    outcomes: ClassVar[tuple[str, ...]] = EVERY_OUTCOME

    def start(self, y: Float[Tensor, "n *k"], num_updates: int) -> RunningLoss:
        return _RunningConfidenceWeighted()
