"""Comparison of methods with a baseline across datasets: tests, estimates and noise floor."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from outshine.engine.errors import DataError, SettingsError, UnknownNameError
from outshine.engine.rng import stream_seed
from outshine.results.pairing import PairedRuns, pair
from outshine.stats.intervals import Interval
from outshine.stats.paired_differences import (
    PairedTest,
    Posterior,
    bayesian_signed_rank,
    hodges_lehmann,
    holm,
    mean_interval,
    median_interval,
    sign_test,
    signed_rank_test,
    t_test,
)
from outshine.stats.power_analysis import (
    Components,
    detectable,
    least_p,
    num_datasets_needed,
    num_seeds_needed,
    standard_error,
    tail_level,
    variance_components,
)

_NIL = 1e-12  # differences are rounded to as many decimals: a standard deviation below is none

NO_SPREAD = "unknown: the differences do not vary"

TARGET_PGR = 0.05
"""The PGR difference for which the noise floor tells how many datasets or seeds would do."""


class PValues(NamedTuple):
    """One test of one method: `better` and `worse` are one-sided; `null` says how they were had."""

    statistic: float
    better: float
    worse: float
    two_sided: float
    null: str

    def p(self, *, one_sided: bool) -> float:
        """The p of the comparison: two-sided, or one-sided for better where the study declared that."""
        return self.better if one_sided else self.two_sided


class RequiredSizes(NamedTuple):
    """The number of datasets or seeds with which the primary test would find `effect` (in the metric) with power .8.

    `datasets`: how many at the study's seeds; `seeds`: how many on the study's datasets. Infinite where no number
    does, NaN where it cannot be told (one seed; an unknown effect; differences that do not vary).
    """

    effect: float
    datasets: float
    seeds: float


class SmallestDetectable(NamedTuple):
    """The smallest difference that the primary test could have found, and what it would take to find others.

    `tail`: the p of one tail that the method needs by itself, .05 over the number of methods, halved where the test
    is two-sided. `detectable`: in the metric, infinite where no difference could be found, NaN where the differences
    do not vary at all. Divided by `mean_gap`, the mean of ceiling − weak, it is a difference in PGR,
    Σ difference / Σ (ceiling − weak); NaN where that is not above 0.
    """

    components: Components
    tail: float
    mean_gap: float
    detectable: float
    observed: RequiredSizes
    target: RequiredSizes

    @property
    def sd(self) -> float:
        """Standard deviation of one dataset's difference, the mean over the study's seeds."""
        return standard_error(self.components, 1, self.components.num_seeds)

    def in_pgr(self, difference: float) -> float:
        """A difference in the metric as a difference in PGR."""
        return difference / self.mean_gap if self.mean_gap > 0 else math.nan


class MethodComparison(NamedTuple):
    """One method against the baseline. Primary is `p`, Wilcoxon's, and `holm`, the same corrected over the methods.

    Both are two-sided, or one-sided for better where the study declared that. `least_p`: the smallest `holm` that so
    many datasets and methods can give. `t_holm`, `sign_holm`: the secondary tests with the same sides and correction.
    Everything else is secondary too. `posterior` None: no rope was given.
    """

    method: str
    num_datasets: int
    num_left_out: int
    wins: int
    losses: int
    ties: int
    skewness: float
    mean: Interval
    hodges_lehmann: Interval
    median: Interval
    wilcoxon: PValues
    t: PValues
    sign: PValues
    p: float
    holm: float
    least_p: float
    t_holm: float
    sign_holm: float
    posterior: Posterior | None
    noise: SmallestDetectable


class ComparisonResult(NamedTuple):
    """Every method against the baseline, on one metric; `too_few`: methods with fewer than two datasets, not tested.

    `declared`: what each study declared as `better_than`, and `one_sided`: whether that makes the tests one-sided.
    """

    paired: PairedRuns
    methods: tuple[MethodComparison, ...]
    too_few: tuple[str, ...]
    rope: float | None
    declared: tuple[str | None, ...]
    one_sided: bool

    @property
    def baseline(self) -> str:
        return self.paired.baseline

    @property
    def metric(self) -> str:
        return self.paired.metric

    def method(self, name: str) -> MethodComparison | None:
        """One method's comparison; None where it could not be made."""
        return next((method for method in self.methods if method.method == name), None)

    def frame(self) -> pd.DataFrame:
        """One row a method, every number in a column of its own (`wilcoxon_better`, `mean_low`, …)."""
        shared = {"baseline": self.baseline, "metric": self.metric, "sides": "one" if self.one_sided else "two"}
        return pd.DataFrame([{**shared, **_flat(method)} for method in self.methods])


