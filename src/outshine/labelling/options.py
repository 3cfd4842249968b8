"""The seven ways to label a file: cheap labels, a student, trusted rows, and what can be made of these together.

Each is fitted on trusted rows by penalised logistic regression whose prior says what is known before any trusted row is
seen: that student and cheap labels are worth something. So with few trusted rows an option falls back to that, and with
many the rows decide.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from outshine.labelling.trusted_sample import Floats, Ints, Trusted

CERTAIN = 0.02  # cheap labels are kept this far from 0 and 1 where log-odds are made of them
CORRECTION = 2.0  # prior variance of what trusted rows add to a row's log-odds by way of its embedding
_STEPS, _CLOSE = 50, 1e-9


class Option(NamedTuple):
    """One way to label a file.

    Attributes:
        name: What JSON and Python call it.
        title: What people read.
        student: Whether it looks at the student's log-odds.
        labels: Whether it looks at the cheap labels.
        embedding: Whether trusted rows also teach it to read the embedding.
        fitted: Whether it is fitted on trusted rows at all.
    """

    name: str
    title: str
    student: bool = False
    labels: bool = False
    embedding: bool = False
    fitted: bool = True


OPTIONS = (
    Option("labels", "cheap labels as they are", labels=True, fitted=False),
    Option("labels_recalibrated", "cheap labels, recalibrated", labels=True),
    Option("student", "student as it is", student=True, fitted=False),
    Option("student_recalibrated", "student, recalibrated", student=True),
    Option("trusted_only", "trusted rows alone", embedding=True),
    Option("combined", "student and cheap label combined", student=True, labels=True),
    Option("together", "cheap and trusted rows trained together", student=True, labels=True, embedding=True),
)
BY_NAME = {option.name: option for option in OPTIONS}


class Scores(NamedTuple):
    """What is known of every row without a true label.

    Attributes:
        student: Log-odds by a student that saw the label neither of the row nor of its group [n].
        label: Cheap label as P(class 1), NaN where there is none [n].
        embedding: Columns as `principal_columns` has them [n, k]; k = 0 where no model has read the texts.
    """

    student: Floats
    label: Floats
    embedding: Floats

    @property
    def options(self) -> tuple[Option, ...]:
        """The options that these scores allow: without an embedding trusted rows can teach no model of their own."""
        return tuple(option for option in OPTIONS if not option.embedding or self.embedding.shape[1])

    @property
    def label_log_odds(self) -> Floats:
        """The cheap labels' log-odds [n], NaN where there is none; hard labels are taken for nearly certain ones."""
        return logit(np.clip(self.label, CERTAIN, 1 - CERTAIN))


class Design(NamedTuple):
    """What an option looks at in every row [n, k], and what is taken for likely of the weights before the fit [k]."""

    columns: Floats
    mean: Floats
    precision: Floats


class Designs:
    """The designs of all options, made once for a file."""

    def __init__(self, scores: Scores) -> None:
        self.scores = scores
        student, labels = _standard(scores.student), _standard(scores.label_log_odds)
        share = float(np.nanmean(scores.label))
        lean = 0.5 * float(logit(np.clip(share, CERTAIN, 1 - CERTAIN)))
        self._of = {option.name: _design(option, student, labels, lean) for option in scores.options if option.fitted}

    def log_odds(self, option: Option, trusted: Trusted, rows: Ints) -> Floats:
        """Fit an option on trusted rows, and return the log-odds of `rows` [r] by it; NaN where it says nothing."""
        if not option.fitted:
            if option.student:
                return self.scores.student[rows]
            return logit(np.clip(self.scores.label[rows], CERTAIN, 1 - CERTAIN))
        design = self._of[option.name]
        x, mean, precision = design.columns[trusted.row], design.mean, design.precision
        x_rows = design.columns[rows]
        if option.embedding:
            embedding = self.scores.embedding
            axes = _span(embedding[trusted.row])
            x, x_rows = np.c_[x, embedding[trusted.row] @ axes], np.c_[x_rows, embedding[rows] @ axes]
            mean = np.r_[mean, np.zeros(axes.shape[1])]
            precision = np.r_[precision, np.full(axes.shape[1], 1 / CORRECTION)]
        # Rows that were drawn by disagreement are drawn by what an option sees that looks at both scores; others are
        # taught by rows that stand for unequal parts of the file.
        weight = np.ones(len(x)) if option.student and option.labels else trusted.weight
        fitted = x_rows @ fit_logistic(x, trusted.truth.astype(float), weight, mean, precision)
        if option.name == "labels_recalibrated":
            fitted = np.where(np.isnan(self.scores.label[rows]), np.nan, fitted)
        return fitted


