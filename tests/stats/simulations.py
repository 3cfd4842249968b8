"""Coverage of the intervals, by simulation from known truths. Rerun the tables of docs/statistics.md with

    python tests/stats/simulations.py

Every function draws from its own fixed seed, so that the figures are the same on every run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import wishart

from outshine.stats.auc_covariance import combine_seeds
from outshine.stats.estimates import CovariancePart, Estimate, t_quantile
from outshine.stats.intervals import auroc_interval, difference_interval
from outshine.stats.metrics import Metric
from outshine.stats.metrics.accuracy import Accuracy
from outshine.stats.metrics.macro_auroc import MacroAuroc
from outshine.stats.paired_differences import (
    hodges_lehmann,
    mean_interval,
    median_interval,
    sign_test,
    signed_rank_test,
    t_test,
)
from outshine.stats.pgr import gaps, in_fieller_set
from outshine.stats.role_values import RoleValues

# Errors of (student − weak, ceiling − weak), in units of the standard error of ceiling − weak. They share
# the supervisor's error and the rows, so that they are correlated.
ERROR = np.array([[0.8, 0.5], [0.5, 1.0]])


class Noise(NamedTuple):
    """How well the variances are known: degrees of freedom of the rows' part, seeds, the seeds' share of variance."""

    name: str
    rows_df: int
    num_seeds: int = 1
    seed_share: float = 0.0


NOISES = (  # in the order of the table
    Noise("1 seed, 5,000 rows", 2499),
    Noise("1 seed, 83 groups", 82),
    Noise("1 seed, 20 groups", 19),
    Noise("3 seeds, a third of the variance", 999, 3, 1 / 3),
    Noise("3 seeds, two thirds", 999, 3, 2 / 3),
    Noise("2 seeds, two thirds", 999, 2, 2 / 3),
    Noise("5 seeds, two thirds", 999, 5, 2 / 3),
    Noise("10 seeds, two thirds", 999, 10, 2 / 3),
)


class FiellerCoverage(NamedTuple):
    """Share of sets that hold the true ratio: of all sets, of the bounded ones; and the share that is bounded."""

    overall: float
    bounded_sets: float
    bounded: float


def simulated_gaps(noise: Noise, gap: float, true_pgr: float, num_runs: int, rng: np.random.Generator) -> Estimate:
    """`num_runs` estimates of (student − weak, ceiling − weak) as one batch; the true gap is `gap` standard errors."""
    truth = np.array([true_pgr * gap, gap])
    rows_cov = (1 - noise.seed_share) * ERROR
    value = truth + rng.multivariate_normal(np.zeros(2), rows_cov, size=num_runs)
    estimated = wishart.rvs(noise.rows_df, rows_cov / noise.rows_df, size=num_runs, random_state=rng)
    parts = [CovariancePart(estimated, noise.rows_df)]
    if noise.num_seeds > 1:
        spread = noise.seed_share * ERROR * noise.num_seeds
        seeds = rng.multivariate_normal(np.zeros(2), spread, size=(num_runs, noise.num_seeds))
        centred = seeds - seeds.mean(axis=1, keepdims=True)
        cov = np.einsum("rsi,rsj->rij", centred, centred) / (noise.num_seeds * (noise.num_seeds - 1))
        parts.append(CovariancePart(cov, noise.num_seeds - 1))
        value = value + seeds.mean(axis=1)
    return Estimate(value, tuple(parts))


def fieller_coverage(noise: Noise, gap: float, true_pgr: float = 0.4, num_runs: int = 10_000) -> FiellerCoverage:
    """Coverage of Fieller sets under normal errors with estimated covariances."""
    batch = simulated_gaps(noise, gap, true_pgr, num_runs, np.random.default_rng([7, int(10 * gap)]))
    covered = in_fieller_set(batch, np.arctan(true_pgr))
    denominator = batch.contrast([0.0, 1.0])
    bounded = denominator.value > t_quantile(0.95, denominator.df) * denominator.standard_error
    among_bounded = float(np.mean(covered[bounded])) if bounded.any() else float("nan")
    return FiellerCoverage(float(np.mean(covered)), among_bounded, float(np.mean(bounded)))


def population_coverage(num_datasets: int, num_runs: int = 10_000, *, skewed: bool = False) -> float:
    """Coverage of the interval for a population of datasets: gaps vary over datasets, and so does the PGR."""
    rng = np.random.default_rng([11, num_datasets])
    shape = (num_runs, num_datasets)
    gap = rng.lognormal(np.log(0.06), 0.8, shape) if skewed else rng.normal(0.08, 0.03, shape)
    # E[own PGR × gap] = .4 E[gap] since they are drawn independently: the true ratio of sums is .4.
    student = gap * rng.normal(0.4, 0.3, shape) + rng.normal(0, 0.01, shape)
    pairs = np.stack([student, gap + rng.normal(0, 0.01, shape)], axis=-1)
    centred = pairs - pairs.mean(axis=1, keepdims=True)
    cov = num_datasets * np.einsum("rdi,rdj->rij", centred, centred) / (num_datasets - 1)
    batch = Estimate(pairs.sum(axis=1), (CovariancePart(cov, num_datasets - 1),))
    return float(np.mean(in_fieller_set(batch, np.arctan(0.4))))


class AucCoverage(NamedTuple):
    """Coverage for trained-and-tested runs, whole pipeline from scores to intervals."""

    auroc: float  # logit interval of the student's AUC, seeds and rows
    difference: float  # student − weak, seeds and rows
    pgr: float  # Fieller set; an unbounded one counts as covering
    rows_only: float  # student − weak with the seeds' part left out: the naive interval
    ungrouped: float  # student − weak as if every row were a group of its own


def pipeline_coverage(
    *, num_seeds: int, num_groups: int, group_size: int, seed_sd: float = 0.15, num_runs: int = 2_000
) -> AucCoverage:
    """Coverage from scores to intervals, in a binormal world with shared row noise, groups and seeds.

    Score of role r, seed s and a row = y (d_r + δ_rs) + noise of unit variance: .2 shared by the group, .4 by
    roles and seeds, .2 by the group for the role, .2 its own. δ ~ N(0, seed_sd²): E AUC_r = Φ(d_r / √(2 + seed_sd²)).
    """
    rng = np.random.default_rng([13, num_seeds, num_groups, group_size])
    effect = np.sqrt(2) * ndtri(np.array([0.75, 0.80, 0.88]))
    truth = ndtr(effect / np.sqrt(2 + (seed_sd**2 if num_seeds > 1 else 0)))
    true_pgr = (truth[1] - truth[0]) / (truth[2] - truth[0])
    groups = np.repeat(np.arange(num_groups), group_size)
    hits = np.zeros(5)
    for _ in range(num_runs):
        y = rng.random(len(groups)) < 0.5
        delta = seed_sd * rng.normal(size=(num_seeds, 3, 1)) if num_seeds > 1 else 0.0
        # Groups shift scores for all roles alike and for each role by itself: differences of AUCs vary by group too.
        shared = np.sqrt(0.2) * rng.normal(size=num_groups)[groups] + np.sqrt(0.4) * rng.normal(size=len(groups))
        by_role = rng.normal(size=(1, 3, num_groups))[..., groups]
        own = rng.normal(size=(num_seeds, 3, len(groups)))
        scores = y * (effect[:, None] + delta) + shared + np.sqrt(0.2) * by_role + np.sqrt(0.2) * own
        hits += _hits(y, scores, groups, truth, true_pgr)
    return AucCoverage(*(hits / num_runs))


def _hits(y: np.ndarray, scores: np.ndarray, groups: np.ndarray, truth: np.ndarray, true_pgr: float) -> np.ndarray:
    result = combine_seeds(y, scores, groups)
    estimate = result.estimate
    contrast = [-1.0, 1.0, 0.0]
    student_gain = truth[1] - truth[0]
    intervals = [
        difference_interval(estimate, contrast),
        difference_interval(Estimate(estimate.value, estimate.parts[:1]), contrast),
        difference_interval(combine_seeds(y, scores).estimate, contrast),
    ]
    gain, rows_only, ungrouped = (i.low <= student_gain <= i.high for i in intervals)
    student = auroc_interval(result, 1)
    covered = in_fieller_set(gaps(estimate), np.arctan(true_pgr))
    return np.array([student.low <= truth[1] <= student.high, gain, covered, rows_only, ungrouped])


class MetricCoverage(NamedTuple):
    """Coverage of 95 % sets in another metric than AUROC, whole pipeline from scores to intervals."""

    value: float  # interval of the student's value, seeds and rows
    pgr: float  # Fieller set; an unbounded one counts as covering
    ungrouped: float  # student's value as if every row were a group of its own


class Case(NamedTuple):
    """A world in which PGR is measured: values of weak supervisor and ceiling, true PGR, seeds, groups and their rows."""

    name: str
    weak: float
    ceiling: float
    true_pgr: float
    num_seeds: int
    num_groups: int
    group_size: int

    @property
    def values(self) -> np.ndarray:
        """The true values of weak supervisor, student and ceiling."""
        return np.array([self.weak, self.weak + self.true_pgr * (self.ceiling - self.weak), self.ceiling])


ACCURACY_CASES = (
    Case("rows alone", 0.65, 0.85, 0.4, 1, 400, 1),
    Case("groups of 10, PGR −.3", 0.65, 0.85, -0.3, 1, 60, 10),
    Case("5 seeds", 0.65, 0.85, 0.4, 5, 300, 1),
    Case("3 seeds, groups of 10", 0.65, 0.85, 0.4, 3, 60, 10),
    Case("ceiling near 1", 0.9, 0.99, 0.5, 1, 800, 1),
    Case("ceiling near 1, 3 seeds, groups of 5", 0.9, 0.985, 0.5, 3, 160, 5),
    Case("ceiling below the supervisor", 0.8, 0.7, 0.4, 1, 400, 1),
    Case("ceiling below the supervisor, 5 seeds, groups of 5", 0.8, 0.7, 0.4, 5, 80, 5),
)
MACRO_AUROC_CASES = (  # of four classes with 40, 30, 20 and 10 % of the rows
    Case("rows alone", 0.7, 0.9, 0.4, 1, 400, 1),
    Case("groups of 10, PGR −.3", 0.7, 0.9, -0.3, 1, 60, 10),
    Case("5 seeds", 0.7, 0.9, 0.4, 5, 300, 1),
    Case("3 seeds, groups of 10", 0.7, 0.9, 0.4, 3, 60, 10),
    Case("ceiling near 1", 0.93, 0.995, 0.5, 1, 800, 1),
    Case("ceiling near 1, 3 seeds, groups of 5", 0.93, 0.99, 0.5, 3, 160, 5),
    Case("ceiling below the supervisor", 0.85, 0.75, 0.4, 1, 400, 1),
    Case("ceiling below the supervisor, 5 seeds, groups of 5", 0.85, 0.75, 0.4, 5, 80, 5),
)
CLASS_SHARES = np.array([0.4, 0.3, 0.2, 0.1])


def accuracy_coverage(case: Case, *, seed_sd: float = 0.15, num_runs: int = 2_000) -> MetricCoverage:
    """Coverage in accuracy where how far a row lies on its right side is shared by group, row, role and seed.

    The margin of role r, seed s and a row = d_r + δ_rs + noise of unit variance: .3 shared by the group, .3 by roles and
    seeds, .2 by the group for the role, .2 its own. δ ~ N(0, seed_sd²): E accuracy_r = Φ(d_r / √(1 + seed_sd²)).
    """
    rng = np.random.default_rng([23, case.num_seeds, case.num_groups, case.group_size])
    spread = np.sqrt(1 + (seed_sd**2 if case.num_seeds > 1 else 0))
    margin = spread * ndtri(case.values)[:, None]
    groups = np.repeat(np.arange(case.num_groups), case.group_size)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        sign = np.where(rng.random(len(groups)) < 0.5, 1, -1)
        delta = seed_sd * rng.normal(size=(case.num_seeds, 3, 1)) if case.num_seeds > 1 else 0.0
        shared = np.sqrt(0.3) * (rng.normal(size=case.num_groups)[groups] + rng.normal(size=len(groups)))
        by_role = rng.normal(size=(1, 3, case.num_groups))[..., groups]
        own = rng.normal(size=(case.num_seeds, 3, len(groups)))
        return sign > 0, sign * (margin + delta + shared + np.sqrt(0.2) * by_role + np.sqrt(0.2) * own)

    return _metric_coverage(Accuracy(), draw, groups, case.values, num_runs)


def macro_auroc_coverage(
    case: Case, *, seed_sd: float = 0.25, num_runs: int = 2_000, num_draws: int = 30, ungrouped: bool = True
) -> MetricCoverage:
    """Coverage in macro AUROC of four classes where logits are shared by group, row, role and seed.

    Logits of role r, seed s and a row = d_r + δ_rs at the true class, 0 at the others, plus noise of unit variance at
    each: .2 shared by the group, .4 by roles and seeds, .2 by the group for the role, .2 its own. δ ~ N(0, seed_sd²)
    for each class. Seven of ten rows have the class of their group. Softmax has no closed form here: the mean value by
    d is simulated (`macro_auroc_by_effect`, from `num_draws`).
    """
    sd = seed_sd if case.num_seeds > 1 else 0.0
    effects, values = macro_auroc_by_effect(sd, num_draws=num_draws)
    effect = np.interp(case.values, values, effects)
    rng = np.random.default_rng([41, case.num_seeds, case.num_groups, case.group_size])
    groups = np.repeat(np.arange(case.num_groups), case.group_size)
    num, classes = len(groups), len(CLASS_SHARES)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        own_class, of_group = (rng.choice(classes, size=size, p=CLASS_SHARES) for size in (num, case.num_groups))
        y = np.where(rng.random(num) < 0.7, of_group[groups], own_class)
        delta = sd * rng.normal(size=(case.num_seeds, 3, 1, classes))
        shared = np.sqrt(0.2) * rng.normal(size=(case.num_groups, classes))[groups]
        shared = shared + np.sqrt(0.4) * rng.normal(size=(num, classes))
        by_role = rng.normal(size=(1, 3, case.num_groups, classes))[:, :, groups]
        own = rng.normal(size=(case.num_seeds, 3, num, classes))
        signal = (effect[:, None, None] + delta) * (y[:, None] == np.arange(classes))
        return y, signal + shared + np.sqrt(0.2) * by_role + np.sqrt(0.2) * own

    return _metric_coverage(MacroAuroc(), draw, groups, case.values, num_runs, ungrouped=ungrouped)


@cache
def macro_auroc_by_effect(seed_sd: float, num_rows: int = 8_000, num_draws: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Effects d on a grid and the mean macro AUROC of each, in the world of `macro_auroc_coverage`, right to .001, or .002 from ten draws.

    All effects have the same draws, and each δ is drawn with −δ.
    """
    rng = np.random.default_rng([43, int(100 * seed_sd)])
    effects, classes = np.arange(0.4, 5.01, 0.2), len(CLASS_SHARES)
    values = np.zeros(len(effects))
    for _ in range(num_draws):
        y = rng.choice(classes, size=num_rows, p=CLASS_SHARES)
        noise, there = rng.normal(size=(num_rows, classes)), y[:, None] == np.arange(classes)
        delta = seed_sd * rng.normal(size=classes)
        signs = (1, -1) if seed_sd else (1,)
        both = [[MacroAuroc().value(y, (d + sign * delta) * there + noise) for d in effects] for sign in signs]
        values += np.mean(both, axis=0) / num_draws
    return effects, values