def compare(
    scores: pd.DataFrame,
    pgr: pd.DataFrame | None = None,
    *,
    baseline: str,
    metric: str = "auroc",
    rope: float | None = None,
    level: float = 0.95,
    declared: Sequence[str | None] = (),
) -> ComparisonResult:
    """Compare every method in the tables with the baseline over datasets.

    `scores`, `pgr`: as `outshine.results.results` makes them. The unit is the dataset: differences in `metric`
    averaged over the seeds that both methods have, saturated datasets left out. `rope`: half-width of practical
    equivalence in units of the metric, for the Bayesian signed-rank test. `declared`: the setting `better_than` of
    each study that the tables come from, as it was before the results were seen; tests are one-sided where all
    studies name this baseline, and two-sided otherwise. Formulas: docs/statistics.md.
    Raises as `pair` does, and DataError where no method shares two datasets with the baseline.
    """
    paired = pair(scores, pgr, baseline, metric)
    one_sided = _declared_better(declared, lambda name: pair(scores, pgr, name, metric).baseline, paired.baseline)
    enough = [name for name in paired.methods if len(paired.of(name)) >= 2]
    if not enough:
        raise DataError(_nothing_to_compare(paired))
    tail = tail_level(len(enough), two_sided=not one_sided)
    single = [_compare_one(name, paired, rope, level, tail, one_sided) for name in enough]
    corrected = zip(*(_holm([getattr(method, name) for method in single]) for name in _CORRECTED), strict=True)
    methods = [
        method._replace(**dict(zip(_CORRECTED, p, strict=True))) for method, p in zip(single, corrected, strict=True)
    ]
    too_few = tuple(name for name in paired.methods if name not in enough)
    return ComparisonResult(paired, tuple(methods), too_few, rope, tuple(declared), one_sided)


def skewness(differences: Sequence[float] | np.ndarray) -> float:
    """Sample skewness m₃ / m₂^1.5 of central moments m; 0 where nothing varies."""
    d = np.asarray(differences, dtype=np.float64)
    if np.ptp(d) == 0:
        return 0.0
    standard = (d - d.mean()) / d.std()
    return float(np.mean(standard**3))


_CORRECTED = ("holm", "least_p", "t_holm", "sign_holm")  # corrected over the methods, each by itself


def _declared_better(declared: Sequence[str | None], label: Callable[[str], str], baseline: str) -> bool:
    """Whether every study declared that its methods are better than this baseline. `label`: what words stand for."""
    names = set(declared)
    name = names.pop() if len(names) == 1 else None
    if name is None or name == baseline:
        return name is not None
    try:
        return label(name) == baseline
    except (UnknownNameError, SettingsError):
        return False


def _holm(p: Sequence[float]) -> list[float]:
    """Holm's correction; a p that is unknown (NaN) stays so and counts as 1 for the others."""
    known = np.asarray(p, dtype=np.float64)
    return np.where(np.isnan(known), math.nan, holm(np.nan_to_num(known, nan=1.0))).tolist()


def _compare_one(
    name: str, paired: PairedRuns, rope: float | None, level: float, tail: float, one_sided: bool
) -> MethodComparison:
    """All of one method, its p-values not corrected yet. `tail` as in `SmallestDetectable`."""
    d = np.array([difference.difference for difference in paired.of(name)])
    wilcoxon, t, sign = (_p_values(test(d)) for test in (signed_rank_test, t_test, sign_test))
    mean = mean_interval(d, level)
    if np.ptp(d) == 0:  # a spread of 0 would claim certainty
        t = PValues(math.nan, math.nan, math.nan, math.nan, NO_SPREAD)
        mean = Interval(mean.value, -math.inf, math.inf, NO_SPREAD)
    p = wilcoxon.p(one_sided=one_sided)
    return MethodComparison(
        method=name,
        num_datasets=len(d),
        num_left_out=sum(omitted.method == name for omitted in paired.left_out),
        wins=int(np.count_nonzero(d > 0)),
        losses=int(np.count_nonzero(d < 0)),
        ties=int(np.count_nonzero(d == 0)),
        skewness=skewness(d),
        mean=mean,
        hodges_lehmann=hodges_lehmann(d, level),
        median=median_interval(d, level),
        wilcoxon=wilcoxon,
        t=t,
        sign=sign,
        p=p,
        holm=p,
        least_p=least_p(len(d), two_sided=not one_sided),
        t_holm=t.p(one_sided=one_sided),
        sign_holm=sign.p(one_sided=one_sided),
        posterior=None if rope is None else bayesian_signed_rank(d, rope, seed=stream_seed("bayesian signed-rank")),
        noise=_noise_floor(name, paired, tail),
    )


