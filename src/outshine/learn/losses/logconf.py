"""Cross-entropy with an auxiliary log-confidence term: the student is also trained on its own hardened views."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveInt
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


class _RunningLogConf(RunningLoss):
    """The running loss of binary labels."""

    def __init__(self, alpha: float, warmup: int, window: int, shape: tuple[int, ...] = ()) -> None:
        self.alpha = alpha
        self.warmup = warmup
        self.window = window
        self._remember(torch.empty(0, *shape, dtype=torch.float64))

    def __call__(self, z: Float[Tensor, "b *k"], y: Float[Tensor, "b *k"], step: int) -> Float[Tensor, "b"]:
        a = self.alpha * fade_in(step, self.warmup)
        return (1 - a) * cross_entropy(z, y) + a * cross_entropy(z, self._hardened(z.detach()))

    def _hardened(self, z: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
        """1[f > τ], compared as log-odds: sigmoid(z) rounds to 1 long before z stops telling rows apart."""
        return (z > self.threshold_log_odds).to(z.dtype)

    def observe(self, f: Float[Tensor, "n *k"]) -> None:
        self._remember(torch.cat([self.recent, f.detach().cpu().double()])[-self.window :])

    def state(self) -> dict[str, Tensor]:
        return {"recent": self.recent}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self._remember(state["recent"])

    def _remember(self, recent: Float[Tensor, "n"]) -> None:
        """τ: the median of the recent training predictions (even number: mean of the middle two); none: 0.5."""
        self.recent = recent
        self.threshold = float(torch.quantile(recent, 0.5)) if recent.numel() else 0.5
        self.threshold_log_odds = float(torch.logit(torch.tensor(self.threshold, dtype=torch.float64)))


class _RunningMultiClass(_RunningLogConf):
    """The running loss of K classes; `shares` [K] is how much of the labels falls to each."""

    def __init__(self, alpha: float, warmup: int, window: int, shares: Float[Tensor, "k"]) -> None:
        self.shares = shares
        super().__init__(alpha, warmup, window, shape=(len(shares),))

    def _hardened(self, z: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """The class with the largest fₖ / τₖ, compared as logits: log f differs by one number in all classes."""
        likeliest = (z - self.log_thresholds.to(z.device, z.dtype)).argmax(-1)
        return functional.one_hot(likeliest, z.shape[-1]).to(z.dtype)

    def _remember(self, recent: Float[Tensor, "n k"]) -> None:
        """τₖ: the (1 − shareₖ) quantile of the recent predictions of class k; none: equal."""
        self.recent = recent
        self.log_thresholds = torch.zeros(recent.shape[1], dtype=torch.float64)
        if len(recent):
            quantiles = [torch.quantile(own, 1 - share) for own, share in zip(recent.T, self.shares, strict=True)]
            self.log_thresholds = torch.stack(quantiles).clamp(min=torch.finfo(torch.float64).tiny).log()


@losses.register("logconf")
class LogConf(Loss):
    """(1 − a)·CE(f, y) + a·CE(f, 1[f > τ]), a = alpha·min(1, t / warm-up).

    τ is the median of the last `window` training predictions made before the current effective batch, so
    that no evaluation and no micro-batch enters it; the hardened label is a constant for the gradient.

    K classes: the hardened label is the class with the largest fₖ / τₖ, τₖ the 1 − πₖ quantile of the recent fₖ, πₖ the
    mean training label of class k, so that about as many rows harden to a class as are labelled so. Two classes have
    π = ½, whence the median above. Sources: Burns et al., arXiv:2312.09390, section 4.3 and appendix A.4; quantiles at
    the labels' marginals: the authors' code, `logconf_loss_fn`; the post's default.
    """

    title: ClassVar[str] = "cross-entropy plus confidence in the student's own hardened predictions"

    alpha: float = Field(default=0.5, ge=0, le=1, description="weight of the auxiliary term after warm-up")
    warmup_updates: NonNegativeInt = Field(
        default=100, description="optimizer updates to fade in; at most a quarter of the run"
    )
    window: PositiveInt = Field(
        default=32, description="training predictions that the threshold is the median of, or the quantiles of classes"
    )

    outcomes: ClassVar[tuple[str, ...]] = EVERY_OUTCOME

    def start(self, y: Float[Tensor, "n *k"], num_updates: int) -> RunningLoss:
        warmup = auxiliary_warmup(num_updates, self.warmup_updates)
        if y.dim() == 1:
            return _RunningLogConf(self.alpha, warmup, self.window)
        even = torch.full((y.shape[1],), 0.5, dtype=torch.float64)
        shares = even if y.shape[1] == 2 else y.double().mean(0).cpu()
        return _RunningMultiClass(self.alpha, warmup, self.window, shares)
