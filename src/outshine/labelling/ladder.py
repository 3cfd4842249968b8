"""Seven ways to label a file beside each other, judged by trusted rows, and the one that is recommended.

No row judges what it has taught: options are fitted on nine tenths of the trusted rows and judged on the tenth, in
turn, and so is the choice among them, which is made anew within each nine tenths. Hence what is claimed of the
recommended option is not the best of seven estimates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import expit
from threadpoolctl import threadpool_limits

from outshine.engine.rng import numpy_rng
from outshine.labelling.gains import RowsNeeded, needed_accuracy, wilson
from outshine.labelling.options import BY_NAME, Designs, OfText, Scores, cross_fitted
from outshine.labelling.trusted_sample import LEVEL, Floats, Ints, Sample, Trusted, likeliest, predicted, unknown
from outshine.stats.auroc import Bools
from outshine.stats.intervals import Interval
from outshine.stats.metrics import metrics
from outshine.w2s.stages.probing import folds

NO_GAIN = Interval(0.0, 0.0, 0.0)  # of the cheap labels over themselves
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
        auroc: How well it ranks rows, of K classes the mean of each class against the rest; None where trusted rows
            are of one class or were drawn by disagreement.
        class_shares: Share of the file's rows that it gives each class [K].
    """

    name: str
    title: str
    accuracy: Interval
    gain: Interval
    auroc: Interval | None
    class_shares: tuple[float, ...]


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
    """The share of the file's rows that are truly of a class.

    Attributes:
        number: Which class.
        labels: What the cheap labels say.
        share: What they and the trusted rows say together, with its 95 % interval.
        trusted: What the trusted rows alone say.
    """

    number: int
    labels: float
    share: Interval
    trusted: Interval


class Confusion(NamedTuple):
    """How the cheap labels treat each true class.

    Attributes:
        counts: Trusted rows by true class and by class of the cheap label [K, K].
        rightly: Share of rows of each true class that the cheap labels have right, with its 95 % interval [K].
    """

    counts: tuple[tuple[int, ...], ...]
    rightly: tuple[Interval, ...]


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
        unlabelled: Accuracy of the recommended option on rows without a cheap label, of which the cheap labels say
            nothing; None where no such row is trusted.
        num_unlabelled: Trusted rows that judge that.
        needed: Trusted rows in all that would show the gain, of several sizes.
        class_shares: How many rows are truly of class 1; of K classes, of each.
        shares_of_all: Whether these are of all rows of the file; else of those with a cheap label, since too few of the
            others are trusted.
        confusion: Where the cheap labels go wrong.
        few_groups: Whether the trusted rows are of too few groups for a verdict.
        drawn_by_disagreement: Whether trusted rows were weighted since disagreements were drawn more often.
        log_odds: Of each row of the file by the recommended option, of a trusted row by a fit without it [n]; of K
            classes the log-probabilities [n, K].
        of_text: What the recommended option says of a text without a cheap label; where the cheap labels are
            recommended, the student, recalibrated.
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
    unlabelled: Interval | None
    num_unlabelled: int
    needed: tuple[RowsNeeded, ...]
    class_shares: tuple[ClassShare, ...]
    shares_of_all: bool
    confusion: Confusion
    few_groups: bool
    drawn_by_disagreement: bool
    log_odds: Floats
    of_text: OfText

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
    unlabelled: Trusted | None = None,
    by_disagreement: bool = False,
    of: Literal["file", "new"] = "file",
) -> Ladder | None:
    """Fit and judge all options; None: there are too few trusted rows, or they cannot stand for the file.

    `scores` of all rows; `in_file` [n]: which are of the file. `trusted`: rows that have a cheap label; `unlabelled`:
    rows that have none. These teach nothing and judge what is said of their like.
    `by_disagreement`: rows on which student and label disagree were drawn more, or less, often than others, at random.
    """
    with threadpool_limits(limits=1, user_api="blas"):  # hundreds of small fits: threads would wait for each other
        return _climb(scores, trusted, in_file, unlabelled, by_disagreement, of)