def _p_values(test: PairedTest) -> PValues:
    numbers = (test.statistic, test.p_greater, test.p_less, test.p_two_sided)
    return PValues(*(float(number) for number in numbers), null=test.null)


def _noise_floor(name: str, paired: PairedRuns, tail: float) -> SmallestDetectable:
    differences = paired.of(name)
    components = variance_components([list(difference.per_run.values()) for difference in differences])
    gap = 1.0
    if paired.metric != "pgr":
        gap = float(np.mean([paired.gaps[difference.dataset] for difference in differences]))
    sd = standard_error(components, 1, components.num_seeds)
    observed = abs(float(np.mean([difference.difference for difference in differences])))
    return SmallestDetectable(
        components=components,
        tail=tail,
        mean_gap=gap,
        detectable=detectable(sd, components.num_datasets, tail) if sd > _NIL else math.nan,
        observed=_sizes(components, observed, tail),
        target=_sizes(components, TARGET_PGR * gap if gap > 0 else math.nan, tail),
    )


def _sizes(components: Components, effect: float, tail: float) -> RequiredSizes:
    if math.isnan(effect) or standard_error(components, 1, components.num_seeds) <= _NIL:
        return RequiredSizes(effect, math.nan, math.nan)
    datasets, seeds = num_datasets_needed(components, effect, tail), num_seeds_needed(components, effect, tail)
    no_seeds = math.nan if components.seeds is None else math.inf
    return RequiredSizes(effect, math.inf if datasets is None else datasets, no_seeds if seeds is None else seeds)


def _flat(method: MethodComparison) -> dict[str, Any]:
    """A record's fields, those of records within it joined by an underscore; a missing one has no columns."""
    columns: dict[str, Any] = {}
    for name, value in method._asdict().items():
        if isinstance(value, Interval):
            columns |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
        elif isinstance(value, SmallestDetectable):
            columns |= _flat_noise(value)
        elif isinstance(value, PValues | Posterior):
            columns |= {f"{name}_{part}": number for part, number in value._asdict().items()}
        elif value is not None:
            columns[name] = value
    return columns


def _flat_noise(noise: SmallestDetectable) -> dict[str, float]:
    seeds = noise.components.seeds
    sizes = {
        f"{part}_for_{what}": number
        for what, needed in (("observed", noise.observed), ("target", noise.target))
        for part, number in needed._asdict().items()
    }
    return {
        "num_seeds": noise.components.num_seeds,
        "tail": noise.tail,
        "sd": noise.sd,
        "sd_datasets": math.sqrt(noise.components.datasets),
        "sd_seeds": math.nan if seeds is None else math.sqrt(seeds),
        "mean_gap": noise.mean_gap,
        "detectable": noise.detectable,
        "detectable_pgr": noise.in_pgr(noise.detectable),
        **sizes,
    }


def _nothing_to_compare(paired: PairedRuns) -> str:
    """Why no test can be made, with what there is."""
    have = dict.fromkeys(difference.dataset for difference in paired.differences)
    reasons = {omitted.dataset: omitted.reason for omitted in paired.left_out if omitted.dataset not in have}
    shared = f"{len(have)} ({', '.join(have)})" if have else "none"
    also = f"; left out: {'; '.join(f'{name}: {reason}' for name, reason in reasons.items())}" if reasons else ""
    return (
        f"comparing {paired.metric} over datasets needs two or more on which a method meets the baseline "
        f"{paired.baseline}; there is {shared}{also}"
    )
