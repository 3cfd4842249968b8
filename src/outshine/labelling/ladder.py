"""Seven ways to label a file beside each other, judged by trusted rows, and the one that is recommended.

No row judges what it has taught: options are fitted on nine tenths of the trusted rows and judged on the tenth, in
turn, and so is the choice among them, which is made anew within each nine tenths. Hence what is claimed of the
recommended option is not the best of seven estimates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import expit

from outshine.engine.rng import numpy_rng
from outshine.labelling.gains import RowsNeeded, needed_accuracy, wilson
from outshine.labelling.options import BY_NAME, Designs, Scores, cross_fitted
from outshine.labelling.trusted_sample import LEVEL, Floats, Ints, Sample, Trusted
from outshine.stats.auc_covariance import combine_seeds
from outshine.stats.auroc import Bools
from outshine.stats.intervals import Interval, auroc_interval
from outshine.w2s.stages.probing import folds

FEWEST_TRUSTED = 10  # rows below which nothing is fitted on them
FEWEST_OF_A_STRATUM = 5  # rows, where disagreements were drawn more often than agreements
OUTER, INNER = 10, 5  # folds of trusted rows: for judging, and within nine tenths of them for choosing
PREFERRED = ("together", "combined")  # the first of these that can be had is used unless trusted rows speak against it

FEWEST_GROUPS = 10  # of equal size, below which an interval from groups is too uncertain for a verdict

_CURVE_START, _CURVE_POINTS, _CURVE_DRAWS = 8, 10, 3

Reason = Literal["default", "keep_labels", "shown_better"]


class OptionResult(NamedTuple):
    """One way to label the file, by the trusted rows.

    Attributes:
        name: As in `OPTIONS`.
        title: What people read.
        accuracy: Share of rows that it has right, with its 95 % interval.
        gain: The same less that of the cheap labels, on the same rows.
        auroc: How well it ranks rows; None where trusted rows are of one class or were drawn by disagreement.
        share_positive: Share of the file's rows that it calls class 1.
    """

    name: str
    title: str
    accuracy: Interval
    gain: Interval
    auroc: Interval | None
    share_positive: float


class Worth(NamedTuple):
    """How many checked rows alone would do as well as the file's cheap labels do.

    A model of so many checked rows is right as often as the student of all cheap labels, recalibrated.

    Attributes:
        num_labels: Cheap labels of the file.
        num_trusted: Checked rows of the longest curve that could be measured.
        value: Their number; None: more than `num_trusted`.
        low: Lower 95 % limit.
        high: Upper 95 % limit; None: it is beyond `num_trusted`.
    """

    num_labels: int
    num_trusted: int
    value: float | None
    low: float
    high: float | None


class ClassShare(NamedTuple):
    """The share of the file's rows that are truly of class 1.

    Attributes:
        labels: What the cheap labels say.
        share: What they and the trusted rows say together, with its 95 % interval.
        trusted: What the trusted rows alone say.
    """

    labels: float
    share: Interval
    trusted: Interval


class Confusion(NamedTuple):
    """How the cheap labels treat each true class.

    Attributes:
        counts: Trusted rows by true class and by class of the cheap label [2, 2].
        called_positive: Share of rows of each true class that the cheap labels call class 1, with its 95 % interval.
    """

    counts: tuple[tuple[int, int], tuple[int, int]]
    called_positive: tuple[Interval, Interval]


class Ladder(NamedTuple):
    """Seven ways to label a file, beside each other.

    Attributes:
        of: `file`: judged by trusted rows of the file; `new`: by others, for rows like them.
        num_rows: Trusted rows that judge.
        options: Each way, in the order of `OPTIONS`.
        recommended: The name of the one to use.
        reason: Why: `default`: it is preferred unless trusted rows speak against it; `keep_labels`: the cheap labels
            are right more often than a student of them; `shown_better`: than the one that is preferred.
        accuracy: Of the recommended option, with the choice made within each fold.
        gain: What it has more than the cheap labels, likewise; with the choice among seven taken into account.
        steady: Share of the folds within which the same option was chosen.
        worth: What the cheap labels are worth; None where that could not be measured.
        needed: Trusted rows in all that would show the gain, of several sizes.
        class_share: How many rows are truly of class 1.
        confusion: Where the cheap labels go wrong.
        few_groups: Whether the trusted rows are of too few groups for a verdict.
        drawn_by_disagreement: Whether trusted rows were weighted since disagreements were drawn more often.
        log_odds: Of each row of the file by the recommended option; of a trusted row by a fit without it [n].
    """

    of: Literal["file", "new"]
    num_rows: int
    options: tuple[OptionResult, ...]
    recommended: str
    reason: Reason
    accuracy: Interval
    gain: Interval
    steady: float
    worth: Worth | None
    needed: tuple[RowsNeeded, ...]
    class_share: ClassShare
    confusion: Confusion
    few_groups: bool
    drawn_by_disagreement: bool
    log_odds: Floats

    @property
    def verdict(self) -> Literal["better", "equal", "open"]:
        """On which side of 0 the interval of the gain lies; equal: the cheap labels themselves are recommended."""
        if self.recommended == "labels" and self.gain.low == self.gain.high == 0:
            return "equal"
        if self.few_groups:
            return "open"
        return "better" if self.gain.low > 0 else "open"

    def of_option(self, name: str) -> OptionResult:
        """Return what is known of one option."""
        return next(option for option in self.options if option.name == name)


def climb(
    scores: Scores,
    trusted: Trusted,
    *,
    in_file: Bools,
    by_disagreement: bool = False,
    of: Literal["file", "new"] = "file",
) -> Ladder | None:
    """Fit and judge all options; None: there are too few trusted rows, or they cannot stand for the file.

    `scores` of all rows; `in_file` [n]: which are of the file. `trusted`: rows that have a cheap label.
    `by_disagreement`: rows on which student and label disagree were drawn more, or less, often than others, at random.
    """
    apart = (scores.student > 0) != (scores.label > 0.5)
    strata: Ints | None = None
    if by_disagreement:
        stratum = apart[trusted.row].astype(int)
        share = float(np.mean(apart[in_file & ~np.isnan(scores.label)]))
        counts = np.bincount(stratum, minlength=2)
        if counts.min() < FEWEST_OF_A_STRATUM:
            return None
        weight = np.array([1 - share, share]) / counts * len(stratum)
        trusted, strata = trusted._replace(weight=weight[stratum]), stratum
    num = len(trusted.row)
    num_groups = len(set(trusted.group))
    if num < FEWEST_TRUSTED or num_groups < INNER + 1:
        return None
    designs = Designs(scores)
    judged = Sample(trusted, strata)
    fold = np.array(folds(trusted.group.tolist(), min(OUTER, num_groups)))
    held_out = cross_fitted(designs, trusted, fold)
    name, reason = choose(held_out, judged)
    nested, steady = _nested(designs, trusted, strata, fold, held_out, name)
    labels = judged.right(held_out["labels"])
    right = judged.right(nested)
    if judged.gain(right, labels).high < 0:
        name, reason, right = "labels", "keep_labels", labels
    rows = np.flatnonzero(in_file)
    log_odds = np.full(len(in_file), np.nan)
    positive = {}
    for option in scores.options:
        found = designs.log_odds(option, trusted, rows)
        positive[option.name] = float(np.mean(found[~np.isnan(found)] > 0))
        if option.name == name:
            log_odds[rows] = found
    unlabelled = rows[np.isnan(log_odds[rows])]  # where the cheap labels themselves are recommended
    log_odds[unlabelled] = designs.log_odds(BY_NAME["student_recalibrated"], trusted, unlabelled)
    log_odds[trusted.row] = held_out[name]
    labelled = in_file & ~np.isnan(scores.label)
    share_apart = float(np.mean((log_odds > 0)[labelled] != (scores.label > 0.5)[labelled]))
    results = tuple(
        OptionResult(
            option.name,
            option.title,
            judged.share(judged.right(held_out[option.name])),
            judged.gain(judged.right(held_out[option.name]), labels),
            None if by_disagreement else _auroc(trusted, held_out[option.name]),
            positive[option.name],
        )
        for option in scores.options
    )
    differ = judged.mean(np.abs(right - labels))
    ahead = judged.mean(right * (1 - labels)) / differ if differ else None
    return Ladder(
        of=of,
        num_rows=num,
        options=results,
        recommended=name,
        reason=reason,
        accuracy=judged.share(right),
        gain=judged.gain(right, labels),
        steady=steady,
        worth=_worth(designs, trusted, judged, fold, held_out, int(np.sum(~np.isnan(scores.label[in_file])))),
        needed=() if name == "labels" else needed_accuracy(share_apart, ahead),
        class_share=_class_share(scores, trusted, judged, log_odds, in_file),
        confusion=_confusion(scores, trusted, judged),
        few_groups=judged.num_groups < FEWEST_GROUPS,
        drawn_by_disagreement=by_disagreement,
        log_odds=log_odds[in_file],
    )


def choose(held_out: Mapping[str, Floats], judged: Sample) -> tuple[str, Reason]:
    """Return the option to use, and why.

    Estimates from few rows are too uncertain to go by the highest: of seven options it is often one that was lucky.
    Cheap and trusted rows trained together hold what the others hold, each as far as it has proved itself, and are
    taken unless the rows show otherwise. Two findings count as that: that the labels as they are beat the student, or
    what is preferred (who has better labels than any student must not lose them to one), and that an option beats the
    one preferred so far, at a level that allows for as many comparisons as there are options.
    """
    right = {name: judged.right(log_odds) for name, log_odds in held_out.items()}
    preferred, reason = next(name for name in PREFERRED if name in held_out), "default"
    if any(judged.gain(right["labels"], right[other]).low > 0 for other in ("student_recalibrated", preferred)):
        preferred, reason = "labels", "keep_labels"
    level = 1 - (1 - LEVEL) / (len(held_out) - 1)
    lows = {name: judged.gain(right[name], right[preferred], level).low for name in right if name != preferred}
    best = max(lows, key=lambda name: lows[name])
    return (best, "shown_better") if lows[best] > 0 else (preferred, reason)


def _nested(
    designs: Designs, trusted: Trusted, strata: Ints | None, fold: Ints, held_out: Mapping[str, Floats], name: str
) -> tuple[Floats, float]:
    """Return log-odds of trusted rows [m] by the option that the other rows choose, and how often it is `name`."""
    nested, same = np.empty(len(trusted.row)), []
    for number in np.unique(fold):
        rest = trusted.take(fold != number)
        inner = np.array(folds(rest.group.tolist(), min(INNER, len(set(rest.group)))))
        judged = Sample(rest, None if strata is None else strata[fold != number])
        chosen, _ = choose(cross_fitted(designs, rest, inner), judged)
        nested[fold == number] = held_out[chosen][fold == number]
        same.append(chosen == name)
    return nested, float(np.mean(same))


def _auroc(trusted: Trusted, log_odds: Floats) -> Interval | None:
    if trusted.truth.all() or not trusted.truth.any():
        return None
    return auroc_interval(combine_seeds(trusted.truth, log_odds[None, None], trusted.group.tolist()), 0)


def _worth(
    designs: Designs, trusted: Trusted, judged: Sample, fold: Ints, held_out: Mapping[str, Floats], num_labels: int
) -> Worth | None:
    """Measure how many checked rows alone do as well as the student of all cheap labels, recalibrated.

    A curve: models of n checked rows for n up to nine tenths of what there is, each judged on rows that it has not
    seen, over several draws. Its crossing with the student's accuracy is the estimate; the limits are the n at which a
    paired test does not tell the two apart.
    """
    student = judged.right(held_out["student_recalibrated"])
    if "trusted_only" not in held_out:
        return None
    most = int(min(np.sum(fold != number) for number in np.unique(fold)))
    if most <= _CURVE_START:
        return None
    sizes = np.unique(np.geomspace(_CURVE_START, most, _CURVE_POINTS).round().astype(int))
    curve = np.zeros((len(sizes), len(student)))
    for draw in range(_CURVE_DRAWS):
        for number in np.unique(fold):
            rest = trusted.take(fold != number)
            order = numpy_rng("label-worth", draw, int(number)).permutation(len(rest.row))
            for place, size in enumerate(sizes):
                few = rest.take(np.isin(np.arange(len(order)), order[:size]))
                found = designs.log_odds(BY_NAME["trusted_only"], few, trusted.row[fold == number])
                curve[place, fold == number] += ((found > 0) == trusted.truth[fold == number]) / _CURVE_DRAWS
    gaps = curve - student
    means = np.array([judged.mean(gap) for gap in gaps])
    errors = np.array([judged.error(gap) for gap in gaps])
    worse, better = means < -errors, means > errors
    low = float(sizes[np.flatnonzero(worse).max()]) if worse.any() else 0.0
    high = float(sizes[np.flatnonzero(better).min()]) if better.any() and not worse[better.argmax() :].any() else None
    return Worth(num_labels, most, _crossing(sizes, means), low, high)


def _crossing(sizes: Ints, means: Floats) -> float | None:
    """Return the number of rows at which a curve, made to rise, reaches 0; None: it does not."""
    from sklearn.isotonic import isotonic_regression

    rising = np.asarray(isotonic_regression(means), dtype=float)
    if rising[-1] < 0:
        return None
    after = int(np.argmax(rising >= 0))
    if after == 0:
        return float(sizes[0])
    before = after - 1
    share = -rising[before] / (rising[after] - rising[before])
    return float(np.exp((1 - share) * np.log(sizes[before]) + share * np.log(sizes[after])))


def _class_share(scores: Scores, trusted: Trusted, judged: Sample, log_odds: Floats, in_file: Bools) -> ClassShare:
    """Estimate the share of class 1 by cross-prediction-powered inference.

    The mean of what the recommended option predicts for the file, corrected by the mean of what it lacks on trusted
    rows, which are predicted by fits without them. Only the correction varies with the draw of trusted rows, since the
    rest of the file is known. Sources: Angelopoulos et al. 2023, "Prediction-powered inference", Science 382, 669-674;
    Zrnic and Candès 2024, "Cross-prediction-powered inference", PNAS 121, e2322083121.
    """
    p = expit(log_odds)
    lacking = trusted.truth - p[trusted.row]
    value = float(np.nanmean(p[in_file])) + judged.mean(lacking)
    error = judged.error(lacking)
    share = Interval(min(max(value, 0.0), 1.0), max(value - error, 0.0), min(value + error, 1.0))
    labels = scores.label[in_file]
    labels = float(np.mean(labels[~np.isnan(labels)] > 0.5))
    return ClassShare(labels, share, judged.share(trusted.truth.astype(float)))


def _confusion(scores: Scores, trusted: Trusted, judged: Sample) -> Confusion:
    """Count trusted rows by true class and cheap label, and estimate how each true class is labelled."""
    label = scores.label[trusted.row] > 0.5
    counts, shares = [], []
    for truth in (False, True):
        of_class = trusted.truth == truth
        counts.append((int(np.sum(of_class & ~label)), int(np.sum(of_class & label))))
        part = judged.take(of_class)
        shares.append(part.share(label[of_class].astype(float)) if of_class.any() else wilson(0, 0))
    return Confusion((counts[0], counts[1]), (shares[0], shares[1]))
