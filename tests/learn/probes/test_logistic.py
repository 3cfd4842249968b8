"""The logistic probe against scikit-learn and against its own optimality conditions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from outshine.engine.errors import TrainingError
from outshine.learn.probes import Labelled, newton
from outshine.learn.probes.logistic import Logistic


def rows(n=200, d=8, seed=0, scale=None, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    acts = torch.randn(n, d, generator=generator)
    p = torch.sigmoid(acts @ torch.randn(d, generator=generator) + torch.randn(n, generator=generator) + 0.5).double()
    if scale is not None:
        acts = acts * scale
    return Labelled.of([f"{i:05d}" for i in range(n)], acts + shift, p)


def scikit_learn(x, p, penalty, max_iter=20_000):
    """Each row twice, with weights p and 1 − p; C = 1/(2 N λ) with N the number of rows before that."""
    n = len(p)
    model = LogisticRegression(C=1 / (2 * n * penalty), tol=1e-12, max_iter=max_iter, solver="newton-cholesky")
    model.fit(np.vstack([x, x]), np.r_[np.ones(n), np.zeros(n)], sample_weight=np.r_[p, 1 - p])
    return model.coef_[0], model.intercept_[0]


def objective(x, p, penalty, w, b):
    """Value and gradient in NumPy, independently."""
    z = x @ w + b
    f = 1 / (1 + np.exp(-z))
    value = np.mean(np.logaddexp(0, z) - p * z) + penalty * w @ w
    return value, np.r_[x.T @ (f - p) / len(p) + 2 * penalty * w, np.mean(f - p)]


SHAPES = {
    "tall": rows(),
    "wide": rows(60, 150),
    "off centre": rows(shift=40.0),
    "uneven": rows(300, 40, scale=torch.logspace(-3, 2, 40)),
    "one constant": rows(scale=torch.tensor([0.0] + [1.0] * 7), shift=2.0),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 1.0])
def test_it_is_scikit_learns_solution(shape, penalty):
    train = SHAPES[shape]
    x, p = train.acts.double().numpy(), train.p_weak.numpy()
    weight, bias = scikit_learn(x, p, penalty)
    found = Logistic(penalty=penalty).fit(train)
    np.testing.assert_allclose(found.weight, weight, rtol=2e-4, atol=1e-5)
    expected = 1 / (1 + np.exp(-(x @ weight + bias)))
    np.testing.assert_allclose(found.predict(train.acts).p, expected, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 10.0])
def test_the_gradient_vanishes(shape, penalty):
    train = SHAPES[shape]
    found = Logistic(penalty=penalty).fit(train)
    x = train.acts.double().numpy()
    centred = x - x.mean(0)  # where the solver measures it: the intercept is that at the mean
    middle = (found.bias + torch.from_numpy(x.mean(0)) @ found.weight).item()
    _, gradient = objective(centred, train.p_weak.numpy(), penalty, found.weight.numpy(), middle)
    assert np.linalg.norm(gradient) <= 1.1 * np.sqrt(4 * penalty * newton.SUBOPTIMALITY)


def test_standardised_activations():
    train = rows(300, 12, scale=torch.logspace(-2, 2, 12), shift=3.0)
    x = StandardScaler().fit_transform(train.acts.double().numpy())
    weight, bias = scikit_learn(x, train.p_weak.numpy(), 1e-2)
    found = Logistic(standardize=True).fit(train).predict(train.acts).log_odds
    np.testing.assert_allclose(found, x @ weight + bias, atol=1e-5)
    assert not np.allclose(found, Logistic().fit(train).predict(train.acts).log_odds, atol=0.01)


def test_a_constant_dimension_is_left_out_of_standardising():
    train = rows(scale=torch.tensor([0.0] + [1.0] * 7), shift=0.1)
    found = Logistic(standardize=True).fit(train)
    assert abs(found.weight[0]) < 1e-9
    assert torch.isfinite(found.predict(train.acts).log_odds).all()


@pytest.mark.parametrize("patience", [0, 3])
@pytest.mark.parametrize("rank", [5, 400])
def test_the_preconditioner_changes_the_way_but_not_the_end(patience, rank, monkeypatch):
    train = rows(500, 60, scale=torch.logspace(-2, 2, 60))
    plain = Logistic().fit(train)
    monkeypatch.setattr(newton, "PATIENCE", patience)
    monkeypatch.setattr(newton, "RANK", rank)
    torch.testing.assert_close(
        Logistic().fit(train).predict(train.acts).p, plain.predict(train.acts).p, atol=1e-5, rtol=0
    )


def test_the_preconditioner_saves_products(monkeypatch):
    """A spectrum that falls off slowly: the case that it is there for."""
    features = newton.Features(rows(800, 200, scale=torch.arange(1, 201) ** -0.7 * 30).acts, standardize=False)
    p = torch.rand(800, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def products(patience):
        made = []
        monkeypatch.setattr(newton, "PATIENCE", patience)
        monkeypatch.setattr(newton._Problem, "__init__", _recording(made))
        newton.minimise(features, p, 1e-3)
        return made[0].products

    original = newton._Problem.__init__

    def _recording(made):
        def start(self, *arguments):
            original(self, *arguments)
            made.append(self)

        return start

    assert products(10) < 0.7 * products(10**9)


def test_the_low_rank_approximation_is_exact_at_full_rank():
    train = rows(90, 20)
    features = newton.Features(train.acts.double(), standardize=True)
    x = StandardScaler().fit_transform(train.acts.double().numpy())
    found = newton.LowRank.of(features)
    rebuilt = (found.vectors * found.values) @ found.vectors.T
    np.testing.assert_allclose(rebuilt, x.T @ x / 90, atol=1e-9)
    v = torch.randn(20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    solved = np.linalg.solve(0.2 * x.T @ x / 90 + 0.02 * np.eye(20), v)
    np.testing.assert_allclose(found.solve(v, 0.2, 0.02), solved, rtol=1e-7)


def test_labels_that_are_all_equal_give_that_probability():
    train = rows()
    flat = train._replace(p_weak=torch.full_like(train.p_weak, 0.3))
    found = Logistic().fit(flat)
    torch.testing.assert_close(found.predict(train.acts).p, flat.p_weak, atol=1e-7, rtol=0)


def test_a_minimum_that_is_not_reached_is_told(monkeypatch):
    monkeypatch.setattr(newton, "MAX_STEPS", 1)
    with pytest.raises(TrainingError, match="after 1 Newton steps"):
        Logistic(penalty=1e-4).fit(rows())
