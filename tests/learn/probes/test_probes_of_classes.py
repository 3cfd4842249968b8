"""Probes and filters on labels of K classes, against scikit-learn, brute force and their form for two classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from outshine.engine.errors import DataError
from outshine.learn.filters.probe_disagreement import ProbeDisagreement
from outshine.learn.filters.topofilter import TopoFilter
from outshine.learn.probes.base import Labelled, Probe
from outshine.learn.probes.knn import KNN
from outshine.learn.probes.logistic import Logistic

NUM, DIM = 240, 8


def made_up(num_classes: int, seed: int = 0, spread: float = 1.0) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Ids, activations that show the class, and soft labels that are mostly right."""
    rng = np.random.default_rng([num_classes, seed])
    truth = rng.integers(0, num_classes, NUM)
    centres = rng.normal(0, spread, (num_classes, DIM))
    acts = centres[truth] + rng.normal(0, 1, (NUM, DIM))
    p = 0.6 * np.eye(num_classes)[truth] + 0.4 * rng.dirichlet(np.ones(num_classes), NUM)
    return [f"{i:04d}" for i in range(NUM)], torch.from_numpy(acts).float(), torch.from_numpy(p)


@pytest.mark.parametrize("num_classes", [3, 10])
@pytest.mark.parametrize("penalty", [1e-2, 1e-3])
def test_logistic_is_scikit_learns(num_classes: int, penalty: float) -> None:
    ids, acts, p = made_up(num_classes)
    predicted = Logistic(penalty=penalty).fit(Labelled.of(ids, acts, p)).predict(acts)
    x = acts.double().numpy()
    reference = LogisticRegression(C=1 / (4 * NUM * penalty), tol=1e-12, max_iter=100_000)
    rows, classes = np.repeat(np.arange(NUM), num_classes), np.tile(np.arange(num_classes), NUM)
    reference.fit(x[rows], classes, sample_weight=p.numpy().ravel())
    np.testing.assert_allclose(predicted.p.numpy(), reference.predict_proba(x), atol=2e-6)


@pytest.mark.parametrize("standardize", [False, True])
def test_logistic_of_two_classes_is_that_of_a_binary_label(standardize: bool) -> None:
    ids, acts, p = made_up(2)
    acts = acts * torch.logspace(-2, 2, DIM)
    probe = Logistic(standardize=standardize)
    both = probe.fit(Labelled.of(ids, acts, p)).predict(acts).p
    one = probe.fit(Labelled.of(ids, acts, p[:, 1].contiguous())).predict(acts).p
    np.testing.assert_allclose(both[:, 1], one, atol=3e-6)


def test_logistic_fits_many_classes_of_wide_activations() -> None:
    rng = np.random.default_rng(3)
    num_classes = 77
    truth = np.repeat(np.arange(num_classes), 8)
    acts = rng.normal(0, 1, (num_classes, 384))[truth] + rng.normal(0, 1, (len(truth), 384))
    rows = Labelled.of([f"{i:05d}" for i in range(len(truth))], torch.from_numpy(acts), torch.eye(77)[truth].double())
    predicted = Logistic().fit(rows).predict(rows.acts)
    assert (predicted.p.argmax(1).numpy() == truth).mean() > 0.99
    np.testing.assert_allclose(predicted.p.sum(1), 1, atol=1e-12)


def test_knn_is_the_mean_of_the_nearest() -> None:
    ids, acts, p = made_up(4)
    rows = Labelled.of(ids, acts, p)
    fitted = KNN(k=7).fit(rows)
    new = made_up(4, seed=1)[1]
    distance = torch.cdist(new.double(), acts.double())
    np.testing.assert_allclose(fitted.predict(new).p, p[distance.argsort(1)[:, :7]].mean(1), atol=1e-12)
    own = torch.cdist(acts.double(), acts.double()).fill_diagonal_(torch.inf)
    np.testing.assert_allclose(fitted.predict_own(rows).p, p[own.argsort(1)[:, :7]].mean(1), atol=1e-12)


@pytest.mark.parametrize("probe", [KNN(k=5), Logistic()], ids=["knn", "logistic"])
def test_scores_are_logits_of_the_probabilities(probe: Probe) -> None:
    ids, acts, p = made_up(5)
    predicted = probe.fit(Labelled.of(ids, acts, (p > 0.5).double() + 1e-300)).predict(acts)
    assert predicted.log_odds.isfinite().all()
    np.testing.assert_allclose(predicted.log_odds.softmax(1), predicted.p, atol=1e-10)


def test_disagreement_drops_the_rows_whose_labels_are_turned() -> None:
    ids, acts, p = made_up(4, spread=4.0)
    turned = np.random.default_rng(5).choice(NUM, 24, replace=False)
    wrong = p.clone()
    wrong[turned] = p[turned].roll(1, dims=1)
    rows = Labelled.of(ids, acts, wrong)
    dropped = ~ProbeDisagreement(probe=KNN(k=9)).keep(rows, 0.1, rows).kept.numpy()
    assert np.isin(np.flatnonzero(dropped), turned).mean() > 0.9
    assert dropped.sum() == 24


def test_topofilter_keeps_the_largest_component_of_each_class() -> None:
    """Three clusters of a class each, and a few rows of class 0 far away from all: these are no part of a component."""
    rng = np.random.default_rng(7)
    centres = np.array([[0.0, 0.0], [40.0, 0.0], [0.0, 40.0], [90.0, 90.0]])
    sizes, classes = [60, 50, 40, 8], [0, 1, 2, 0]
    truth = np.repeat(classes, sizes)
    acts = torch.from_numpy(np.repeat(centres, sizes, axis=0) + rng.normal(0, 1, (len(truth), 2)))
    p = 0.9 * torch.eye(3)[truth].double() + 0.1 / 3
    rows = Labelled.of([f"{i:04d}" for i in range(len(truth))], acts, p)
    filtered = TopoFilter(k=6).keep(rows, 0.01, rows)  # the components alone drop more than this
    nearest = torch.cdist(acts, acts).fill_diagonal_(torch.inf).argsort(1)[:, :6].numpy()
    expected = np.zeros(len(truth), dtype=bool)
    for number in range(3):
        own = np.flatnonzero(truth == number)
        reach = np.eye(len(own), dtype=bool)
        reach |= (nearest[own][:, :, None] == own).any(1)
        for _ in range(8):  # paths of up to 2^8 edges
            reach = reach @ reach
        component = max((reach & reach.T), key=lambda row: row.sum())
        expected[own[component]] = True
    assert filtered.kept.numpy().tolist() == expected.tolist()
    assert not expected[150:].any()
    assert expected[:150].mean() > 0.8
    assert filtered.facts["removed_by_components"] == pytest.approx(1 - expected.mean())


@pytest.mark.parametrize("chosen", [TopoFilter(k=9), ProbeDisagreement(probe=KNN(k=9))], ids=["topofilter", "probe"])
def test_filters_of_two_classes_are_those_of_a_binary_label(chosen: TopoFilter | ProbeDisagreement) -> None:
    ids, acts, p = made_up(2)
    both, one = Labelled.of(ids, acts, p), Labelled.of(ids, acts, p[:, 1].contiguous())
    assert torch.equal(chosen.keep(both, 0.2, both).kept, chosen.keep(one, 0.2, one).kept)


def test_one_class_is_refused() -> None:
    ids, acts, p = made_up(3)
    p[:, 0] += 1
    rows = Labelled.of(ids, acts, p / p.sum(1, keepdim=True))
    with pytest.raises(DataError, match="all rows are of one class"):
        TopoFilter(k=5).keep(rows, 0.1, rows)
