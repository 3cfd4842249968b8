"""Losses of K classes against closed forms, and against the losses of two classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from outshine.learn.losses import Loss
from outshine.learn.losses.confidence_weighted import ConfidenceWeighted
from outshine.learn.losses.entropy import Entropy
from outshine.learn.losses.logconf import LogConf
from outshine.learn.losses.window import Window
from outshine.learn.losses.xent import Xent

NUM = 40
LATE = 10_000  # updates made: every auxiliary term is at its full weight
LOSSES: tuple[Loss, ...] = (Xent(), LogConf(), Entropy(alpha=0.3), Window(), ConfidenceWeighted())


def drawn(num_classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, labels and earlier predictions of NUM rows, float64."""
    rng = np.random.default_rng([num_classes, seed])
    z = torch.from_numpy(rng.normal(0, 2, (NUM, num_classes)))
    y = torch.from_numpy(rng.dirichlet(np.full(num_classes, 0.5), NUM))
    earlier = torch.from_numpy(rng.dirichlet(np.full(num_classes, 0.7), 50))
    return z, y, earlier


def gradient(loss: Loss, z: torch.Tensor, y: torch.Tensor, earlier: torch.Tensor) -> torch.Tensor:
    running = loss.start(y, LATE)
    running.observe(earlier)
    z = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(running(z, y, LATE).sum(), z)
    return slope


def expected_gradient(loss: Loss, z: np.ndarray, y: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """The derivative by hand, row by row."""
    slopes = np.empty_like(z)
    num_classes = z.shape[1]
    for i, (logits, label) in enumerate(zip(z, y, strict=True)):
        f = np.exp(logits - logits.max())
        f /= f.sum()
        slope = f - label
        if isinstance(loss, Entropy):
            h = -(f * np.log(f)).sum()
            slope = (1 - loss.alpha) * slope + loss.alpha * -f * (np.log(f) + h)
        elif isinstance(loss, LogConf):
            shares = y.mean(axis=0) if num_classes > 2 else np.full(2, 0.5)
            recent = earlier[-loss.window :]
            thresholds = np.array([np.quantile(recent[:, k], 1 - shares[k]) for k in range(num_classes)])
            target = np.eye(num_classes)[np.argmax(f / thresholds)]
            slope = (1 - loss.alpha) * slope + loss.alpha * (f - target)
        elif isinstance(loss, ConfidenceWeighted):
            slope = (label.max() - 1 / num_classes) / (1 - 1 / num_classes) * (f - np.eye(num_classes)[label.argmax()])
        elif isinstance(loss, Window):
            radius = np.median(y.max(axis=1) - 1 / num_classes)
            slope = slope * (f.max() - 1 / num_classes <= radius)
        slopes[i] = slope
    return slopes


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.kind)
@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_gradients_are_those_of_the_formulas(loss: Loss, num_classes: int) -> None:
    z, y, earlier = drawn(num_classes)
    expected = expected_gradient(loss, z.numpy(), y.numpy(), earlier.numpy())
    np.testing.assert_allclose(gradient(loss, z, y, earlier).numpy(), expected, rtol=0, atol=1e-9)
    assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize("loss", [*LOSSES, Window(radius=0.2)], ids=lambda loss: f"{loss.kind}-{loss.model_dump()}")
