"""The seven ways to label a file: cheap labels, a student, trusted rows, and what can be made of these together.

Each is fitted on trusted rows by penalised logistic regression whose prior says what is known before any trusted row is
seen: that student and cheap labels are worth something. So with few trusted rows an option falls back to that, and with
many the rows decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, log_softmax, logit

from outshine.labelling.trusted_sample import Floats, Ints, Trusted, unknown

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
    """What is known of every row without a true label: of two classes log-odds, of K classes log-probabilities.

    Attributes:
        student: Log-odds by a student that saw the label neither of the row nor of its group, [n]; of K classes their
            log-probabilities, [n, K].
        label: Cheap label as P(class 1), [n], or probabilities of K classes, [n, K]; NaN where there is none.
        embedding: Columns as `principal_columns` has them, [n, k]; k = 0 where no model has read the texts.
    """

    student: Floats
    label: Floats
    embedding: Floats

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return 2 if self.student.ndim == 1 else self.student.shape[1]

    @property
    def options(self) -> tuple[Option, ...]:
        """The options that these scores allow: without an embedding trusted rows can teach no model of their own."""
        return tuple(option for option in OPTIONS if not option.embedding or self.embedding.shape[1])

    @property
    def label_log_odds(self) -> Floats:
        """The cheap labels' log-odds, [n] or [n, K], NaN where there is none; hard labels count as nearly certain."""
        if self.label.ndim == 1:
            return logit(np.clip(self.label, CERTAIN, 1 - CERTAIN))
        return np.log(np.clip(self.label, CERTAIN / (self.label.shape[1] - 1), 1 - CERTAIN))


class Prior(NamedTuple):
    """What is taken for likely of an option's weights before the fit: mean and precision of each.

    Attributes:
        scores: Of the student's score and the cheap label's, as far as the option looks at them, [q].
        offset: Of the log-odds of an average row; of K classes of each one's, [K].
    """

    scores: tuple[Floats, Floats]
    offset: tuple[Floats, float]


class Fit(NamedTuple):
    """What an option says of a row: log-odds, or logits, = scores · weights + offset + embedding · columns.

    Attributes:
        scores: Weights of the student's standardised score and the cheap label's, as far as it looks at them, [q].
        offset: One number; of K classes one each, [K].
        columns: Of `Scores.embedding`, [k] or [k, K]; of an option that does not look at it, of none, [0].
    """

    scores: Floats
    offset: Any
    columns: Floats


class OfText(NamedTuple):
    """What the recommended option says of a text that has no cheap label, as the weights that make its log-odds.

    Attributes:
        student: Weight of the student's log-odds; of K classes of its logits less their mean over the classes.
        offset: One number, or [K].
        columns: Weights of the embedding's columns, as in `Scores.embedding`, [k] or [k, K]; k = 0: it has no part.
    """

    student: float
    offset: Any
    columns: Floats


class Designs:
    """What all options look at, made once for a file, and their fits on trusted rows.

    Scores are brought to a mean of 0 and a standard deviation of 1; of K classes that of differences of two classes.
    """

    def __init__(self, scores: Scores) -> None:
        self.scores = scores
        self._student, self._scale = _standard(scores.student)
        self._labels, _ = _standard(scores.label_log_odds)
        self._prior = {option.name: self._prior_of(option) for option in scores.options if option.fitted}

    def log_odds(self, option: Option, trusted: Trusted, rows: Ints) -> Floats:
        """Fit an option on trusted rows, and return the log-odds of `rows`, [r], by it; NaN where it says nothing.

        Of K classes the log-probabilities, [r, K].
        """
        if not option.fitted:
            return self.scores.student[rows] if option.student else self.scores.label_log_odds[rows]
        fit = self.fit(option, trusted)
        z = fit.offset + np.zeros_like(self.scores.student[rows])
        for score, weight in zip(self._used(option), fit.scores, strict=True):
            z += weight * score[rows]
        if option.embedding:
            z += self.scores.embedding[rows] @ fit.columns
        if option.name == "labels_recalibrated":
            z[unknown(self.scores.label[rows])] = np.nan
        return z if z.ndim == 1 else log_softmax(z, axis=1)

    def of_text(self, option: Option, trusted: Trusted) -> OfText:
        """Return what an option that looks at the student or the embedding says of texts without a cheap label."""
        if not option.fitted:
            return OfText(1.0, 0.0, np.zeros(0))
        fit, (mean, deviation) = self.fit(option, trusted), self._scale
        weight = float(fit.scores[0]) / deviation if option.student else 0.0
        return OfText(weight, fit.offset - weight * mean, fit.columns)

    def fit(self, option: Option, trusted: Trusted) -> Fit:
        """Fit an option on trusted rows."""
        # Rows that were drawn by disagreement are drawn by what an option sees that looks at both scores; others are
        # taught by rows that stand for unequal parts of the file.
        weight = np.ones(len(trusted.row)) if option.student and option.labels else trusted.weight
        fit = _fit_binary if self.scores.student.ndim == 1 else _fit_classes
        used = [score[trusted.row] for score in self._used(option)]
        if not option.embedding:
            return fit(used, np.zeros((len(weight), 0)), trusted.truth, weight, self._prior[option.name])
        embedding = self.scores.embedding[trusted.row]
        axes = np.linalg.qr(embedding.T)[0]  # of what the rows span: a ridge fit has no weight outside of it
        found = fit(used, embedding @ axes, trusted.truth, weight, self._prior[option.name])
        return found._replace(columns=axes @ found.columns)

    def _used(self, option: Option) -> list[Floats]:
        """Return the standardised scores that an option looks at."""
        return [score for score, seen in ((self._student, option.student), (self._labels, option.labels)) if seen]

    def _prior_of(self, option: Option) -> Prior:
        """Return what is taken for likely of an option's weights but for the embedding's.

        One standard deviation of the student's log-odds moves the true log-odds by 1 ± 1, of the cheap label's by ½ ± 1
        beside the student's and by 1 ± 1 alone. The log-odds of an average row are half those of the cheap labels'
        shares ± 1, since shares of cheap labels are often biased; without cheap labels 0 ± 3.
        """
        mean = [1.0] * option.student + [0.5 if option.student else 1.0] * option.labels
        share = np.nanmean(self.scores.label, axis=0)
        if share.ndim == 0:
            lean = 0.5 * logit(np.clip(share, CERTAIN, 1 - CERTAIN))
        else:
            lean = 0.5 * np.log(np.clip(share, CERTAIN / (len(share) - 1), 1 - CERTAIN))
            lean -= lean.mean()
        offset = (lean, 1.0) if mean else (np.zeros_like(lean), 1 / 9)
        return Prior((np.array(mean), np.ones(len(mean))), offset)