def _climb(
    scores: Scores,
    trusted: Trusted,
    in_file: Bools,
    unlabelled: Trusted | None,
    by_disagreement: bool,
    of: Literal["file", "new"],
) -> Ladder | None:
    apart, labelled = predicted(scores.student) != likeliest(scores.label), in_file & ~unknown(scores.label)
    strata: Ints | None = None
    if by_disagreement:
        stratum = apart[trusted.row].astype(int)
        share = float(np.mean(apart[labelled]))
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
    own = judged.right(held_out[name])
    rows = np.flatnonzero(in_file)
    log_odds = np.full(scores.student.shape, np.nan)
    class_shares = {}
    for option in scores.options:
        found = designs.log_odds(option, trusted, rows)
        class_shares[option.name] = _shares(predicted(found[~unknown(found)]), scores.num_classes)
        if option.name == name:
            log_odds[rows] = found
    silent = rows[unknown(log_odds[rows])]
    of_silent = BY_NAME[name if BY_NAME[name].student or BY_NAME[name].embedding else "student_recalibrated"]
    log_odds[silent] = designs.log_odds(of_silent, trusted, silent)
    others = None if by_disagreement or unlabelled is None or not len(unlabelled.row) else Sample(unlabelled, None)
    of_unlabelled = None if others is None else others.share(others.right(log_odds[others.trusted.row]))
    log_odds[trusted.row] = held_out[name]
    changed = predicted(log_odds) != likeliest(scores.label)
    results = tuple(
        OptionResult(
            option.name,
            option.title,
            judged.share(judged.right(held_out[option.name])),
            NO_GAIN if option.name == "labels" else judged.gain(judged.right(held_out[option.name]), labels),
            None if by_disagreement else _auroc(trusted, held_out[option.name]),
            class_shares[option.name],
        )
        for option in scores.options
    )
    silent_rows = in_file & unknown(scores.label)
    enough = others is not None and len(others.truth) >= FEWEST_TRUSTED
    further = [(others, silent_rows)] if others is not None and enough else []
    differ = judged.mean(np.abs(right - labels))
    ahead = judged.mean(right * (1 - labels)) / differ if differ else None
    # where neither is right, a changed label tells nothing of the gain; of two classes one always is
    apart_here = judged.mean((predicted(nested) != likeliest(scores.label)[trusted.row]).astype(float))
    telling = min(differ / apart_here, 1.0) if scores.num_classes > 2 and apart_here else 1.0
    share_apart = float(np.mean(changed[labelled])) * telling
    return Ladder(
        of=of,
        num_rows=num,
        options=results,
        recommended=name,
        reason=reason,
        accuracy=_reaching(judged.share(right), judged.share(own)),
        gain=NO_GAIN if name == "labels" else _reaching(judged.gain(right, labels), judged.gain(own, labels)),
        steady=steady,
        worth=_worth(designs, trusted, judged, fold, held_out, int(labelled.sum())),
        unlabelled=of_unlabelled,
        num_unlabelled=0 if others is None else len(others.truth),
        needed=() if name == "labels" else needed_accuracy(share_apart, ahead),
        class_shares=_class_shares(scores, [(judged, labelled), *further], log_odds),
        shares_of_all=bool(further) or not silent_rows.any(),
        confusion=_confusion(scores, trusted, judged),
        few_groups=judged.num_groups < FEWEST_GROUPS,
        drawn_by_disagreement=by_disagreement,
        log_odds=log_odds[in_file],
        of_text=designs.of_text(of_silent, trusted),
    )