def _metric_coverage(
    metric: Metric,
    draw: Callable[[], tuple[np.ndarray, np.ndarray]],
    groups: np.ndarray,
    truth: np.ndarray,
    num_runs: int,
    *,
    ungrouped: bool = True,
) -> MetricCoverage:
    """Coverage over draws of truth and scores. Without `ungrouped`, which takes half of the time, that one is NaN."""
    true_pgr, hits = (truth[1] - truth[0]) / (truth[2] - truth[0]), np.zeros(3)
    for _ in range(num_runs):
        y, scores = draw()
        result = metric.combine_seeds(y, scores, groups)
        hits += [
            _holds(metric, result, truth[1]),
            in_fieller_set(gaps(result.estimate), np.arctan(true_pgr)),
            _holds(metric, metric.combine_seeds(y, scores), truth[1]) if ungrouped else np.nan,
        ]
    return MetricCoverage(*(hits / num_runs))


def _holds(metric: Metric, result: RoleValues, truth: float) -> bool:
    """Whether the student's interval holds its true value."""
    interval = metric.interval(result, 1)
    return interval.low <= truth <= interval.high


class IntervalCoverage(NamedTuple):
    """Coverage of two 95 % intervals for one AUC: on the logit scale, and plainly A ± t · se."""

    logit: float
    plain: float