@pytest.mark.parametrize("seed", range(5))
def test_two_classes_are_a_binary_label(loss: Loss, seed: int) -> None:
    z, y, earlier = drawn(2, seed)
    running, binary = loss.start(y, LATE), loss.start(y[:, 1], LATE)
    running.observe(earlier)
    binary.observe(earlier[:, 1])
    np.testing.assert_allclose(running(z, y, 50), binary(z[:, 1] - z[:, 0], y[:, 1], 50), rtol=1e-12, atol=1e-12)
    slope = gradient(loss, z, y, earlier)
    of_binary = gradient(loss, z[:, 1] - z[:, 0], y[:, 1], earlier[:, 1])
    np.testing.assert_allclose(slope, torch.stack([-of_binary, of_binary], dim=1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.kind)
def test_a_shift_of_all_logits_changes_nothing_and_the_order_of_classes_has_no_say(loss: Loss) -> None:
    z, y, earlier = drawn(5)
    running = loss.start(y, LATE)
    running.observe(earlier)
    np.testing.assert_allclose(running(z + 7.5, y, LATE), running(z, y, LATE), rtol=1e-12, atol=1e-12)
    order = torch.tensor([3, 0, 4, 1, 2])
    other = loss.start(y[:, order], LATE)
    other.observe(earlier[:, order])
    np.testing.assert_allclose(other(z[:, order], y[:, order], LATE), running(z, y, LATE), rtol=1e-12, atol=1e-12)


def test_hardened_classes_come_about_as_often_as_they_are_labelled() -> None:
    """With predictions that lean to one class, thresholds bring the others back to their shares of the labels."""
    rng = np.random.default_rng(1)
    shares = np.array([0.6, 0.3, 0.1])
    y = torch.from_numpy(rng.dirichlet(20 * shares, 4000))
    z = torch.from_numpy(rng.normal(0, 1, (4000, 3)) + np.array([3.0, 0.0, 0.0]))  # nearly all rows favour class 0
    running = LogConf(window=4000).start(y, LATE)
    running.observe(z.softmax(1))
    hardened = running._hardened(z).mean(0).numpy()  # pyright: ignore[reportAttributeAccessIssue]
    assert (z.argmax(1) == 0).double().mean() > 0.9
    np.testing.assert_allclose(hardened, shares, atol=0.1)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.kind)
def test_finite_for_sure_predictions_in_float32(loss: Loss) -> None:
    z = torch.tensor([[80.0, -80.0, 0.0], [0.0, 0.0, 0.0], [-1e4, 1e4, 0.0]], requires_grad=True)
    y = torch.eye(3)
    running = loss.start(y, LATE)
    running.observe(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64))
    values = running(z, y, LATE)
    (slope,) = torch.autograd.grad(values.sum(), z)
    assert values.isfinite().all()
    assert slope.isfinite().all()


def test_the_window_tells_sure_predictions_apart_in_float32() -> None:
    """max f rounds to 1 in float32 for both rows, and only the less sure one is inside."""
    y = torch.tensor([[1 - 2e-9, 1e-9, 1e-9]] * 3, dtype=torch.float64)
    running = Window().start(y, LATE)
    z = torch.tensor([[19.0, 0.0, 0.0], [23.0, 0.0, 0.0]])
    assert (z.softmax(1)[:, 0] == 1).all()
    assert (running(z, torch.eye(3)[[1, 1]], LATE) > 0).tolist() == [True, False]


def test_hard_preferences_have_the_loss_of_reward_models() -> None:
    """−log σ(r_chosen − r_rejected), as TRL's RewardTrainer and Ouyang et al. (equation 1) have it."""
    rng = np.random.default_rng(4)
    rewards = torch.from_numpy(rng.normal(0, 3, (50, 2)))
    chosen = torch.from_numpy(rng.integers(0, 2, 50))
    y = (chosen == 0).double()  # 1: the first text is the better one
    expected = -torch.nn.functional.logsigmoid(
        rewards.gather(1, chosen[:, None]) - rewards.gather(1, 1 - chosen[:, None])
    )[:, 0]
    z = rewards[:, 0] - rewards[:, 1]
    np.testing.assert_allclose(Xent().start(y, LATE)(z, y, 0), expected, atol=1e-12)
    np.testing.assert_allclose(ConfidenceWeighted().start(y, LATE)(z, y, 0), expected, atol=1e-12)
    delta = torch.from_numpy(rng.normal(0, 2, 50))
    weight = 2 * (delta.abs().sigmoid() - 0.5)
    soft = ConfidenceWeighted().start(delta.sigmoid(), LATE)(z, delta.sigmoid(), 0)
    np.testing.assert_allclose(soft, weight * -torch.nn.functional.logsigmoid(z * delta.sign()), atol=1e-12)


def test_the_memory_of_logconf_survives_a_checkpoint() -> None:
    z, y, earlier = drawn(4)
    first = LogConf().start(y, LATE)
    first.observe(earlier)
    second = LogConf().start(y, LATE)
    second.load_state(first.state())
    assert torch.equal(first(z, y, LATE), second(z, y, LATE))
