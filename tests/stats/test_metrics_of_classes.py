"""Metrics of several classes and of pairs, against scikit-learn, and their influence functions against brute force."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import expit, log_softmax
from simulations import MACRO_AUROC_CASES, macro_auroc_coverage
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score

from outshine.engine.errors import DataError
from outshine.stats.auc_covariance import combine_seeds
from outshine.stats.metrics.accuracy import Accuracy
from outshine.stats.metrics.auroc import Auroc
from outshine.stats.metrics.balanced_accuracy import BalancedAccuracy
from outshine.stats.metrics.log_loss import LogLoss
from outshine.stats.metrics.macro_auroc import MacroAuroc
from outshine.stats.metrics.pair_accuracy import PairAccuracy
from outshine.stats.pgr import compare_roles

CASES = range(200)


class World(NamedTuple):
    """Truth with every class at least twice, scores with many ties, and groups."""

    y: np.ndarray
    scores: np.ndarray
    groups: np.ndarray


def classes(seed: int, n: int = 30, num_classes: int = 4, absent: int | None = None) -> World:
    """Logits of few values: their softmax ties within and between rows. `absent`: a class that no row has."""
    rng = np.random.default_rng([47, seed])
    there = [number for number in range(num_classes) if number != absent]
    y = rng.permutation(np.concatenate([np.repeat(there, 2), rng.choice(there, size=n - 2 * len(there))]))
    logits = np.log(rng.integers(1, 6, size=(n, num_classes)) + 3.0 * (y[:, None] == np.arange(num_classes)))
    return World(y, logits, rng.integers(0, 10, n))


def shares(logits: np.ndarray) -> np.ndarray:
    """Their softmax from whole numbers: equal shares are equal floats."""
    whole = np.exp(logits).round()
    return whole / whole.sum(axis=1, keepdims=True)


def two(seed: int, n: int = 30) -> World:
    rng = np.random.default_rng([53, seed])
    y = rng.permutation(np.arange(n) < n // 3)
    return World(y, (rng.normal(size=n) + y).round(1), rng.integers(0, 10, n))


def pairs(seed: int, n: int = 30) -> World:
    """A fifth of the truths are ties, and many log-odds are 0."""
    rng = np.random.default_rng([59, seed])
    y = rng.permutation(np.concatenate([[0.0, 1.0], rng.choice([0, 0.5, 1], p=[0.4, 0.2, 0.4], size=n - 2)]))
    return World(y, (rng.normal(size=n) + 2 * y - 1).round(), rng.integers(0, 10, n))


def one_vs_rest(y: np.ndarray, p: np.ndarray) -> float:
    """scikit-learn's, over the classes that are there."""
    return float(np.mean([roc_auc_score(y == number, p[:, number]) for number in np.unique(y)]))


@pytest.mark.parametrize("seed", CASES)
def test_values_are_scikit_learns(seed):
    y, logits, _ = classes(seed)
    p = shares(logits)
    assert MacroAuroc().value(y, logits) == pytest.approx(
        roc_auc_score(y, p, multi_class="ovr", average="macro"), abs=1e-12
    )
    assert Accuracy().value(y, logits) == accuracy_score(y, logits.argmax(axis=1))
    assert BalancedAccuracy().value(y, logits) == pytest.approx(balanced_accuracy_score(y, logits.argmax(1)), abs=1e-12)
    assert LogLoss().value(y, logits) == pytest.approx(-log_loss(y, p, labels=range(4)), abs=1e-12)
    y, log_odds, _ = two(seed)
    assert BalancedAccuracy().value(y, log_odds) == pytest.approx(balanced_accuracy_score(y, log_odds > 0), abs=1e-12)
    assert LogLoss().value(y, log_odds) == pytest.approx(-log_loss(y, expit(log_odds)), abs=1e-12)
    y, log_odds, _ = pairs(seed)
    kept = (y != 0.5) & (log_odds != 0)
    right = accuracy_score(y[kept], log_odds[kept] > 0, normalize=False) + np.sum((log_odds == 0) & (y != 0.5)) / 2
    assert PairAccuracy().value(y, log_odds) == pytest.approx(right / np.sum(y != 0.5), abs=1e-12)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_a_class_without_rows_is_left_out(seed):
    y, logits, groups = classes(seed, absent=seed % 4)
    p = shares(logits)
    assert MacroAuroc().value(y, logits) == pytest.approx(one_vs_rest(y, p), abs=1e-12)
    assert BalancedAccuracy().value(y, logits) == pytest.approx(balanced_accuracy_score(y, logits.argmax(1)), abs=1e-12)
    assert LogLoss().value(y, logits) == pytest.approx(-log_loss(y, p, labels=range(4)), abs=1e-12)
    assert np.isfinite(MacroAuroc().combine_seeds(y, logits[None, None], groups).estimate.cov).all()