def auroc_interval_coverage(auc: float, num_per_class: int, num_runs: int = 2_000) -> IntervalCoverage:
    """Coverage for one AUC under the binormal model, independent rows."""
    rng = np.random.default_rng([17, num_per_class, int(auc * 10_000)])
    y = np.repeat([True, False], num_per_class)
    effect = np.sqrt(2) * ndtri(auc)
    hits = np.zeros(2)
    for _ in range(num_runs):
        result = combine_seeds(y, (rng.normal(size=len(y)) + effect * y)[None, None])
        logit, plain = auroc_interval(result, 0), difference_interval(result.estimate, [1.0])
        hits += [logit.low <= auc <= logit.high, plain.low <= auc <= plain.high]
    return IntervalCoverage(*(hits / num_runs))


class UnevenCoverage(NamedTuple):
    """Coverage with the effective number of groups, less one, as degrees of freedom, and with plain I − 1."""

    effective: float
    plain: float


def uneven_groups_coverage(num_groups: int, sd_log_size: float, num_runs: int = 2_000) -> UnevenCoverage:
    """Coverage of the logit interval of one AUC where groups have log-normal sizes of mean 50."""
    rng = np.random.default_rng([19, num_groups, int(10 * sd_log_size)])
    auc, hits = 0.8, np.zeros(2)
    for _ in range(num_runs):
        size = np.exp(np.log(50) - sd_log_size**2 / 2 + sd_log_size * rng.normal(size=num_groups))
        groups = np.repeat(np.arange(num_groups), np.maximum(2, size.round().astype(int)))
        y = rng.random(len(groups)) < 0.5
        noise = np.sqrt(0.3) * rng.normal(size=num_groups)[groups] + np.sqrt(0.7) * rng.normal(size=len(groups))
        result = combine_seeds(y, (noise + np.sqrt(2) * ndtri(auc) * y)[None, None], groups)
        naive = Estimate(result.value, (CovariancePart(result.estimate.cov, num_groups - 1),))
        intervals = auroc_interval(result, 0), auroc_interval(replace(result, estimate=naive), 0)
        hits += [interval.low <= auc <= interval.high for interval in intervals]
    return UnevenCoverage(*(hits / num_runs))