def _standard(values: Floats) -> Floats:
    """Return values with mean 0 and standard deviation 1; those that are missing are taken for the mean."""
    deviation = float(np.nanstd(values))
    return np.nan_to_num((values - np.nanmean(values)) / (deviation or 1.0))


def _design(option: Option, student: Floats, labels: Floats, lean: float) -> Design:
    """Return the columns of an option but for the embedding's, in standard deviations of the file.

    One standard deviation of the student's log-odds moves the true log-odds by 1 ± 1, of the cheap label's by ½ ± 1
    beside the student's and by 1 ± 1 alone. The log-odds of an average row are half those of the cheap labels' share
    ± 1, since shares of cheap labels are often biased; without cheap labels 0 ± 3.
    """
    columns, mean, precision = [], [], []
    if option.student:
        columns.append(student)
        mean.append(1.0)
        precision.append(1.0)
    if option.labels:
        columns.append(labels)
        mean.append(0.5 if option.student else 1.0)
        precision.append(1.0)
    cheap = option.student or option.labels
    columns.append(np.ones(len(student)))
    mean.append(lean if cheap else 0.0)
    precision.append(1.0 if cheap else 1 / 9)
    return Design(np.stack(columns, axis=1), np.array(mean), np.array(precision))


def _span(x: Floats) -> Floats:
    """Return orthonormal axes [k, min(m, k)] of what rows [m, k] span: a ridge fit has no weight outside of it."""
    return np.linalg.qr(x.T)[0]


def fit_logistic(x: Floats, p: Floats, weight: Floats, mean: Floats, precision: Floats) -> Floats:
    """Return the weights t [k] that minimise Σ weight · CE(σ(x t), p) + ½ Σ precision (t − mean)², by Newton's method.

    `x` [m, k], `p` [m] in [0, 1], `weight` [m] ≥ 0, `precision` [k] > 0, so that there is one minimum.
    """

    def objective(t: Floats) -> float:
        z = x @ t
        return float(weight @ (np.logaddexp(0, z) - p * z) + 0.5 * precision @ (t - mean) ** 2)

    t = mean.copy()
    value = objective(t)
    for _ in range(_STEPS):
        f = expit(x @ t)
        gradient = x.T @ (weight * (f - p)) + precision * (t - mean)
        hessian = (x * (weight * f * (1 - f))[:, None]).T @ x
        hessian[np.diag_indices_from(hessian)] += precision
        step = np.linalg.solve(hessian, gradient)
        share, slope = 1.0, float(gradient @ step)
        while (ahead := objective(t - share * step)) > value - 1e-4 * share * slope and share > 1e-8:
            share /= 2
        t = t - share * step
        if slope < _CLOSE:
            break
        value = ahead
    return t


def cross_fitted(designs: Designs, trusted: Trusted, fold: Ints) -> dict[str, Floats]:
    """Return log-odds of every trusted row [m] by each option, fitted on the trusted rows of the other folds."""
    options = designs.scores.options
    found = {option.name: np.empty(len(trusted.row)) for option in options}
    for number in np.unique(fold):
        held_out = fold == number
        rest = trusted.take(~held_out)
        for option in options:
            found[option.name][held_out] = designs.log_odds(option, rest, trusted.row[held_out])
    return found
