"""Power of Wilcoxon's test over datasets: variance components, noise floor, the size a study would need.

The model: method less baseline on dataset i with seed s differ by dᵢₛ = μ + δᵢ + εᵢ + ηᵢₛ, independent, with
variances σ²(datasets) of the true effects δ, σ²(rows) of the test rows' sampling ε, σ²(seeds) of η. Power is that of
the exact signed-rank test on the means over seeds d̄ᵢ, where these are normal with mean μ and standard deviation
σ = √(σ²(datasets) + σ²(rows) + σ²(seeds)/S). The variances that a study estimates are taken for the true ones.

`tail` is everywhere the level of one tail: the least p that the test can give must reach it (`tail_level`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from outshine.engine.errors import DataError
from outshine.engine.rng import numpy_rng
from outshine.stats.paired_differences import NUM_EXACT, sign_flip_distribution

ALPHA = 0.05
POWER = 0.80

NUM_SIMULATED = 20
"""Up to this many datasets power is simulated; beyond, a formula is as good."""

_DRAWS, _BATCH = 20_000, 2_000


@dataclass(frozen=True)
class Components:
    """Variances of the difference between a method and its baseline, in squared units of the metric.

    `datasets`: between true effects on different datasets; where `rows` is None it holds the rows' part as well.
    `rows`: of one dataset's test rows, mean over datasets. `seeds`: between seeds on one dataset; None where no
    dataset has two seeds, and then `datasets` holds the seeds' part as it was with `num_seeds` = 1.
    `num_datasets`, `num_seeds`: the study's own size (seeds: harmonic mean over datasets).
    """

    datasets: float
    seeds: float | None
    rows: float | None
    num_datasets: int
    num_seeds: float

    @property
    def known(self) -> float:
        """The part of one dataset's variance that more seeds do not lessen."""
        return self.datasets + (self.rows or 0.0)


def variance_components(differences: Sequence[ArrayLike], row_variances: ArrayLike | None = None) -> Components:
    """The variance components of a study by the method of moments.

    `differences`: for each of D ≥ 2 datasets the differences [Sᵢ] over its seeds; `row_variances` [D]: the squared
    standard error of each dataset's mean difference from its test rows alone, where known.

    σ²(seeds) = Σᵢₛ (dᵢₛ − d̄ᵢ)² / Σᵢ (Sᵢ − 1); σ²(rows) = mean of `row_variances`; and since the d̄ᵢ have
    variance σ²(datasets) + σ²(rows) + σ²(seeds)/S, S the harmonic mean of the Sᵢ, σ²(datasets) is their sample
    variance less the other two, not below 0. Raises DataError for fewer than two datasets, an empty one, or a NaN.
    """
    by_dataset = [np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in differences]
    sizes = np.array([len(values) for values in by_dataset])
    if len(by_dataset) < 2:
        raise DataError(f"variance between datasets needs at least 2 of them, given {len(by_dataset)}")
    if np.any(sizes == 0) or any(np.isnan(values).any() for values in by_dataset):
        raise DataError("every dataset needs a difference for at least one seed, and none may be NaN")
    num_seeds = len(sizes) / float(np.sum(1 / sizes))
    seed_df = int(np.sum(sizes - 1))
    seed_squares = sum(float(np.sum((values - values.mean()) ** 2)) for values in by_dataset)
    seeds = seed_squares / seed_df if seed_df else None
    rows = None if row_variances is None else float(np.mean(np.asarray(row_variances, dtype=np.float64)))
    observed = float(np.var([values.mean() for values in by_dataset], ddof=1))
    datasets = max(0.0, observed - (seeds or 0.0) / num_seeds - (rows or 0.0))
    return Components(datasets, seeds, rows, len(by_dataset), num_seeds)


def standard_error(components: Components, num_datasets: float, num_seeds: float) -> float:
    """SE of the mean difference over D datasets with S seeds: √((σ²(datasets) + σ²(rows) + σ²(seeds)/S) / D).

    With D = 1 it is σ, the standard deviation of one dataset's difference. Raises DataError where the seeds' part is
    unknown and the answer depends on it.
    """
    if components.seeds is None:
        if num_seeds != components.num_seeds:
            raise DataError("one seed a dataset does not tell how seeds vary; run two seeds or more (--seed 0,1,2)")
        return math.sqrt(components.known / num_datasets)
    return math.sqrt((components.known + components.seeds / num_seeds) / num_datasets)


def tail_level(num_methods: int = 1, *, two_sided: bool = True, alpha: float = ALPHA) -> float:
    """The level that one tail's p of one method must reach to be significant by itself: α/m, halved if two-sided.

    Holm's first step over m methods. Where other methods pass before it, a method needs less.
    """
    if num_methods < 1 or not 0 < alpha < 1:
        raise DataError(f"there must be a method, and alpha must lie between 0 and 1, given {num_methods} and {alpha}")
    return alpha / num_methods / (2 if two_sided else 1)


