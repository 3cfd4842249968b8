"""Base classes of losses: settings, and the running loss that one training run makes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from outshine.data.task import ONE_NUMBER
from outshine.engine.registry import Registry
from outshine.engine.settings import Plugin


class RunningLoss(ABC):
    """A loss in one training run.

    It is called once a micro-batch, so it may depend on the step and on state, never on the other rows of the
    micro-batch: the sum over an effective batch is then the same however the batch is cut. Calling it changes nothing.
    """

    @abstractmethod
    def __call__(self, z: Float[Tensor, "b *k"], y: Float[Tensor, "b *k"], step: int) -> Float[Tensor, "b"]:
        """Return the loss of each example.

        Args:
            z: Scores: of binary labels the log-odds of f = P(y = 1), [b]; of K classes the logits of f = softmax(z),
                [b, K].
            y: Labels: P(y = 1) in [0, 1], [b]; of K classes their probabilities, [b, K].
            step: Optimizer updates made so far.

        Returns:
            One finite value for each example in the dtype of `z`, [b], in nats for a cross-entropy.
        """

    def observe(self, f: Float[Tensor, "n *k"]) -> None:  # noqa: B027  # most losses have no memory
        """Take note of the predictions of the effective batch just used; a loss with memory overrides it.

        Args:
            f: P(y = 1), [n], or the probabilities of K classes, [n, K], on the rows of the batch as the update was
                computed from them, in batch order, float64 on the CPU: values near 0 or 1 are still told apart where
                float32 rounds them.
        """

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must keep.

        Returns:
            Name -> tensor; empty for a loss without memory.
        """
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:  # noqa: B027
        """Continue from a checkpoint.

        Args:
            state: What `state()` returned when the checkpoint was written.
        """


class Loss(Plugin):
    """How a student is trained on its labels: fields are settings, `start` makes the running loss.

    Attributes:
        title: What it is, in a few words, for listings.
        holds_targets: Whether it learns from targets made of its own log-odds and held constant (`z.detach()`), so that
            its gradient is not the derivative of its value.
        outcomes: The kinds of labels that it can work with, as `outshine.data.task.Task.outcome` names them. Of
            `multiclass` ones it is given scores and labels of shape [b, K].
    """

    title: ClassVar[str] = ""
    holds_targets: ClassVar[bool] = False
    outcomes: ClassVar[tuple[str, ...]] = ONE_NUMBER

    @abstractmethod
    def start(self, y: Float[Tensor, "n *k"], num_updates: int) -> RunningLoss:
        """Make the running loss of one training run.

        Args:
            y: All training labels, [n] or [n, K].
            num_updates: Optimizer updates of the whole run.

        Returns:
            A fresh running loss; the settings are left alone.
        """

    def notes(self, y: Float[Tensor, "n *k"]) -> list[str]:
        """Return what a user should know about this loss on these labels.

        Args:
            y: All training labels, [n] or [n, K].

        Returns:
            Sentences; empty where there is nothing to say.
        """
        return []


def cross_entropy(z: Float[Tensor, "b *k"], y: Float[Tensor, "b *k"]) -> Float[Tensor, "b"]:
    """Compute the cross-entropy of soft labels from scores.

    Binary labels: CE(f, y) = −y log f − (1 − y) log(1 − f) with f = sigmoid(z), computed as softplus(z) − y z, which is
    exact for any z. K classes: CE(f, y) = −Σₖ yₖ log fₖ with f = softmax(z).

    Args:
        z: Log-odds of f = P(y = 1), [b], or logits of the classes, [b, K].
        y: Labels in [0, 1], [b], or probabilities of the classes, [b, K].

    Returns:
        Loss of each example in nats, [b].
    """
    if z.dim() > 1:
        return -(y * z.log_softmax(-1)).sum(-1)
    return functional.softplus(z) - y * z


def fade_in(step: int, warmup: int) -> float:
    """min(1, step / warmup)."""
    return min(1.0, step / warmup) if warmup > 0 else 1.0


def auxiliary_warmup(num_updates: int, most: int) -> int:
    """Updates over which an auxiliary term is faded in: `most`, but at most a quarter of the run."""
    return min(most, -(-num_updates // 4))


losses: Registry[Loss] = Registry("loss", "losses", Loss, "outshine.learn.losses")
