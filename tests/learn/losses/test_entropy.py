"""The entropy loss against its closed forms."""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import entropy as scipy_entropy

from outshine.learn.losses import losses
from outshine.learn.losses.entropy import Entropy, entropy
from outshine.learn.losses.xent import Xent

Z = torch.linspace(-9, 9, 37, dtype=torch.float64)
Y = torch.linspace(0, 1, 37, dtype=torch.float64)[torch.randperm(37, generator=torch.Generator().manual_seed(3))]
LATE = 10_000


def gradient(loss, z, y, step=LATE):
    z = z.clone().requires_grad_()
    loss.start(y, 400)(z, y, step).sum().backward()
    return z.grad


def test_the_penalty_is_the_entropy_of_the_prediction():
    f = torch.sigmoid(Z)
    expected = torch.tensor([scipy_entropy([p, 1 - p]) for p in f.tolist()], dtype=torch.float64)
    torch.testing.assert_close(entropy(Z), expected, rtol=1e-12, atol=1e-15)
    value = Entropy(alpha=0.3).start(Y, 400)(Z, Y, LATE)
    cross = -(Y * f.log() + (1 - Y) * (1 - f).log())
    torch.testing.assert_close(value, 0.7 * cross + 0.3 * expected, rtol=1e-11, atol=1e-15)


def test_the_gradient_goes_through_both_places():
    """d/dz: (1 − a)(f − y) − a z f (1 − f). With the target detached the second term would be missing."""
    f = torch.sigmoid(Z)
    found = gradient(Entropy(alpha=0.5), Z, Y)
    torch.testing.assert_close(found, 0.5 * (f - Y) - 0.5 * Z * f * (1 - f), rtol=1e-11, atol=1e-14)


def test_the_gradient_is_no_multiple_of_the_cross_entropys():
    ratio = gradient(Entropy(alpha=0.5), Z, Y) / gradient(Xent(), Z, Y)
    assert ratio.max() - ratio.min() > 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("alpha", "step"), [(0.0, LATE), (0.5, 0)])
def test_without_the_penalty_it_is_the_cross_entropy_to_the_bit(dtype, alpha, step):
    z, y = Z.to(dtype), Y.to(dtype)
    loss = Entropy(alpha=alpha)
    assert torch.equal(loss.start(y, 400)(z, y, step), Xent().start(y, 400)(z, y, step))
    assert torch.equal(gradient(loss, z, y, step), gradient(Xent(), z, y, step))


def test_at_one_half_the_curvature_changes_sign_at_alpha_one_half():
    """(1 − 2a)/4 at z = 0, y = ½: a = ½ is the bifurcation."""
    for alpha in (0.2, 0.5, 0.8):
        z = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        y = torch.full((1,), 0.5, dtype=torch.float64)
        value = Entropy(alpha=alpha).start(y, 400)(z, y, LATE).sum()
        (first,) = torch.autograd.grad(value, z, create_graph=True)
        assert first.item() == 0
        near = gradient(Entropy(alpha=alpha), torch.tensor([1e-4], dtype=torch.float64), y).item() / 1e-4
        assert near == pytest.approx((1 - 2 * alpha) / 4, abs=1e-7)


def test_above_one_half_there_is_a_minimum_away_from_the_label():
    y = torch.tensor([0.5], dtype=torch.float64)

    def slope(z):
        return gradient(Entropy(alpha=0.6), torch.tensor([z], dtype=torch.float64), y).item()

    away = brentq(slope, 0.1, 20)
    assert away > 0.5
    assert slope(-away) == pytest.approx(0, abs=1e-9)


def test_it_is_faded_in_over_a_quarter_of_the_run_at_most():
    z, y = Z[Z > 0], torch.ones(int((Z > 0).sum()), dtype=torch.float64)

    def weight(step, num_updates):
        value = Entropy(alpha=0.4).start(y, num_updates)(z, y, step)
        cross = Xent().start(y, 1)(z, y, 0)
        return ((value - cross) / (entropy(z) - cross)).mean().item()

    assert weight(50, 10_000) == pytest.approx(0.4 * 50 / 100)
    assert weight(5, 40) == pytest.approx(0.4 * 5 / 10)
    assert weight(100, 10_000) == pytest.approx(0.4)


def test_alpha_above_one_half_is_told():
    assert Entropy().notes(Y) == []
    assert "0.6 is above .5" in Entropy(alpha=0.6).notes(Y)[0]
    assert losses.parse({"kind": "entropy", "alpha": 0.6}) == Entropy(alpha=0.6)