def least_p(num_datasets: int, *, two_sided: bool = True) -> float:
    """The smallest p that Wilcoxon's exact test can give: 2⁻ᴰ, all D differences having one sign; twice two-sided."""
    return min(1.0, 2.0 ** (two_sided - num_datasets))


def least_num_datasets(tail: float) -> int:
    """The smallest number of datasets with which Wilcoxon's exact test can reach `tail` at all: ⌈log₂(1/tail)⌉."""
    return max(1, math.ceil(-math.log2(tail)))


def detectable(sd: float, num_datasets: int, tail: float, power: float = POWER) -> float:
    """The smallest true mean difference that Wilcoxon's test finds on its own side with the given power.

    `sd`: the true standard deviation of one dataset's difference; the result has its unit. Infinite where no
    difference, however large, can be found: 2⁻ᴰ is above `tail`. Raises DataError for a tail or power outside (0, 1).
    """
    return sd * _shift(num_datasets, tail, power)


def num_datasets_needed(
    components: Components, effect: float, tail: float, num_seeds: float | None = None, power: float = POWER
) -> int | None:
    """The fewest datasets with `num_seeds` seeds each (default: as the study) that find a true mean difference.

    Never fewer than `least_num_datasets`. None where effect ≤ 0.
    """
    if not effect > 0:
        return None
    sd = standard_error(components, 1, components.num_seeds if num_seeds is None else num_seeds)
    few, many = least_num_datasets(tail) - 1, least_num_datasets(tail)
    while detectable(sd, many, tail, power) > effect:
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if detectable(sd, middle, tail, power) <= effect else (middle, many)
    return many


def num_seeds_needed(
    components: Components, effect: float, tail: float, num_datasets: int | None = None, power: float = POWER
) -> int | None:
    """The fewest seeds on each of `num_datasets` datasets (default: as the study) that find a true mean difference.

    S = ⌈σ²(seeds) / ((effect/x)² − σ²(datasets) − σ²(rows))⌉, at least 1, x what `detectable` gives for a standard
    deviation of 1. None where no number is enough (the datasets are too few for the test, or differ too much), where
    effect ≤ 0, or where the seeds' part is unknown.
    """
    if not effect > 0 or components.seeds is None:
        return None
    shift = _shift(components.num_datasets if num_datasets is None else num_datasets, tail, power)
    room = (effect / shift) ** 2 - components.known
    return max(1, _whole(components.seeds / room)) if room > 0 else None


@cache
def _shift(num_datasets: int, tail: float, power: float) -> float:
    """`detectable` in standard deviations.

    W₊ is the number of Walsh averages (dᵢ + dⱼ)/2, i ≤ j, above 0. So it reaches its critical value c in a sample
    z + x as soon as x exceeds minus the c-th largest Walsh average of z: the answer is the `power`-quantile of that
    over standard normal samples, 20,000 of them with a fixed seed (the power is right to .003, one standard error).
    Beyond `NUM_SIMULATED`: √(π/3) (z + z_power) / √(D − z²/2), z of the attained level, which is Guenther's (1981)
    size of the t-test with the test's asymptotic efficiency 3/π.
    """
    if not (0 < tail < 1 and 0 < power < 1):
        raise DataError(f"level and power must lie between 0 and 1, given {tail} and {power}")
    if num_datasets <= NUM_EXACT:
        null = np.cumsum(sign_flip_distribution(np.arange(1, num_datasets + 1)))  # of either tail
        num_rejected = int(np.count_nonzero(null <= tail))  # values of W₊, the most extreme ones
        if num_rejected == 0:
            return math.inf
        if num_datasets <= NUM_SIMULATED:
            return _simulated_shift(num_datasets, num_rejected, power)
        tail = float(null[num_rejected - 1])
    z = float(-ndtri(tail))
    if num_datasets <= z**2 / 2:
        return math.inf
    return math.sqrt(math.pi / 3) * (z + float(ndtri(power))) / math.sqrt(num_datasets - z**2 / 2)


def _simulated_shift(num_datasets: int, num_rejected: int, power: float) -> float:
    """The shift of standard normal samples with which W₊ is among its `num_rejected` greatest values."""
    rng = numpy_rng("power of Wilcoxon's test", num_datasets)
    first, second = np.triu_indices(num_datasets)
    needed = []
    for _ in range(_DRAWS // _BATCH):
        z = rng.standard_normal((_BATCH, num_datasets))
        walsh = (z[:, first] + z[:, second]) / 2
        needed.append(-np.partition(walsh, num_rejected - 1, axis=1)[:, num_rejected - 1])
    return float(np.quantile(np.concatenate(needed), power))


def _whole(number: float) -> int:
    """The number rounded up; a rounding error above a whole number does not count."""
    return math.ceil(number * (1 - 1e-12))
