"""What a loss is: settings, and the running loss that one training run makes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from outshine.engine.registry import Registry
from outshine.engine.settings import Plugin


class RunningLoss(ABC):
    """A loss in one training run.

    Called once a micro-batch, so it may depend on the step and on state, never on the other rows of the
    micro-batch: the sum over an effective batch is then the same however the batch is cut.
    """

    @abstractmethod
    def __call__(self, z: Float[Tensor, "b"], y: Float[Tensor, "b"], step: int) -> Float[Tensor, "b"]:
        """Loss of each example. z: log-odds of f = P(y = 1); y in [0, 1]; step: updates made so far."""

    def observe(self, f: Float[Tensor, "n"]) -> None:  # noqa: B027  # most losses have no memory
        """The training predictions f of the effective batch just used, in batch order. For losses with memory.

        In float64 on the CPU: f near 0 or 1 is still told apart where float32 rounds it.
        """

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must keep."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:  # noqa: B027
        """Continue from a checkpoint's `state()`."""


class Loss(Plugin):
    """How a student is trained on its labels. Fields are settings; `start` makes the running loss."""

    title: ClassVar[str] = ""

    @abstractmethod
    def start(self, y: Float[Tensor, "n"], num_updates: int) -> RunningLoss:
        """The loss of one run. y: all training labels; num_updates: optimizer updates of the whole run."""

    def notes(self, y: Float[Tensor, "n"]) -> list[str]:
        """What a user should know about this loss on training labels y; empty: nothing."""
        return []


def cross_entropy(z: Float[Tensor, "b"], y: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
    """CE(f, y) = −y log f − (1 − y) log(1 − f) with f = sigmoid(z), exact for any z: softplus(z) − y z."""
    return functional.softplus(z) - y * z


def fade_in(step: int, warmup: int) -> float:
    """min(1, step / warmup)."""
    return min(1.0, step / warmup) if warmup > 0 else 1.0


def auxiliary_warmup(num_updates: int, most: int) -> int:
    """Updates over which an auxiliary term is faded in: `most`, but at most a quarter of the run."""
    return min(most, -(-num_updates // 4))


losses: Registry[Loss] = Registry("loss", "losses", Loss, "outshine.learn.losses")