def _standard(values: Floats) -> tuple[Floats, tuple[Any, float]]:
    """Return values with mean 0 and standard deviation 1, those that are missing taken for the mean; and both of these.

    Of K classes, [n, K], each row's mean is taken off first, then each class's; the standard deviation is that of a
    difference of two classes, the mean over all pairs.
    """
    if values.ndim == 1:
        deviation = float(np.nanstd(values))
    else:
        values = values - values.mean(axis=1, keepdims=True)
        deviation = float(np.sqrt(2 * np.nanvar(values, axis=0).sum() / (values.shape[1] - 1)))
    mean, deviation = np.nanmean(values, axis=0), deviation or 1.0
    return np.nan_to_num((values - mean) / deviation), (mean, deviation)


def _fit_binary(used: Sequence[Floats], embedding: Floats, truth: Ints, weight: Floats, prior: Prior) -> Fit:
    x = np.c_[np.stack([*used, np.ones(len(embedding))], axis=1), embedding]
    rank, num = embedding.shape[1], len(used)
    mean = np.r_[prior.scores[0], prior.offset[0], np.zeros(rank)]
    precision = np.r_[prior.scores[1], prior.offset[1], np.full(rank, 1 / CORRECTION)]
    t = fit_logistic(x, truth.astype(float), weight, mean, precision)
    return Fit(t[:num], t[num], t[num + 1 :])


def _fit_classes(used: Sequence[Floats], embedding: Floats, truth: Ints, weight: Floats, prior: Prior) -> Fit:
    offset = prior.offset[0]
    scores = np.stack(used, axis=2) if used else np.zeros((len(embedding), len(offset), 0))
    precision = (prior.scores[1], 2 * prior.offset[1], 2 / CORRECTION)
    return Fit(*fit_softmax(scores, embedding, truth, weight, (prior.scores[0], offset), precision))


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


def fit_softmax(
    scores: Floats,
    embedding: Floats,
    truth: Ints,
    weight: Floats,
    mean: tuple[Floats, Floats],
    precision: tuple[Floats, float, float],
) -> tuple[Floats, Floats, Floats]:
    """Return a [q], c [K], W [r, K] of least Σ weight · CE(softmax(Sa + c + EW), truth) + ½ Σ precision (· − mean)².

    So one scale serves all classes, as temperature scaling has it, and each class has an offset of its own. With two
    classes and twice the precision of c and W it is `fit_logistic`. By L-BFGS. Source: Alexandari, Kundaje, Shrikumar
    2020, "Maximum likelihood with bias-corrected calibration is hard-to-beat at label shift adaptation",
    arXiv:1901.06852, for scale and offsets.

    `scores` S [m, K, q], `embedding` E [m, r], `truth` [m] numbers of classes, `weight` [m] ≥ 0; `mean` of a and of c,
    that of W is 0; `precision` > 0 of a [q], of c and of W.
    """
    from scipy.optimize import minimize

    num, num_classes, num_scores = scores.shape
    shape = (embedding.shape[1], num_classes)
    start = np.concatenate([*mean, np.zeros(shape).ravel()])
    each = np.concatenate([precision[0], np.full(num_classes, precision[1]), np.full(shape, precision[2]).ravel()])
    rows, by_score = np.arange(num), scores.reshape(num * num_classes, num_scores)

    def parts(t: Floats) -> tuple[Floats, Floats, Floats]:
        return t[:num_scores], t[num_scores : num_scores + num_classes], t[num_scores + num_classes :].reshape(shape)

    def objective(t: Floats) -> tuple[float, Floats]:
        a, c, w = parts(t)
        z = (by_score @ a).reshape(num, num_classes) + c + embedding @ w
        log_p = z - z.max(axis=1, keepdims=True)
        log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
        off = weight[:, None] * np.exp(log_p)
        off[rows, truth] -= weight
        away = t - start
        gradient = np.concatenate([by_score.T @ off.ravel(), off.sum(axis=0), (embedding.T @ off).ravel()])
        return float(0.5 * each @ away**2 - weight @ log_p[rows, truth]), gradient + each * away

    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "gtol": 1e-4, "ftol": 0})
    return parts(found.x)


def cross_fitted(designs: Designs, trusted: Trusted, fold: Ints) -> dict[str, Floats]:
    """Return log-odds of every trusted row by each option, fitted on those of the other folds, [m] or [m, K]."""
    options = designs.scores.options
    found = {option.name: np.empty((len(trusted.row), *designs.scores.student.shape[1:])) for option in options}
    for number in np.unique(fold):
        held_out = fold == number
        rest = trusted.take(~held_out)
        for option in options:
            found[option.name][held_out] = designs.log_odds(option, rest, trusted.row[held_out])
    return found