def percentile_bootstrap_coverage(num_seeds: int, num_runs: int = 2_000) -> float:
    """Coverage of the mean of normal seeds by a 95 % percentile bootstrap over seeds: why it is not used."""
    rng = np.random.default_rng([23, num_seeds])
    seeds = rng.normal(size=(num_runs, num_seeds))
    resampled = rng.integers(num_seeds, size=(1_000, num_seeds))
    low, high = np.quantile(seeds[:, resampled].mean(axis=2), [0.025, 0.975], axis=1)
    return float(np.mean((low <= 0) & (high >= 0)))


class Shape(NamedTuple):
    """A distribution of differences with its three centres: mean, median, and pseudo-median (that of a mean of two)."""

    name: str
    draw: Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
    mean: float = 0.0
    median: float = 0.0
    pseudo_median: float = 0.0

    def mirrored(self) -> Shape:
        centres = (-self.mean, -self.median, -self.pseudo_median)
        return Shape(self.name.replace("right", "left"), lambda rng, size: -self.draw(rng, size), *centres)


SYMMETRIC = (
    Shape("normal", lambda rng, size: rng.normal(size=size)),
    Shape("t₃", lambda rng, size: rng.standard_t(3, size=size)),
)
# Pseudo-medians: exponential Gamma(2)'s median / 2; log-normal by integration.
EXPONENTIAL = Shape("exponential, right skew 2", lambda rng, size: rng.exponential(size=size), 1.0, np.log(2), 0.839173)
LOG_NORMAL = Shape("log-normal, right skew 6", lambda rng, size: rng.lognormal(size=size), np.exp(0.5), 1.0, 1.221583)
SKEWED = (EXPONENTIAL, EXPONENTIAL.mirrored(), LOG_NORMAL, LOG_NORMAL.mirrored())


