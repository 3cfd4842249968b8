"""Cross-entropy with an auxiliary log-confidence term: the student is also trained on its own hardened views."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from outshine.learn.losses.base import Loss, RunningLoss, auxiliary_warmup, cross_entropy, fade_in, losses


class _RunningLogConf(RunningLoss):
    def __init__(self, alpha: float, warmup: int, window: int) -> None:
        self.alpha = alpha
        self.warmup = warmup
        self.window = window
        self._remember(torch.empty(0, dtype=torch.float64))

    def __call__(self, z: Float[Tensor, "b"], y: Float[Tensor, "b"], step: int) -> Float[Tensor, "b"]:
        a = self.alpha * fade_in(step, self.warmup)
        # f > τ compared as log-odds: sigmoid(z) rounds to 1 long before z stops telling rows apart
        hardened = (z.detach() > self.threshold_log_odds).to(z.dtype)
        return (1 - a) * cross_entropy(z, y) + a * cross_entropy(z, hardened)

    def observe(self, f: Float[Tensor, "n"]) -> None:
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


@losses.register("logconf")
class LogConf(Loss):
    """(1 − a)·CE(f, y) + a·CE(f, 1[f > τ]), a = alpha·min(1, t / warm-up).

    τ is the median of the last `window` training predictions made before the current effective batch, so
    that no evaluation and no micro-batch enters it; the hardened label is a constant for the gradient.
    Source: Burns et al., arXiv:2312.09390, section 4.3 and appendix A.4; the post's default.
    """

    title: ClassVar[str] = "cross-entropy plus confidence in the student's own hardened predictions"

    alpha: float = Field(default=0.5, ge=0, le=1, description="weight of the auxiliary term after warm-up")
    warmup_updates: NonNegativeInt = Field(
        default=100, description="optimizer updates to fade in; at most a quarter of the run"
    )
    window: PositiveInt = Field(default=32, description="training predictions whose median is the threshold")

    def start(self, y: Float[Tensor, "n"], num_updates: int) -> RunningLoss:
        return _RunningLogConf(self.alpha, auxiliary_warmup(num_updates, self.warmup_updates), self.window)
