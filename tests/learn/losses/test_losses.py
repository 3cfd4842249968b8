"""Cross-entropy and log-confidence against closed forms, gradient identities and a threshold computed by hand."""

import math
import statistics

import numpy as np
import pytest
import torch
from scipy.special import expit

from outshine.engine.errors import OutshineError, SettingsError
from outshine.learn.losses import cross_entropy, losses
from outshine.learn.losses.base import auxiliary_warmup, fade_in
from outshine.learn.losses.logconf import LogConf
from outshine.learn.losses.xent import Xent

NONE = torch.zeros(0, dtype=torch.float64)
Z = torch.linspace(-6, 6, 49, dtype=torch.float64)
Y = torch.rand(49, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def doubles(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def logconf(num_updates: int = 400, **settings):
    return LogConf(**settings).start(Y, num_updates)


def gradient(running, step: int, z: torch.Tensor = Z, y: torch.Tensor = Y) -> torch.Tensor:
    z = z.clone().requires_grad_()
    running(z, y, step).sum().backward()
    assert z.grad is not None
    return z.grad


def test_cross_entropy_is_its_definition():
    f, y = expit(Z.numpy()), Y.numpy()
    np.testing.assert_allclose(cross_entropy(Z, Y), -y * np.log(f) - (1 - y) * np.log1p(-f), rtol=1e-12)


@pytest.mark.parametrize(
    ("z", "y", "value"),
    [(0, 0.3, math.log(2)), (0, 1, math.log(2)), (800, 1, 0), (800, 0, 800), (-800, 1, 800), (-800, 0.25, 200)],
)
def test_cross_entropy_at_points_known_in_closed_form(z, y, value):
    assert cross_entropy(doubles(z), doubles(y)).item() == pytest.approx(value, abs=1e-12)


def test_the_gradient_of_cross_entropy_is_prediction_minus_label():
    torch.testing.assert_close(gradient(Xent().start(Y, 10), 0), torch.sigmoid(Z) - Y)


def test_cross_entropy_is_least_at_the_label():
    best = torch.logit(Y)
    assert (cross_entropy(best, Y) < cross_entropy(best + 0.1, Y)).all()
    assert (cross_entropy(best, Y) < cross_entropy(best - 0.1, Y)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("step", [0, 3, 1000])
def test_logconf_without_confidence_is_cross_entropy_to_the_bit(step, dtype):
    running = logconf(alpha=0)
    running.observe(doubles(0.2, 0.9))
    z, y = Z.to(dtype), Y.to(dtype)
    plain = Xent().start(Y, 10)
    assert torch.equal(running(z, y, step), plain(z, y, step))
    assert torch.equal(gradient(running, step, z, y), gradient(plain, step, z, y))


def test_logconf_at_its_first_update_is_cross_entropy_to_the_bit():
    assert torch.equal(logconf()(Z, Y, 0), cross_entropy(Z, Y))


@pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0])
def test_logconf_mixes_the_label_with_the_hardened_prediction(alpha):
    running = logconf(alpha=alpha)
    running.observe(doubles(0.1, 0.7, 0.8))
    f, y = expit(Z.numpy()), Y.numpy()
    hardened = f > 0.7

    def ce(target):
        return -np.where(target > 0, target * np.log(f), 0) - np.where(target < 1, (1 - target) * np.log1p(-f), 0)

    expected = (1 - alpha) * ce(y) + alpha * ce(hardened.astype(float))
    np.testing.assert_allclose(running(Z, Y, 10_000), expected, rtol=1e-9)


def test_the_hardened_label_is_a_constant_for_the_gradient():
    running = logconf(alpha=0.5)
    running.observe(doubles(0.4))
    f = torch.sigmoid(Z)
    expected = 0.5 * (f - Y) + 0.5 * (f - (f > 0.4).double())  # had it a gradient, there would be more terms
    torch.testing.assert_close(gradient(running, 10_000), expected)


@pytest.mark.parametrize(
    ("observed", "threshold"),
    [
        ([], 0.5),
        ([[0.2]], 0.2),
        ([[0.2, 0.8]], 0.5),
        ([[0.9, 0.1, 0.3]], 0.3),
        ([[0.9, 0.1], [0.3, 0.4]], 0.35),  # even: the mean of the middle two
        ([[0.0] * 31, [1.0]], 0.0),
        ([[0.0] * 40, [1.0] * 16], 0.5),  # the last 32 only: 16 of each
        ([[0.0] * 40, [1.0] * 17], 1.0),
    ],
)
def test_the_threshold_is_the_median_of_the_last_32(observed, threshold):
    running = logconf()
    for batch in observed:
        running.observe(doubles(*batch))
    assert running.threshold == pytest.approx(threshold, abs=1e-15)


def test_the_threshold_of_a_long_run_is_the_median_by_hand():
    rng = np.random.default_rng(0)
    running, seen = logconf(), []
    for size in [1, 2, 30, 32, 33, 64, 5, 7, 1, 1]:
        batch = rng.random(size)
        running.observe(torch.as_tensor(batch))
        seen.extend(batch.tolist())
        assert running.threshold == pytest.approx(statistics.median(seen[-32:]), abs=1e-15)


def test_the_window_is_a_setting():
    running = logconf(window=3)
    running.observe(doubles(0.9, 0.9, 0.9, 0.1, 0.2, 0.3))
    assert running.threshold == 0.2


def test_a_prediction_at_the_threshold_is_not_above_it():
    assert torch.equal(gradient(logconf(alpha=1.0), 10_000, doubles(0.0), doubles(1.0)), doubles(0.5))  # target 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saturated_predictions_are_still_told_apart(dtype):
    running = logconf(alpha=1.0)
    running.observe(torch.sigmoid(doubles(*range(18, 26))))  # in float32 all of these are 1
    z = torch.tensor([18.0, 20.0, 23.0, 25.0], dtype=dtype)
    hardened = torch.sigmoid(z) - gradient(running, 10_000, z, torch.full_like(z, 0.5))
    assert hardened.round().tolist() == [0, 0, 1, 1]


def test_the_median_splits_in_halves_however_one_sided_the_predictions_are():
    running = logconf(alpha=1.0)
    f = 0.9 + 0.1 * torch.rand(32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    running.observe(f)
    targets = f - gradient(running, 10_000, torch.logit(f), torch.zeros_like(f))
    assert targets.round().sum() == 16


@pytest.mark.parametrize(
    ("num_updates", "step", "share"),
    [(939, 0, 0), (939, 50, 0.5), (939, 100, 1), (939, 900, 1), (40, 5, 0.5), (40, 10, 1), (6, 1, 0.5), (1, 0, 0)],
)
def test_confidence_fades_in_over_100_updates_or_a_quarter_of_the_run(num_updates, step, share):
    running = logconf(num_updates, alpha=0.8)
    a = 0.8 * share
    f = torch.sigmoid(Z)
    torch.testing.assert_close(gradient(running, step), (1 - a) * (f - Y) + a * (f - (f > 0.5).double()))


def test_fading_in():
    assert [fade_in(t, 4) for t in (0, 1, 2, 4, 9)] == [0, 0.25, 0.5, 1, 1]
    assert fade_in(0, 0) == 1
    assert [auxiliary_warmup(n, 100) for n in (1, 4, 5, 399, 400, 401, 1000)] == [1, 1, 2, 100, 100, 100, 100]


def test_the_buffer_is_the_whole_state():
    running = logconf()
    assert set(running.state()) == {"recent"}
    assert torch.equal(running.state()["recent"], NONE)
    running.observe(torch.linspace(0, 1, 50, dtype=torch.float64))
    assert running.state()["recent"].shape == (32,)
    other = logconf()
    other.load_state(running.state())
    assert other.threshold == running.threshold


def test_settings_of_losses():
    assert LogConf() == losses.parse("logconf") == losses.parse({"kind": "logconf", "alpha": 0.5})
    assert (LogConf().alpha, LogConf().warmup_updates, LogConf().window) == (0.5, 100, 32)
    assert logconf(warmup_updates=0)(Z, Y, 0).shape == Z.shape
    with pytest.raises(OutshineError, match="unknown loss 'logcnf'; did you mean 'logconf'"):
        losses.parse("logcnf")
    with pytest.raises(SettingsError, match="alpha"):
        losses.parse({"kind": "logconf", "alpha": 1.5})