class Sizes(NamedTuple):
    """Share of studies in which each one-sided test at .05 says "greater" where its null hypothesis is true."""

    wilcoxon: float
    t: float
    sign: float


def paired_test_sizes(shape: Shape, num_datasets: int, centre: float, num_runs: int = 10_000) -> Sizes:
    """Size of the tests where `centre` of the shape (its mean, median or pseudo-median) is 0."""
    d = shape.draw(np.random.default_rng([29, num_datasets]), (num_runs, num_datasets)) - centre
    return Sizes(*(float(np.mean(test(d).p_greater <= 0.05)) for test in (signed_rank_test, t_test, sign_test)))


def rounded_test_size(num_datasets: int, step: float, num_runs: int = 2_000) -> float:
    """Size of the signed-rank test under normal differences rounded to multiples of `step`: many ties and zeros."""
    d = np.round(np.random.default_rng([31, num_datasets]).normal(size=(num_runs, num_datasets)) / step) * step
    return float(np.mean(signed_rank_test(d).p_greater <= 0.05))


class CentreCoverage(NamedTuple):
    """Coverage of the 95 % intervals, each for the centre that it estimates."""

    mean: float
    hodges_lehmann: float
    median: float


def centre_coverage(shape: Shape, num_datasets: int, num_runs: int = 10_000) -> CentreCoverage:
    """Coverage of Student's, Wilcoxon's and the order-statistic interval."""
    samples = shape.draw(np.random.default_rng([37, num_datasets]), (num_runs, num_datasets))
    centres = ((mean_interval, shape.mean), (hodges_lehmann, shape.pseudo_median), (median_interval, shape.median))
    hits = np.zeros(3)
    for d in samples:
        intervals = [(estimate(d), centre) for estimate, centre in centres]
        hits += [found.low <= centre <= found.high for found, centre in intervals]
    return CentreCoverage(*(hits / num_runs))


