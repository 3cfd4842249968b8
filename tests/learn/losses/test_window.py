"""The confidence-window loss against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from outshine.learn.losses.window import Window
from outshine.learn.losses.xent import Xent

Z = torch.linspace(-6, 6, 61, dtype=torch.float64)
Y = torch.linspace(0.02, 0.98, 61, dtype=torch.float64)[torch.randperm(61, generator=torch.Generator().manual_seed(3))]


@pytest.mark.parametrize("radius", [0.01, 0.2, 0.4, 0.49])
def test_rows_inside_have_the_cross_entropy_and_rows_outside_nothing(radius):
    z = Z.clone().requires_grad_()
    value = Window(radius=radius).start(Y, 100)(z, Y, 3)
    inside = (torch.sigmoid(Z) - 0.5).abs() <= radius
    assert 0 < inside.sum() < len(Z)
    plain = Xent().start(Y, 100)(Z, Y, 3)
    assert torch.equal(value, plain.where(inside, torch.zeros(())))
    value.sum().backward()
    torch.testing.assert_close(z.grad, (torch.sigmoid(Z) - Y).where(inside, torch.zeros(())))


def test_the_radius_is_the_median_confidence_of_the_training_labels():
    for y in (Y, Y[:-1]):  # odd and even number
        assert Window().radius_for(y) == pytest.approx(np.median(np.abs(y.numpy() - 0.5)), abs=1e-15)
    by_hand = Window(radius=Window().radius_for(Y)).start(Y, 100)(Z, Y, 0)
    assert torch.equal(Window().start(Y, 100)(Z, Y, 0), by_hand)


def test_each_run_has_its_own_radius():
    loss = Window()
    narrow, wide = torch.full((9,), 0.55, dtype=torch.float64), torch.full((9,), 0.95, dtype=torch.float64)
    z = torch.logit(torch.tensor([0.7], dtype=torch.float64))
    y = torch.tensor([1.0], dtype=torch.float64)
    first = loss.start(wide, 10)
    assert loss.start(narrow, 10)(z, y, 0).item() == 0
    assert first(z, y, 0).item() == pytest.approx(-np.log(0.7))


def test_a_radius_of_one_half_keeps_everything():
    z = torch.tensor([-800.0, -30.0, 0.0, 30.0, 800.0])
    y = torch.tensor([1.0, 0.0, 0.5, 1.0, 0.0])
    assert torch.equal(Window(radius=0.5).start(y, 9)(z, y, 0), Xent().start(y, 9)(z, y, 0))


def test_confidence_is_compared_where_probabilities_round_to_one():
    z = torch.tensor([20.0, 40.0])  # both sigmoids are 1 in float32
    y = torch.ones(2)
    radius = 0.5 - 1e-12  # |z| up to 27.6
    kept = Window(radius=radius).start(y, 9)(z, y - 0.5, 0) > 0
    assert kept.tolist() == [True, False]


def test_labels_that_are_all_one_half_are_told():
    half = torch.full((8,), 0.5, dtype=torch.float64)
    assert "radius is 0" in Window().notes(half)[0]
    assert Window().notes(Y) == []


@pytest.mark.parametrize("radius", [0, -0.1, 0.6, "mean"])
def test_a_radius_out_of_range_is_refused(radius):
    with pytest.raises(ValidationError):
        Window(radius=radius)
