"""An estimated vector whose covariance is a sum of independent parts, each with its own degrees of freedom.

Leading axes are batches: a simulation holds ten thousand estimates in one `Estimate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]

ROUNDING = 1e-13
"""A variance below this share of Σᵢⱼ |wᵢ wⱼ Cᵢⱼ| is the rounding error of terms that cancel, and counts as 0."""


class CovariancePart(NamedTuple):
    """One independently estimated part of a covariance matrix, [..., k, k], and its degrees of freedom.

    A part that the data cannot estimate holds NaN and 0 degrees of freedom; it makes every variance NaN.
    """

    cov: Floats
    df: float


class Contrast(NamedTuple):
    """Weighted sums w·value: their values, variances and Satterthwaite degrees of freedom, all of one shape."""

    value: Floats
    variance: Floats
    df: Floats

    @property
    def standard_error(self) -> Floats:
        return np.sqrt(self.variance)


@dataclass(frozen=True)
class Estimate:
    """`value` [..., k] with covariance Σ parts. Test rows and seeds are the two parts of one dataset's AUCs."""

    value: Floats
    parts: tuple[CovariancePart, ...]

    @property
    def cov(self) -> Floats:
        """The total covariance [..., k, k]."""
        return np.sum([part.cov for part in self.parts], axis=0)

    def contrast(self, weights: ArrayLike) -> Contrast:
        """The weighted sums w·value for weights [..., k], or [k] for a batch, each with its own degrees of freedom.

        variance = Σ vₚ, df = (Σ vₚ)² / Σ (vₚ² / dfₚ), vₚ = w Cₚ wᵀ (Satterthwaite 1946). It lies between the
        smallest dfₚ and Σ dfₚ. Without any variance there is nothing to weigh: the smallest dfₚ.
        """
        w = np.asarray(weights, dtype=np.float64)
        variances = np.stack([_quadratic_form(w, part.cov) for part in self.parts])
        df = np.array([part.df for part in self.parts]).reshape(-1, *[1] * (variances.ndim - 1))
        total = variances.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            # Shares instead of variances: squares of tiny variances would underflow.
            satterthwaite = 1 / np.sum((variances / total) ** 2 / df, axis=0)
        return Contrast(np.sum(w * self.value, axis=-1), total, np.where(total == 0, np.min(df, axis=0), satterthwaite))

    def transform(self, matrix: ArrayLike) -> Estimate:
        """The estimate of `matrix` @ value, matrix [j, k]."""
        m = np.asarray(matrix, dtype=np.float64)
        return Estimate(self.value @ m.T, tuple(CovariancePart(m @ part.cov @ m.T, part.df) for part in self.parts))


def total(estimates: Sequence[Estimate]) -> Estimate:
    """The sum of independent estimates of one length: values and covariances add, the parts stay apart."""
    value = np.sum([estimate.value for estimate in estimates], axis=0)
    return Estimate(value, tuple(part for estimate in estimates for part in estimate.parts))


def t_quantile(level: float, df: ArrayLike) -> Floats:
    """The half-width of a central `level` interval in standard errors, Student's t with `df` (NaN stays NaN)."""
    return np.asarray(stdtrit(np.asarray(df, dtype=np.float64), (1 + level) / 2), dtype=np.float64)


def _quadratic_form(w: Floats, cov: Floats) -> Floats:
    """w C wᵀ over the last axis of w, never negative, exactly 0 where only rounding error is left."""
    form = np.einsum("...i,...ij,...j->...", w, cov, w)
    size = np.einsum("...i,...ij,...j->...", np.abs(w), np.abs(cov), np.abs(w))
    return np.where(form <= ROUNDING * size, 0.0, form)