def closed_form(ratio: Estimate) -> tuple[float, float]:
    """Fieller's limits by the quadratic formula for one part of covariance: the independent check of `fieller`."""
    (a, b), ((v_aa, v_ab), (_, v_bb)) = ratio.value, ratio.parts[0].cov
    q2 = float(t_quantile(0.95, ratio.parts[0].df)) ** 2
    roots = np.roots([b**2 - q2 * v_bb, -2 * (a * b - q2 * v_ab), a**2 - q2 * v_aa])
    return float(roots.real.min()), float(roots.real.max())


def main() -> None:
    """Write all tables as Markdown."""
    write = sys.stdout.write
    write("| variance known from | gap in SE | all sets | bounded sets | share bounded |\n|---|---|---|---|---|\n")
    for noise in NOISES:
        for gap in (1, 2, 3, 4, 5, 6, 10):
            c = fieller_coverage(noise, gap)
            write(f"| {noise.name} | {gap} | {c.overall:.3f} | {c.bounded_sets:.3f} | {c.bounded:.3f} |\n")
    write("\n| datasets | normal gaps | log-normal gaps |\n|---|---|---|\n")
    for num in (3, 5, 10, 20):
        write(f"| {num} | {population_coverage(num):.3f} | {population_coverage(num, skewed=True):.3f} |\n")
    write(
        "\n| seeds | groups × rows | AUC | student − weak | PGR | rows only | as if ungrouped |\n" + "|---" * 7 + "|\n"
    )
    for num_seeds, num_groups, size in ((1, 600, 1), (1, 40, 50), (3, 600, 1), (3, 40, 50), (5, 40, 50)):
        c = pipeline_coverage(num_seeds=num_seeds, num_groups=num_groups, group_size=size)
        write(f"| {num_seeds} | {num_groups} × {size} | " + " | ".join(f"{x:.3f}" for x in c) + " |\n")
    write("\n| metric | world | seeds | groups × rows | value | PGR | value as if ungrouped |\n" + "|---" * 7 + "|\n")
    for name, cases, coverage in (
        ("accuracy", ACCURACY_CASES, accuracy_coverage),
        ("macro AUROC", MACRO_AUROC_CASES, macro_auroc_coverage),
    ):
        for case in cases:
            held = " | ".join(f"{x:.3f}" for x in coverage(case))
            write(f"| {name} | {case.name} | {case.num_seeds} | {case.num_groups} × {case.group_size} | {held} |\n")
    write("\n| AUC | rows per class | logit | plain |\n|---|---|---|---|\n")
    for auc in (0.5, 0.8, 0.95, 0.99, 0.999):
        for num in (20, 100, 500):
            c = auroc_interval_coverage(auc, num)
            write(f"| {auc} | {num} | {c.logit:.3f} | {c.plain:.3f} |\n")
    write("\n| groups | SD of log size | effective number − 1 | I − 1 |\n|---|---|---|---|\n")
    for num in (20, 83):
        for sd in (0.0, 0.5, 1.0):
            c = uneven_groups_coverage(num, sd)
            write(f"| {num} | {sd} | {c.effective:.3f} | {c.plain:.3f} |\n")
    write("\n| seeds | percentile bootstrap over seeds |\n|---|---|\n")
    for num in (3, 5, 10):
        write(f"| {num} | {percentile_bootstrap_coverage(num):.3f} |\n")
    write_paired_tables(write)


