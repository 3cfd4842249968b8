"""Base class of metrics: a value, its influence function, and what follows: estimates over groups of rows and seeds."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
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
        by_class: Whether it takes its means within each true class, as AUROC does, so that how many rows a class has is
            no part of its error.
    """

    title: ClassVar[str] = ""
    outcomes: ClassVar[tuple[str, ...]] = ("binary",)
    is_share: ClassVar[bool] = True
    by_class: ClassVar[bool] = False

    @abstractmethod
    def value(self, y: NDArray[Any], scores: Floats) -> float:
        """Measure the scores of one model.

        Args:
            y: The true class of each row by its number, 0 or 1 or a bool where there are two, [n].
            scores: Log-odds of class 1, [n], of a pair that the first is better; of K classes logits, [n, K].

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
            y: The true class of each row, as for `value`, [n].
            scores: As for `value`, [n] or [n, K].

        Returns:
            One number for each row, [n]; their mean is 0.

        Raises:
            DataError: As `value`.
        """

    def combine_seeds(self, y: ArrayLike, scores: ArrayLike, groups: Groups = None) -> RoleValues:
        """Return the mean values of several roles over seeds, with their joint covariance.

        Test rows: the influence functions, averaged over seeds, are summed by group, u_g = Σ_{i∈g} ψᵢ / n, and with G
        groups C = G/(G−1) Σ u uᵀ. Degrees of freedom: `degrees_of_freedom` of the groups. Seeds: `over_rows_and_seeds`.

        A metric that is `by_class` is a function of samples of given size, one a class k of the G_k groups that hold
        such rows. With u = Σₖ uₖ (Obuchowski 1997, for two classes),
        C = G/(G−1) Σ u uᵀ + Σₖ [G_k/(G_k−1) − G/(G−1)] Σ uₖ uₖᵀ, and the degrees of freedom are those of the class that
        has the fewest. NaN where a class lies in one group.

        Args:
            y: The true class of each row, [n].
            scores: Scores by seed and role, [S, R, n] or [S, R, n, K]; a role that does not vary with the seed is
                repeated.
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
        per_seed = np.array([[self.value(truth, role) for role in roles] for roles in by_seed])
        influence = np.mean([[self.influence(truth, role) for role in roles] for roles in by_seed], axis=0)
        if influence.shape != (by_seed.shape[1], len(truth)):
            raise DataError(
                f"the metric '{self.kind}' has influences of shape {influence.shape[1:]} for {len(truth)} rows"
            )
        if not np.isfinite(per_seed).all() or not np.isfinite(influence).all():
            raise DataError(f"the metric '{self.kind}' is not finite on these rows")
        samples = [truth == number for number in np.unique(truth)] if self.by_class else [np.ones(len(truth), bool)]
        cov = _covariance_over_groups(influence, samples, codes, num_groups)
        rows = CovariancePart(cov, degrees_of_freedom(*(codes[sample] for sample in samples)))
        estimate = Estimate(per_seed.mean(axis=0), over_rows_and_seeds(rows, per_seed))
        fewest = min(len(np.unique(codes[sample])) for sample in samples)
        num_trials = min(fewest, num_groups // 2) if self.by_class else num_groups
        return RoleValues(estimate, per_seed, len(truth), num_groups, num_trials)

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


def _covariance_over_groups(
    influence: Floats, samples: Sequence[NDArray[np.bool_]], codes: NDArray[np.intp], num_groups: int
) -> Floats:
    """Covariance [R, R] of R values from their influence functions [R, n], rows clustered in groups.

    `samples`: the rows [n] of each sample whose size is given; one sample of all rows is the plain case.
    """
    num_roles = len(influence)
    sizes = [len(np.unique(codes[sample])) for sample in samples]
    if min(sizes) < 2:
        return np.full((num_roles, num_roles), math.nan)
    factor = num_groups / (num_groups - 1)
    u = _sums_by_group(influence, codes, num_groups)
    cov = factor * (u @ u.T)
    if len(samples) > 1:
        for sample, size in zip(samples, sizes, strict=True):
            own = _sums_by_group(influence[:, sample], codes[sample], num_groups) * (sample.sum() / len(sample))
            cov += (size / (size - 1) - factor) * (own @ own.T)
    return cov


def _sums_by_group(influence: Floats, codes: NDArray[np.intp], num_groups: int) -> Floats:
    """Sums over each group of influences [R, n], divided by n: [R, G]; what is rounding error is 0."""
    sums, sizes = (
        np.stack([np.bincount(codes, weights=row, minlength=num_groups) for row in rows]) / influence.shape[1]
        for rows in (influence, np.abs(influence))
    )
    return np.where(np.abs(sums) <= _ROUNDING * sizes, 0.0, sums)


metrics: Registry[Metric] = Registry("metric", "metrics", Metric, "outshine.stats.metrics")
