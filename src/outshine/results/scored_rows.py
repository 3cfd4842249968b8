"""Supervisor, student and ceiling on the rows of one test set, compared by one metric.

What a study's tables say of a method, and `outshine score` of anybody's predictions, is computed here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from outshine.engine.errors import OutshineError
from outshine.stats.estimates import Estimate
from outshine.stats.intervals import Interval, difference_interval
from outshine.stats.metrics import Metric
from outshine.stats.pgr import PGR, ROLES, compare_roles, is_saturated
from outshine.stats.role_values import RoleValues

PGR_FACTS = (
    *("pgr", "pgr_low", "pgr_high", "defined", "reason"),
    *("student_minus_weak", "ceiling_minus_weak", "saturated"),
)
"""The columns that tell a PGR: those of `pgr_facts`, and whether the dataset is saturated."""


class ScoredRows(NamedTuple):
    """The test rows of a dataset with the scores of several roles, over seeds.

    Attributes:
        y: The true class of each row, [n].
        groups: What rows share that belong together, [n]; None: each row stands alone.
        scores: By seed and role, [S, R, n], or [S, R, n, K] where a row has a score for each class.
        roles: What the R roles are, in the order of `outshine.stats.pgr.ROLES`; some may be lacking.
    """

    y: NDArray[Any]
    groups: Sequence[Any] | None
    scores: NDArray[Any]
    roles: tuple[str, ...] = ROLES


class Outcome(NamedTuple):
    """The roles on a test set by one metric.

    Attributes:
        values: What `Metric.combine_seeds` returned, for the roles that there are.
        roles: These roles.
        intervals: Of weak supervisor, student and ceiling; NaN for one that lacks.
        pgr: Over all seeds; undefined where a role lacks.
        per_seed: The PGR of each seed, conditional on its trained models.
    """

    values: RoleValues
    roles: tuple[str, ...]
    intervals: tuple[Interval, ...]
    pgr: PGR
    per_seed: list[PGR]

    @property
    def estimate(self) -> Estimate | None:
        """What pooling takes; None where a role lacks."""
        return self.values.estimate if self.roles == ROLES else None

    @property
    def saturated(self) -> bool:
        """Whether there is no gap to recover; False where it is not known."""
        return is_saturated(self.intervals[0].value, self.intervals[2].value)

    @property
    def sizes(self) -> dict[str, int]:
        """The columns `n` and `num_groups`."""
        return {"n": self.values.num_rows, "num_groups": self.values.num_groups}

    def difference(self, role: str, less: str) -> Interval:
        """The value of one role less that of another; NaN where one lacks."""
        if role not in self.roles or less not in self.roles:
            return Interval(math.nan, math.nan, math.nan)
        return difference_interval(self.values.estimate, [float(r == role) - float(r == less) for r in self.roles])


def compare_rows(rows: ScoredRows, metric: Metric, reason: str) -> Outcome:
    """Compare the roles on a test set by a metric. `reason`: why there is no PGR where a role lacks."""
    if rows.roles == ROLES:
        compared = compare_roles(rows.y, rows.scores, rows.groups, metric=metric)
        values, intervals, pgr = compared.overall
        return Outcome(values, ROLES, intervals, pgr, [comparison.pgr for comparison in compared.per_seed])
    values = metric.combine_seeds(rows.y, rows.scores, rows.groups)
    nan, known = math.nan, {role: metric.interval(values, number) for number, role in enumerate(rows.roles)}
    intervals = tuple(known.get(role, Interval(nan, nan, nan)) for role in ROLES)
    student_gap, gap = (
        known[role].value - known["weak"].value if {role, "weak"} <= set(known) else nan
        for role in ("student", "ceiling")
    )
    unknown = PGR(nan, nan, nan, False, reason, student_gap, gap)
    return Outcome(values, rows.roles, intervals, unknown, [unknown] * len(rows.scores))


def metric_rows(rows: ScoredRows, metrics: Sequence[Metric], reason: str) -> Iterator[dict[str, Any]]:
    """What the table `metrics` says of a test set, a row a metric; of one that is not defined here the reason."""
    for metric in metrics:
        try:
            outcome = compare_rows(rows, metric, reason)
        except OutshineError as error:  # the other tables of a run do not depend on it
            yield {"metric": metric.kind, "n": len(rows.y), "defined": False, "reason": str(error)}
            continue
        facts = {**interval_facts(outcome.intervals, "_value"), **pgr_facts(outcome.pgr)}
        yield {"metric": metric.kind, **outcome.sizes, **facts}


def interval_facts(intervals: Sequence[Interval], value: str) -> dict[str, float]:
    """Columns such as `weak_auroc`, `weak_low`, `weak_high` for the value `_auroc`."""
    facts = {}
    for role, interval in zip(ROLES, intervals, strict=True):
        facts |= {f"{role}{value}": interval.value, f"{role}_low": interval.low, f"{role}_high": interval.high}
    return facts


def pgr_facts(pgr: PGR) -> dict[str, Any]:
    """The columns `PGR_FACTS`, but that of saturated datasets."""
    numbers = {"pgr": pgr.value, "pgr_low": pgr.low, "pgr_high": pgr.high}
    gaps = {"student_minus_weak": pgr.student_minus_weak, "ceiling_minus_weak": pgr.ceiling_minus_weak}
    return {**numbers, "defined": pgr.defined, "reason": pgr.reason, **gaps}