def weighted_auroc(own: np.ndarray, score: np.ndarray, w: np.ndarray) -> float:
    """All pairs of a row of the class and another, by their weights."""
    wins = (score[own][:, None] > score[~own]) + (score[own][:, None] == score[~own]) / 2
    return float(w[own] @ wins @ w[~own] / (w[own].sum() * w[~own].sum()))


def weighted_macro(world: World, w: np.ndarray) -> float:
    p = shares(world.scores)
    return float(np.mean([weighted_auroc(world.y == k, p[:, k], w) for k in np.unique(world.y)]))


def weighted_recalls(world: World, w: np.ndarray) -> float:
    guess = world.scores > 0 if world.scores.ndim == 1 else world.scores.argmax(axis=1)
    return float(np.mean([np.average(guess[world.y == k] == k, weights=w[world.y == k]) for k in np.unique(world.y)]))


def weighted_share(world: World, w: np.ndarray) -> float:
    return float(np.average(world.scores.argmax(axis=1) == world.y, weights=w))


def weighted_log_p(world: World, w: np.ndarray) -> float:
    return float(np.average(log_softmax(world.scores, axis=1)[np.arange(len(w)), world.y], weights=w))


def weighted_pairs(world: World, w: np.ndarray) -> float:
    kept = world.y != 0.5
    right = np.where(world.scores == 0, 0.5, (world.scores > 0) == (world.y == 1))
    return float(np.average(right[kept], weights=w[kept]))


BRUTE = {
    "macro_auroc": (MacroAuroc(), classes, weighted_macro),
    "balanced_accuracy": (BalancedAccuracy(), classes, weighted_recalls),
    "balanced_accuracy, two classes": (BalancedAccuracy(), two, weighted_recalls),
    "accuracy": (Accuracy(), classes, weighted_share),
    "log_loss": (LogLoss(), classes, weighted_log_p),
    "pair_accuracy": (PairAccuracy(), pairs, weighted_pairs),
    "auroc": (Auroc(), two, lambda world, w: weighted_auroc(world.y, world.scores, w)),
}


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "draw", "brute"), BRUTE.values(), ids=BRUTE)
def test_influences_are_derivatives_by_weights_in_200_cases(metric, draw, brute: Callable[[World, np.ndarray], float]):
    """One row weighed a little more and a little less; the formula with weights is another one than ours."""
    for seed in CASES:
        world, step = draw(seed, 12), 1e-5
        assert metric.value(world.y, world.scores) == pytest.approx(brute(world, np.ones(12)), abs=1e-12)
        shifts = step * np.eye(12)
        slopes = [(brute(world, 1 + shift) - brute(world, 1 - shift)) / (2 * step) for shift in shifts]
        influence = metric.influence(world.y, world.scores)
        np.testing.assert_allclose(influence, 12 * np.array(slopes), atol=1e-8)
        assert influence.mean() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_covariances_by_class_are_obuchowskis_by_brute_force(seed):
    """Three factors: of the classes' groups, and of all groups where classes meet in one."""
    y, logits, groups = classes(seed, n=60, num_classes=3)
    roles = np.stack([logits, logits[:, ::-1], np.roll(logits, 1, axis=0)])
    psi = np.stack([BalancedAccuracy().influence(y, role) for role in roles]) / len(y)
    num, expected = len(np.unique(groups)), np.zeros((3, 3))
    sums = {(k, g): psi[:, (y == k) & (groups == g)].sum(axis=1) for k in range(3) for g in np.unique(groups)}
    for k in range(3):
        size = len(np.unique(groups[y == k]))
        for j in range(3):
            factor = size / (size - 1) if j == k else num / (num - 1)
            expected += factor * sum(np.outer(sums[k, g], sums[j, g]) for g in np.unique(groups))
    ours = BalancedAccuracy().combine_seeds(y, roles[None], groups).estimate
    np.testing.assert_allclose(ours.cov, expected, rtol=1e-10, atol=1e-15)
    fewest = min(1 / np.sum((np.unique(groups[y == k], return_counts=True)[1] / np.sum(y == k)) ** 2) for k in range(3))
    assert ours.parts[0].df == pytest.approx(max(fewest - 1, 1))


@pytest.mark.parametrize("seed", range(20))
def test_two_classes_are_the_binary_case(seed):
    """Logits (0, x) say what the log-odds x say: values and intervals are the same."""
    y, log_odds, groups = two(seed, 60)
    scores = np.stack([log_odds, -log_odds, np.roll(log_odds, 1)])[None]
    logits = np.stack([np.zeros_like(scores), scores], axis=-1)
    exact, macro = combine_seeds(y, scores, groups), MacroAuroc().combine_seeds(y.astype(int), logits, groups)
    np.testing.assert_allclose(macro.value, exact.value, rtol=1e-14)
    np.testing.assert_allclose(macro.estimate.cov, exact.estimate.cov, rtol=1e-10, atol=1e-18)
    assert (macro.estimate.parts[0].df, macro.num_trials) == (exact.estimate.parts[0].df, exact.num_trials)
    for metric in (Accuracy(), BalancedAccuracy(), LogLoss()):
        one, other = (metric.combine_seeds(y, given, groups) for given in (scores, logits))
        np.testing.assert_allclose(one.value, other.value, rtol=1e-12)
        np.testing.assert_allclose(one.estimate.cov, other.estimate.cov, rtol=1e-10, atol=1e-18)


