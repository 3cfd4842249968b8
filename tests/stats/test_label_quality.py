"""Doubted labels: the score against its definition, confident learning against a general implementation by loops."""

from __future__ import annotations

import numpy as np
import pytest

from outshine.engine.errors import DataError
from outshine.stats.auroc import auroc
from outshine.stats.label_quality import confident_joint, suspicion


def confident_joint_by_loops(given: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, list[bool]]:
    """Northcutt et al., equation 1, for any number of classes: p [n, K]."""
    num = p.shape[1]
    thresholds = [np.mean([row[j] for row, label in zip(p, given, strict=True) if label == j]) for j in range(num)]
    counts, suspect = np.zeros((num, num), dtype=int), []
    for label, row in zip(given, p, strict=True):
        sure = [j for j in range(num) if row[j] >= thresholds[j]]
        best = max(sure, key=lambda j: (row[j], j == label)) if sure else None
        if best is not None:
            counts[label, best] += 1
        suspect.append(best is not None and best != label)
    return counts, suspect


@pytest.mark.parametrize("seed", range(5))
def test_it_counts_as_confident_learning_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    given = (rng.random(200) < 0.3).astype(int)
    p = np.round(np.clip(0.3 + 0.3 * given + 0.3 * rng.normal(size=200), 0, 1), 1)  # rounded: ties at the thresholds
    counts, suspect = confident_joint_by_loops(given, np.stack([1 - p, p], axis=1))
    found = confident_joint(given, p)
    assert found.counts.tolist() == counts.tolist()
    assert found.suspect.tolist() == suspect
    assert 0 < sum(suspect) < 200


def test_by_hand() -> None:
    """Thresholds: .6833 for class 0 (mean of .9, .9, .25), .7 for class 1 (mean of .8, .9, .4)."""
    found = confident_joint([0, 0, 0, 1, 1, 1], [0.1, 0.1, 0.75, 0.8, 0.9, 0.4])
    assert found.thresholds == pytest.approx([2.05 / 3, 0.7])
    assert found.suspect.tolist() == [False, False, True, False, False, False]
    assert found.counts.tolist() == [[2, 1], [0, 2]]  # the last row is sure of neither class


def test_suspicion_is_the_chance_that_two_draws_differ() -> None:
    rng = np.random.default_rng(1)
    label, model = rng.random((2, 3))
    draws = rng.random((2, 400_000, 3)) < np.stack([label, model])[:, None]
    assert suspicion(label, model) == pytest.approx((draws[0] != draws[1]).mean(axis=0), abs=0.004)


def test_of_hard_labels_it_is_one_less_the_self_confidence() -> None:
    p = np.array([0.0, 0.2, 0.5, 0.9])
    assert suspicion(np.ones(4), p) == pytest.approx(1 - p)
    assert suspicion(np.zeros(4), p) == pytest.approx(p)
    margin = p - (1 - p)  # p(given) − p(other) for class 1
    assert suspicion(np.ones(4), p) == pytest.approx((1 - margin) / 2)


def test_planted_errors_rank_high() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random(2000) < 0.5
    flipped = rng.random(2000) < 0.1
    p = 1 / (1 + np.exp(-(2 * (2 * truth - 1) + rng.normal(size=2000))))
    given = truth ^ flipped
    assert auroc(flipped, suspicion(given.astype(float), p)) > 0.95
    suspect = confident_joint(given, p).suspect
    assert flipped[suspect].mean() > 0.9
    assert suspect[flipped].mean() > 0.4


def test_what_cannot_be_ranked() -> None:
    with pytest.raises(DataError, match="must lie in"):
        suspicion([0.0, 1.0], [0.5, 1.5])
    with pytest.raises(DataError, match="one probability for each of 2 rows"):
        suspicion([0.0, 1.0], [0.5])
    with pytest.raises(DataError, match="all 2 are 1"):
        confident_joint([1, 1], [0.5, 0.6])


@pytest.mark.parametrize("num_classes", [3, 6])
def test_several_classes_are_counted_alike(num_classes: int) -> None:
    rng = np.random.default_rng(num_classes)
    given = rng.integers(num_classes, size=300)
    p = rng.dirichlet(np.ones(num_classes), size=300) + 0.5 * np.eye(num_classes)[given]
    p = np.round(p / p.sum(axis=1, keepdims=True), 1)  # rounded: ties at the thresholds
    counts, suspect = confident_joint_by_loops(given, p)
    found = confident_joint(given, p)
    assert found.counts.tolist() == counts.tolist()
    assert found.suspect.tolist() == suspect


def test_two_classes_given_by_their_probabilities_are_the_binary_case() -> None:
    rng = np.random.default_rng(3)
    label, p = rng.random((2, 50))
    both = [np.stack([1 - values, values], axis=1) for values in (label, p)]
    assert suspicion(*both) == pytest.approx(suspicion(label, p), abs=1e-15)
    given = (label > 0.5).astype(int)
    assert confident_joint(given, both[1]).suspect.tolist() == confident_joint(given, p).suspect.tolist()


def test_a_class_that_nobody_is_labelled_is_never_believed() -> None:
    found = confident_joint([0, 0, 1], [[0.1, 0.1, 0.8], [0.6, 0.2, 0.2], [0.1, 0.2, 0.7]])
    assert not np.isfinite(found.thresholds[2])
    assert found.counts[:, 2].sum() == 0
