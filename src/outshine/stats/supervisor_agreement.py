"""Does a student agree with its supervisor: error imitation, chance-adjusted agreement (CAPA), misfit and its gain."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outshine.engine.errors import DataError
from outshine.stats.auroc import Bools, as_truth
from outshine.stats.calibration import as_probabilities, brier, of_classes


class Imitation(NamedTuple):
    """How often the student repeats the supervisor's hard labels, those that are wrong apart from those that are right.

    `wrong`, `right`: shares in [0, 1], NaN where `num_wrong` or `num_right` is 0. `weak_positive`, `student_positive`:
    share of rows called positive, of several classes of those called the commonest one. Where one of them is 0 or 1
    that model hardens to a single class: the shares are still what they say, but they then tell how often one class is
    called and nothing about single rows.
    """

    wrong: float
    right: float
    num_wrong: int
    num_right: int
    weak_positive: float
    student_positive: float

    @property
    def excess(self) -> float:
        """P(student wrong | supervisor wrong) − P(student wrong | supervisor right) = wrong + right − 1, of two
        classes.

        1: a copy; 0: errors that are independent of each other; negative: the student errs elsewhere.
        """
        return self.wrong + self.right - 1


def error_imitation(y: ArrayLike, p_weak: ArrayLike, p_student: ArrayLike, threshold: float = 0.5) -> Imitation:
    """Share of the supervisor's wrong labels that the student repeats, beside the share of its right ones.

    A label is positive where p > `threshold`, for both models; of several classes it is the likeliest. With two
    classes, to repeat a wrong label is to be wrong: `wrong` = P(student wrong | supervisor wrong), `right` = P(student
    right | supervisor right). Models that know nothing of each other both fail on hard rows, so that an excess does not
    by itself prove imitation.

    `y` [n] ground truth; `p_weak`, `p_student` [n] in [0, 1], of K classes [n, K]. Raises DataError for unequal
    lengths, no rows, labels that are no class, p outside [0, 1] or NaN, or a threshold that is not within [0, 1].
    Source: Burns et al., arXiv:2312.09390, section 5.1 ("student-supervisor agreement").
    """
    if not 0 <= threshold <= 1:
        raise DataError(f"the threshold between the classes must lie in [0, 1], given {threshold}")
    if np.ndim(p_weak) == 2:
        truth = np.asarray(y)
        weak, student = (of_classes(y, p)[0].argmax(axis=1) for p in (p_weak, p_student))
    else:
        truth = as_truth(y, both_classes=False)
        weak, student = (as_probabilities(p, len(truth)) > threshold for p in (p_weak, p_student))
    repeated, is_right = student == weak, weak == truth
    return Imitation(
        wrong=_share(repeated[~is_right]),
        right=_share(repeated[is_right]),
        num_wrong=int(np.count_nonzero(~is_right)),
        num_right=int(np.count_nonzero(is_right)),
        weak_positive=_positive(weak),
        student_positive=_positive(student),
    )


def capa(y: ArrayLike, p_first: ArrayLike, p_second: ArrayLike) -> float:
    """Chance-adjusted probabilistic agreement κ = (c_obs − c_exp) / (1 − c_exp) of two models, two classes.

    c_obs = mean [p₁p₂ + (1 − p₁)(1 − p₂)], p the probability of y = 1: how often labels drawn from the two agree.
    c_exp = p̄₁p̄₂ + (1 − p̄₁)(1 − p̄₂), p̄ the mean probability on the *correct* class: how often two models as good as
    these would agree if their errors were independent. 1: one and the same confident model; 0: independent errors;
    negative: they err on different rows. An unconfident model does not fully agree with itself.

    With w the probability on the *wrong* class this is κ = 2 cov(w₁, w₂) / (w̄₁(1 − w̄₂) + w̄₂(1 − w̄₁)), which is what
    is computed: no difference of numbers near 1 is taken where models are nearly perfect. NaN where c_exp = 1: both are
    right, or both wrong, everywhere with probability 1.

    K classes: c_obs = mean Σₖ p₁ₖp₂ₖ and c_exp = p̄₁p̄₂ + (1 − p̄₁)(1 − p̄₂) / (K − 1), models that err choosing among the
    K − 1 wrong classes at random.

    Arguments as for `error_imitation`, symmetric in the two models; raises DataError as it does.
    Source: Goel et al. 2025, "Great models think alike and this undermines AI oversight", arXiv:2502.04313.
    """
    if np.ndim(p_first) == 2:
        (one, own), (two, _) = of_classes(y, p_first), of_classes(y, p_second)
        right_one, right_two = float((one * own).sum(axis=1).mean()), float((two * own).sum(axis=1).mean())
        expected = right_one * right_two + (1 - right_one) * (1 - right_two) / (own.shape[1] - 1)
        observed = float((one * two).sum(axis=1).mean())
        return (observed - expected) / (1 - expected) if expected < 1 else math.nan
    truth = as_truth(y, both_classes=False)
    first, second = (np.where(truth, 1 - p, p) for p in (as_probabilities(p, len(truth)) for p in (p_first, p_second)))
    covariance = float(np.mean((first - first.mean()) * (second - second.mean())))
    disagreement = float(first.mean() * (1 - second.mean()) + second.mean() * (1 - first.mean()))
    return 2 * covariance / disagreement if disagreement > 0 else math.nan


def misfit(p_weak: ArrayLike, p_student: ArrayLike) -> float:
    """How far the student departs from its supervisor: mean (p_student − p_weak)², in squared probability.

    `p_weak`, `p_student` [n] in [0, 1], of K classes [n, K]: mean ½ Σₖ of the squares. Raises DataError for unequal
    lengths, no rows, and p outside [0, 1] or NaN. Source: Charikar, Pabbaraju, Shiragur 2024, "Quantifying the gain in
    weak-to-strong generalization", arXiv:2405.15116.
    """
    num_rows = np.size(p_weak)
    if num_rows == 0:
        raise DataError("misfit needs at least one row, given none")
    if np.ndim(p_weak) == 2:
        weak, student = (as_probabilities(np.ravel(p), num_rows) for p in (p_weak, p_student))
        return float(((student - weak) ** 2).sum() / (2 * len(np.asarray(p_weak))))
    return float(np.mean((as_probabilities(p_student, num_rows) - as_probabilities(p_weak, num_rows)) ** 2))


def misfit_gain(y: ArrayLike, p_weak: ArrayLike, p_student: ArrayLike) -> float:
    """What the student gains on its supervisor in squared error: Brier(weak) − Brier(student).

    For squared loss over a convex class of students that can express the truth, the gain is at least the misfit
    (theorem 1 of the source). Students here are trained on cross-entropy and the class is not convex: a diagnostic, not
    a bound. Brier scores stand in for distances to P(y=1|x): label noise adds the same to both and cancels on average.

    Arguments as for `error_imitation`; raises DataError as it does.
    Source: Charikar, Pabbaraju, Shiragur 2024, arXiv:2405.15116.
    """
    return brier(y, p_weak) - brier(y, p_student)


def _positive(called: NDArray[Any]) -> float:
    """The share of rows called positive; of several classes of those called the commonest one."""
    if called.dtype == np.bool_:
        return _share(called)
    return float(np.bincount(called).max() / len(called)) if len(called) else math.nan


def _share(chosen: Bools) -> float:
    return float(chosen.mean()) if chosen.size else math.nan
