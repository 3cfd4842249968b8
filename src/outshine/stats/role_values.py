"""Values of a metric for several roles on the same test rows, which come in groups, over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outshine.engine.errors import DataError
from outshine.stats.estimates import CovariancePart, Estimate, Floats

Groups = Sequence[Any] | NDArray[Any] | None
"""One entry per row; rows with equal entries share a group, None or NaN is a group of its own. None: no groups."""


@dataclass(frozen=True)
class RoleValues:
    """A metric's values for R roles on the same test rows, averaged over S seeds, and what is known of their errors.

    Attributes:
        estimate: Mean values [R]; its parts are test rows, then seeds (where S ≥ 2).
        per_seed: Each seed's values, [S, R].
        num_rows: How many test rows there are.
        num_groups: How many groups they come in.
        num_trials: How many independent trials stand behind a value where the rows show no variation: pairs of groups
            for an AUC, groups for a mean over rows.
    """

    estimate: Estimate
    per_seed: Floats
    num_rows: int
    num_groups: int
    num_trials: int

    @property
    def value(self) -> Floats:
        """Mean values [R]."""
        return self.estimate.value

    @property
    def num_seeds(self) -> int:
        """How many seeds there are."""
        return len(self.per_seed)

    @property
    def conditional(self) -> bool:
        """Whether the errors are those of the test rows alone: one seed tells nothing about other seeds."""
        return self.num_seeds == 1


def over_rows_and_seeds(rows: CovariancePart, per_seed: Floats) -> tuple[CovariancePart, ...]:
    """The parts of an estimate over seeds: that of the test rows, and from two seeds on that of the seeds.

    Seeds: covariance over seeds of the values [S, R], all roles jointly, divided by S, with S − 1 degrees of freedom:
    every contrast gets its own s²/S. It repeats 1/S of the row-by-seed interaction, which the part of the rows already
    holds: the sum errs on the wide side, by little (docs/statistics.md).
    """
    num_seeds = len(per_seed)
    if num_seeds == 1:
        return (rows,)
    shifted = per_seed - per_seed[0]  # equal seeds then deviate by exactly nothing
    deviations = shifted - shifted.mean(axis=0)
    return rows, CovariancePart(deviations.T @ deviations / (num_seeds * (num_seeds - 1)), num_seeds - 1)


def group_codes(groups: Groups, num_rows: int) -> tuple[NDArray[np.intp], int]:
    """Groups as numbers 0 … G − 1 in order of appearance, and G. None and NaN entries each stand alone."""
    if groups is None:
        return np.arange(num_rows), num_rows
    entries = groups.tolist() if isinstance(groups, np.ndarray) else list(groups)
    if len(entries) != num_rows:
        raise DataError(f"there must be one group per row: given {len(entries)} groups for {num_rows} rows")
    numbers: dict[Any, int] = {}
    keys = [("alone", i) if _is_missing(entry) else ("group", entry) for i, entry in enumerate(entries)]
    codes = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)
    return codes, len(numbers)


def degrees_of_freedom(*groups_by_class: NDArray[np.intp]) -> float:
    """Effective number of groups, less one: that of the class that has fewer; 0 where a class has one group only.

    Kish's (Σ w)² / Σ w² with the number of a class's rows in each group as weights: I for I equal groups, fewer
    where some are much larger, whose variance then rests on those few. (With plain I − 1 a nominal 95 %
    interval over 20 very unequal groups covered 89 %, with this 92 %: docs/statistics.md.) The lesser of two
    classes is on the safe side: Satterthwaite's value for a sum is never below its smallest part's.
    """
    sizes = [np.unique(codes, return_counts=True)[1] for codes in groups_by_class]
    if min(map(len, sizes)) < 2:
        return 0.0
    effective = min(float(size.sum() ** 2 / np.sum(size.astype(np.float64) ** 2)) for size in sizes)
    return max(effective - 1, 1.0)  # below 1 a t quantile has no practical meaning


def _is_missing(entry: Any) -> bool:
    """None, or an entry that does not plainly equal itself: NaN, NaT, pandas' NA."""
    if entry is None:
        return True
    equal = entry == entry
    return not (isinstance(equal, bool | np.bool_) and bool(equal))
