"""Base class of metrics: a value, its influence function, and what follows: estimates over groups of rows and seeds."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outshine.engine.errors import DataError
from outshine.engine.registry import Registry
from outshine.engine.settings import Plugin
from outshine.stats.estimates import CovariancePart, Estimate, Floats
from outshine.stats.intervals import Interval, difference_interval, share_interval
from outshine.stats.role_values import Groups, RoleValues, degrees_of_freedom, group_codes, over_rows_and_seeds

_ROUNDING = 1e-12
"""A group whose deviations add up to less than this share of their sizes deviates by rounding error, hence by 0."""


class Metric(Plugin):
    """How good scores are, measured on test rows; more is better. Fields are settings.

    Two methods say all that is particular to a metric: `value` and `influence`. Intervals, PGRs and pooling follow from
    them.

    Attributes:
        title: What it is, in a few words, for listings.
        outcomes: The kinds of labels that it can measure, as `outshine.data.task.Task.outcome` names them.
        is_share: Whether its values lie in [0, 1]. Intervals then stay there too.
    """

    title: ClassVar[str] = ""
    outcomes: ClassVar[tuple[str, ...]] = ("binary",)
    is_share: ClassVar[bool] = True

    @abstractmethod
    def value(self, y: NDArray[Any], scores: Floats) -> float:
        """Measure the scores of one model.

        Args:
            y: The true class of each row, 0 or 1 or a bool, [n].
            scores: Log-odds of class 1, [n].

        Returns:
            One finite number.

        Raises:
            DataError: The metric is not defined for these rows.
        """

    @abstractmethod
    def influence(self, y: NDArray[Any], scores: Floats) -> Floats:
        """Return the empirical influence function: by how much each row moves the value.

        ψᵢ is the derivative of the value with respect to the weight of row i, times n, all weights being one: with the
        weight 1 + ε the row makes the value larger by ε ψᵢ / n. For a mean over rows it is its term less the mean.

        Args:
            y: The true class of each row, 0 or 1 or a bool, [n].
            scores: Log-odds of class 1, [n].

        Returns:
            One number for each row, [n]; their mean is 0.

        Raises:
            DataError: As `value`.
        """

    def combine_seeds(self, y: ArrayLike, scores: ArrayLike, groups: Groups = None) -> RoleValues:
        """Return the mean values of several roles over seeds, with their joint covariance.

        Test rows: the influence functions, averaged over seeds, are summed by group, u_g = Σ_{i∈g} ψᵢ / n, and with G
        groups C = G/(G−1) Σ u uᵀ. Degrees of freedom: `degrees_of_freedom` of the groups. Seeds: `over_rows_and_seeds`.

        Args:
            y: The true class of each row, [n].
            scores: Scores by seed and role, [S, R, n]; a role that does not vary with the seed is repeated.
            groups: What rows share that belong together, [n]. None: each row stands alone.

        Returns:
            The values [R] with all that is known of their errors. Where all rows are one group the covariance is NaN.

        Raises:
            DataError: Scores of another shape, groups of another length, or as `value`.
        """
        truth, by_seed = np.asarray(y), np.asarray(scores, dtype=np.float64)
        if by_seed.ndim < 3 or by_seed.shape[2] != len(truth) or by_seed.size == 0:
            raise DataError(f"scores must be [seeds, roles, {len(truth)} rows]; given shape {by_seed.shape}")
        if num_nan := np.count_nonzero(np.isnan(by_seed)):
            raise DataError(f"{num_nan} of {by_seed.size} scores are NaN; the model that made them has diverged")
        codes, num_groups = group_codes(groups, len(truth))
        per_seed = np.array([[self.value(truth, one) for one in roles] for roles in by_seed])
        influence = np.mean([[self.influence(truth, one) for one in roles] for roles in by_seed], axis=0)
        if influence.shape != (by_seed.shape[1], len(truth)):
            raise DataError(
                f"the metric '{self.kind}' has influences of shape {influence.shape[1:]} for {len(truth)} rows"
            )
        if not np.isfinite(per_seed).all() or not np.isfinite(influence).all():
            raise DataError(f"the metric '{self.kind}' is not finite on these rows")
        rows = CovariancePart(_covariance_over_groups(influence, codes, num_groups), degrees_of_freedom(codes))
        estimate = Estimate(per_seed.mean(axis=0), over_rows_and_seeds(rows, per_seed))
        return RoleValues(estimate, per_seed, len(truth), num_groups, num_trials=num_groups)

    def interval(self, result: RoleValues, role: int, level: float = 0.95) -> Interval:
        """Return the value of one role with its confidence interval.

        Args:
            result: What `combine_seeds` returned.
            role: Its number.
            level: How often such intervals hold the truth.

        Returns:
            On the logit scale for a share (`share_interval`), Student's interval value ± t · se for any other metric.
        """
        if self.is_share:
            return share_interval(result, role, level)
        return difference_interval(result.estimate, [float(role == r) for r in range(len(result.value))], level)


def _covariance_over_groups(influence: Floats, codes: NDArray[np.intp], num_groups: int) -> Floats:
    """Covariance [R, R] of R values from their influence functions [R, n], rows clustered in groups."""
    num_roles, num_rows = influence.shape
    if num_groups < 2:
        return np.full((num_roles, num_roles), math.nan)
    sums, sizes = (
        np.stack([np.bincount(codes, weights=row, minlength=num_groups) for row in rows]) / num_rows
        for rows in (influence, np.abs(influence))
    )
    u = np.where(np.abs(sums) <= _ROUNDING * sizes, 0.0, sums)
    return num_groups / (num_groups - 1) * (u @ u.T)


metrics: Registry[Metric] = Registry("metric", "metrics", Metric, "outshine.stats.metrics")