def write_paired_tables(write: Callable[[str], object]) -> None:
    """Tests and intervals over datasets: symmetric shapes, then skewed ones by the centre that is 0."""
    write("\n| differences | datasets | Wilcoxon | t | sign |\n|---|---|---|---|---|\n")
    for shape in SYMMETRIC:
        for num in (5, 10, 21, 80):
            sizes = paired_test_sizes(shape, num, 0.0)
            write(f"| {shape.name} | {num} | " + " | ".join(f"{x:.3f}" for x in sizes) + " |\n")
    write("\n| differences | datasets | centre at 0 | Wilcoxon | t | sign |\n|---|---|---|---|---|---|\n")
    for shape in SKEWED:
        for num in (10, 21):
            for name, centre in (
                ("mean", shape.mean),
                ("pseudo-median", shape.pseudo_median),
                ("median", shape.median),
            ):
                sizes = paired_test_sizes(shape, num, centre)
                write(f"| {shape.name} | {num} | {name} | " + " | ".join(f"{x:.3f}" for x in sizes) + " |\n")
    write("\n| differences | datasets | mean, t | pseudo-median, Wilcoxon | median, order statistics |\n" + "|---" * 5)
    write("|\n")
    for shape in (*SYMMETRIC, EXPONENTIAL, LOG_NORMAL):
        for num in (10, 21):
            found = centre_coverage(shape, num)
            write(f"| {shape.name} | {num} | " + " | ".join(f"{x:.3f}" for x in found) + " |\n")


if __name__ == "__main__":
    main()