def _reaching(nested: Interval, own: Interval) -> Interval:
    """Return the interval with the choice made anew in each fold, up to the upper limit of the chosen option itself.

    Where folds choose differently, the nested estimate is one of a mixture, which may be worse than what is
    recommended. The option's own estimate errs upwards, since it was chosen for it: it may raise the upper limit.
    """
    return Interval(nested.value, nested.low, max(nested.high, own.high))


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
    """Return log-odds of trusted rows by the option that the other rows choose, and how often it is `name`."""
    nested, same = np.empty_like(held_out[name]), []
    for number in np.unique(fold):
        rest = trusted.take(fold != number)
        inner = np.array(folds(rest.group.tolist(), min(INNER, len(set(rest.group)))))
        judged = Sample(rest, None if strata is None else strata[fold != number])
        chosen, _ = choose(cross_fitted(designs, rest, inner), judged)
        nested[fold == number] = held_out[chosen][fold == number]
        same.append(chosen == name)
    return nested, float(np.mean(same))


def _auroc(trusted: Trusted, log_odds: Floats) -> Interval | None:
    if len(np.unique(trusted.truth)) < 2:
        return None
    metric = metrics.parse("auroc" if log_odds.ndim == 1 else "macro_auroc")
    return metric.interval(metric.combine_seeds(trusted.truth, log_odds[None, None], trusted.group.tolist()), 0)


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
                curve[place, fold == number] += (predicted(found) == trusted.truth[fold == number]) / _CURVE_DRAWS
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


def _shares(classes: Ints, num_classes: int) -> tuple[float, ...]:
    """Return which share of rows is of each class [K]."""
    return tuple((np.bincount(classes, minlength=num_classes) / max(len(classes), 1)).tolist())


def _class_shares(scores: Scores, parts: Sequence[tuple[Sample, Bools]], log_odds: Floats) -> tuple[ClassShare, ...]:
    """Estimate the share of class 1, or of each of K classes, by cross-prediction-powered inference.

    The mean of what the recommended option predicts for the file, corrected by the mean of what it lacks on trusted
    rows, which are predicted by fits without them. Only the correction varies with the draw of trusted rows, since the
    rest of the file is known. `parts`: trusted rows, and the rows of the file that they stand for, which are
    added by their numbers. Sources: Angelopoulos et al. 2023, "Prediction-powered inference", Science 382, 669-674;
    Zrnic and Candès 2024, "Cross-prediction-powered inference", PNAS 121, e2322083121.
    """
    labels = scores.label[parts[0][1]]
    of_labels = _shares(likeliest(labels), scores.num_classes)
    by_class = [(1, expit(log_odds))] if log_odds.ndim == 1 else list(enumerate(np.exp(log_odds).T))
    num_rows = sum(int(rows.sum()) for _, rows in parts)
    shares = []
    for number, p in by_class:
        value = trusted = variance = of_trusted = 0.0
        for sample, rows in parts:
            weight = int(rows.sum()) / num_rows
            truth = (sample.truth == number).astype(float)
            lacking = truth - p[sample.trusted.row]
            value += weight * (float(np.mean(p[rows])) + sample.mean(lacking))
            variance += (weight * sample.error(lacking)) ** 2
            trusted += weight * sample.mean(truth)
            of_trusted += (weight * sample.error(truth)) ** 2
        error, alone = variance**0.5, of_trusted**0.5
        share = Interval(min(max(value, 0.0), 1.0), max(value - error, 0.0), min(value + error, 1.0))
        by_trusted = (
            parts[0][0].share((parts[0][0].truth == number).astype(float))
            if len(parts) == 1
            else Interval(trusted, max(trusted - alone, 0.0), min(trusted + alone, 1.0))
        )
        shares.append(ClassShare(number, of_labels[number], share, by_trusted))
    return tuple(shares)


def _confusion(scores: Scores, trusted: Trusted, judged: Sample) -> Confusion:
    """Count trusted rows by true class and cheap label, and estimate how often each true class is labelled rightly."""
    label = likeliest(scores.label[trusted.row])
    counts, rightly = [], []
    for number in range(scores.num_classes):
        of_class = trusted.truth == number
        counts.append(tuple(np.bincount(label[of_class], minlength=scores.num_classes).tolist()))
        right = (label[of_class] == number).astype(float)
        rightly.append(judged.take(of_class).share(right) if of_class.any() else wilson(0, 0))
    return Confusion(tuple(counts), tuple(rightly))