def test_a_shift_of_a_rows_logits_and_rounding_break_no_tie():
    y, logits, _ = classes(3, n=200)
    shifted = logits + np.random.default_rng(3).normal(size=(200, 1)) * 10
    assert MacroAuroc().value(y, shifted) == pytest.approx(MacroAuroc().value(y, logits), abs=1e-12)


def test_sure_predictions_are_finite_and_cost_what_scikit_learn_says():
    y = np.array([0, 1, 2])
    logits = np.where(np.eye(3)[[0, 1, 0]] == 1, 0.0, -np.inf)
    assert LogLoss().value(y, logits) == pytest.approx(-log_loss(y, np.exp(logits)), abs=1e-12)
    assert LogLoss().value(y, logits) == pytest.approx(np.log(2.0**-52) / 3)
    assert LogLoss().value(np.array([1, 0]), np.array([np.inf, np.inf])) == pytest.approx(np.log(2.0**-52) / 2)
    assert MacroAuroc().value(y, logits) == pytest.approx((0.75 + 1 + 0.5) / 3)
    assert np.isfinite(LogLoss().influence(y, logits)).all()


def test_equal_logits_are_the_first_class_and_ties_of_pairs_count_half():
    assert Accuracy().value(np.array([0, 1]), np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])) == 0.5
    assert PairAccuracy().value(np.array([1, 0, 0.5]), np.array([0.0, 0.0, 3.0])) == 0.5


def test_tied_pairs_are_in_no_number():
    y, log_odds, groups = pairs(5, 60)
    kept = y != 0.5
    own, others = (PairAccuracy().combine_seeds(*given) for given in (
        (y, log_odds[None, None], groups), (y[kept], log_odds[None, None][..., kept], groups[kept])
    ))  # fmt: skip
    assert (own.num_rows, own.num_groups) == (kept.sum(), others.num_groups)
    np.testing.assert_array_equal(own.estimate.cov, others.estimate.cov)


def test_a_class_in_one_group_leaves_the_variance_unknown():
    y, logits, _ = classes(1, n=40)
    groups = np.where(y == 2, 99, np.arange(40))
    result = MacroAuroc().combine_seeds(y, logits[None, None], groups)
    assert np.isnan(result.estimate.cov).all()
    assert MacroAuroc().interval(result, 0)[1:3] == (0, 1)
    compared = compare_roles(y, np.stack([logits] * 3)[None], groups, metric=MacroAuroc())
    assert "no variance can be estimated" in compared.overall.pgr.reason


@pytest.mark.parametrize(
    ("metric", "y", "scores", "message"),
    [
        (MacroAuroc(), [1, 1], [[0.0, 1, 2]] * 2, "all 2 rows are of class 1"),
        (MacroAuroc(), [0, 3], [[0.0, 1, 2]] * 2, "the number of a class, 0 to 2"),
        (MacroAuroc(), ["a", "b"], [[0.0, 1, 2]] * 2, "the number of a class, 0 to 2"),
        (MacroAuroc(), [0, 1], [0.5, 1.0], "2 or more classes.*given shape"),
        (MacroAuroc(), [0, 1], [[1.0, 2.0], [np.nan, 0]], "1 of 4 scores are NaN"),
        (Accuracy(), [0, 1], [[1.0, 2.0], [np.inf, 0]], "the scores of row 1 give no probabilities"),
        (Accuracy(), [0, 1], [[1.0, 2.0], [-np.inf, -np.inf]], "the scores of row 1 give no probabilities"),
        (LogLoss(), [], np.zeros((0, 3)), "2 or more classes.*given shape"),
        (PairAccuracy(), [0.5, 0.5], [1.0, 2.0], "all 2 are"),
        (PairAccuracy(), [0.3, 0.5], [1.0, 2.0], "the truth of pairs"),
    ],
)
def test_what_cannot_be_measured_is_told(metric, y, scores, message):
    with pytest.raises(DataError, match=message):
        metric.value(np.array(y), np.array(scores))
    with pytest.raises(DataError):
        metric.combine_seeds(np.array(y), np.array(scores)[None, None])


BETWEEN = {  # the other cases
    "5 seeds",
    "3 seeds, groups of 10",
    "ceiling near 1",
    "ceiling below the supervisor",
    "ceiling below the supervisor, 5 seeds, groups of 5",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.exhaustive] * (case.name in BETWEEN)) for case in MACRO_AUROC_CASES],
    ids=lambda case: case.name,
)
def test_macro_auroc_pgr_sets_cover(case):
    coverage = macro_auroc_coverage(case, num_runs=500, num_draws=10, ungrouped=False)
    assert 0.93 <= coverage.value <= 0.97
    assert 0.93 <= coverage.pgr <= 0.97
