"""Evidence from trusted rows: is the student better than the weak labels, and how many more rows would settle it?"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from outshine.labelling.annotation_sample import (
    AGREE,
    ALL,
    DISAGREE,
    UNLIKE,
    AnnotationProgress,
    start_of_draw,
    strata,
    why_no_draw,
)
from outshine.labelling.gains import (
    ASSUMED_AUROC,
    RowsNeeded,
    auroc_gain,
    auroc_gain_error,
    gain_by_disagreements,
    level_of_file,
    needed_accuracy,
    paired_gain,
    rows_for_auroc,
    wilson,
)
from outshine.stats.auc_covariance import combine_seeds
from outshine.stats.intervals import EffectiveSize, Interval, auroc_interval, effective_size, exact_share, share_of_file
from outshine.stats.random_sample_tests import hypergeometric_p, random_sample_tests

ENOUGH_FOR_BOTH = 10  # rows from which it is odd that a random draw holds one class alone
FEWEST_GROUPS = 10  # of equal size, below which an interval from groups is too uncertain for a verdict

Primary = Literal["accuracy", "auroc"]


class Evidence(NamedTuple):
    """Student against weak labels on trusted rows of one sort.

    An interval of None could not be estimated; `notes` say why. Sources: Wilson 1927, Clopper and Pearson 1934 for
    shares; docs/statistics.md for the rest.

    Attributes:
        of: `file`: rows of the file, each predicted by the student of its fold. `new`: other rows, predicted by all.
        by: What intervals take for random: the `draw` of to_judge.csv, each of the `rows`, or each of the `groups`.
        primary: `accuracy` where labels are hard, `auroc` where they are soft; fixed before anything is looked at.
        num_rows: Trusted rows that have a label and a prediction.
        num_groups: Groups that these rows are of.
        num_judged: Rows on which student and label disagree.
        num_right: Those of them on which the student is right.
        num_wrong: Those of them on which the label is right; of several classes neither may be.
        num_empty: Rows of the draw that were left without a true label.
        share: Share of all rows on which the two disagree; of the file it is known.
        groups: Groups of equal size that the deciding rows are worth; NaN unless `by` is `groups`.
        picked: Why the rows are no random draw; empty if they may be one. Otherwise nothing is estimated.
        student_accuracy: Accuracy of the student with its interval.
        label_accuracy: Accuracy of the labels with its interval.
        accuracy_gain: What the student has more, with its interval.
        student_auroc: AUROC of the student with its interval.
        label_auroc: AUROC of the labels with its interval.
        auroc_gain: What the student has more, with its interval.
        needed: Trusted rows in all that would find a gain, of several sizes, with power .8 at level .05.
        notes: What could not be estimated, and why.
        by_disagreement: Whether disagreements were drawn more, or less, often than agreements.
        used: Places in the file, from 0, of the rows that the estimates rest on.
        one_class: Whether the trusted rows, enough to tell, are all of one class.
    """

    of: Literal["file", "new"]
    by: Literal["draw", "rows", "groups"]
    primary: Primary
    num_rows: int
    num_groups: int
    num_judged: int
    num_right: int
    num_wrong: int
    num_empty: int
    share: float
    groups: float = math.nan
    picked: str = ""
    student_accuracy: Interval | None = None
    label_accuracy: Interval | None = None
    accuracy_gain: Interval | None = None
    student_auroc: Interval | None = None
    label_auroc: Interval | None = None
    auroc_gain: Interval | None = None
    needed: tuple[RowsNeeded, ...] = ()
    notes: tuple[str, ...] = ()
    by_disagreement: bool = False
    used: tuple[int, ...] = ()
    one_class: bool = False

    @property
    def gain(self) -> Interval | None:
        """The gain in accuracy or in AUROC, whichever is primary; None where it could not be estimated."""
        return self.accuracy_gain if self.primary == "accuracy" else self.auroc_gain

    @property
    def few_groups(self) -> bool:
        """Whether the rows are of too few groups for a verdict."""
        return self.groups < FEWEST_GROUPS

    @property
    def verdict(self) -> Literal["better", "worse", "equal", "open"]:
        """On which side of 0 the primary interval lies; equal: the gain is known to be 0 on these rows."""
        gain = self.gain
        if gain is None or math.isnan(gain.value) or self.few_groups:
            return "open"
        if gain.low == gain.high == 0:
            return "equal"
        if gain.low <= 0 <= gain.high:
            return "open"
        return "better" if gain.low > 0 else "worse"


class _Trusted(NamedTuple):
    """Trusted rows as arrays [n]: numbers of classes, and of two classes P(class 1) by the label and log-odds."""

    truth: np.ndarray
    student_class: np.ndarray
    label_class: np.ndarray
    label: np.ndarray
    log_odds: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame) -> _Trusted:
        if "label_class" not in frame:
            frame = frame.assign(label_class=frame["label"] > 0.5, student_class=frame["log_odds"] > 0)
        return cls(
            truth=frame["truth"].to_numpy(dtype=int),
            student_class=frame["student_class"].to_numpy(dtype=int),
            label_class=frame["label_class"].to_numpy(dtype=int),
            label=frame["label"].to_numpy(dtype=float),
            log_odds=frame["log_odds"].to_numpy(dtype=float),
            group=frame["group"].to_numpy(dtype=str),
        )

    @property
    def student_right(self) -> np.ndarray:
        """Where the student is right."""
        return self.student_class == self.truth

    @property
    def label_right(self) -> np.ndarray:
        """Where the labels are right."""
        return self.label_class == self.truth

    @property
    def apart(self) -> np.ndarray:
        """Where student and label disagree."""
        return self.student_class != self.label_class

    @property
    def worth_of_apart(self) -> EffectiveSize | None:
        """What the rows are worth on which the two disagree; None: each is its own group."""
        return _worth(self.student_right[self.apart], self.group[self.apart])


class _File(NamedTuple):
    """The file that trusted rows are of."""

    num_rows: int  # that have a label and a prediction
    num_apart: int  # those of them on which student and label disagree
    rows: pd.DataFrame | None  # all of them, where they are at hand
    listed: bool  # whether the trusted rows come from a to_judge.csv

    @property
    def share(self) -> float:
        """Share of the rows on which the two disagree."""
        return self.num_apart / self.num_rows

    def taken(self, trusted: pd.DataFrame) -> np.ndarray | None:
        """Return which rows of the file are trusted ones [n]."""
        return None if self.rows is None else np.asarray(self.rows.index.isin(trusted["row"]))


class _Measured(NamedTuple):
    """One measure of the student, of the labels, and what the student has more; None: could not be estimated."""

    student: Interval | None = None
    label: Interval | None = None
    gain: Interval | None = None


def evidence(
    trusted: pd.DataFrame,
    *,
    hard: bool,
    one_sided: bool,
    several: bool = False,
    population: tuple[int, int] | None = None,
    file: pd.DataFrame | None = None,
    listed: bool = False,
) -> Evidence:
    """Find what trusted rows say.

    `trusted`: truth, label (P(class 1); NaN: none), log_odds, group. `several`: there are several classes, `truth` is
    the number of one, and `label_class` and `student_class` are there too; accuracy decides.

    `population`: rows of the file and those on which student and label disagree; None: the rows are new. `one_sided`:
    classes cannot be read off at one half, so that accuracy says nothing. `file`: all rows of the file that have a
    label and a prediction, by `row`, with apart, order, suspicion, log_odds, label, fold, length, group; `trusted` then
    has `row` too. With it a draw of to_judge.csv is known again, and rows that were picked are found out. `listed`:
    they come from a to_judge.csv, so that the rows without a true label were left empty.
    """
    notes: list[str] = []
    usable = _usable(trusted, notes)
    if one_sided:
        notes.append("all labels, or all predictions, lie on one side of one half: accuracy would say nothing")
    if several:
        whole = None if population is None else _File(*population, file, listed)
        result = _of_several_classes(usable, whole, notes)
    elif population is None:
        result = _of_new_rows(_Trusted.of(usable), hard, notes)
    else:
        whole = _File(*population, file, listed)
        result = _of_draw(usable, whole, hard, notes) or _of_rows_from_elsewhere(usable, whole, hard, notes)
    if one_sided:
        result = result._replace(accuracy_gain=None, student_accuracy=None, label_accuracy=None)
    return result._replace(notes=tuple(notes))


def _usable(trusted: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Keep the trusted rows that have both a cheap label and a prediction."""
    usable = trusted[trusted["label"].notna() & trusted["log_odds"].notna()]
    if len(usable) < len(trusted):
        num = len(trusted) - len(usable)
        notes.append(f"{num} of {len(trusted)} trusted rows have no cheap label, or no text: left out of comparisons")
    return usable


def _counts(trusted: _Trusted, hard: bool, share: float) -> Evidence:
    """Count the rows; nothing is estimated yet."""
    return Evidence(
        of="file",
        by="rows",
        primary="accuracy" if hard else "auroc",
        num_rows=len(trusted.truth),
        num_groups=len(set(trusted.group)),
        num_judged=int(trusted.apart.sum()),
        num_right=int((trusted.apart & trusted.student_right).sum()),
        num_wrong=int((trusted.apart & trusted.label_right).sum()),
        num_empty=0,
        share=share,
        one_class=len(trusted.truth) >= ENOUGH_FOR_BOTH and len(set(trusted.truth)) == 1,
    )


def _of_draw(usable: pd.DataFrame, file: _File, hard: bool, notes: list[str]) -> Evidence | None:
    """Estimate from rows that were judged in the order of to_judge.csv; None: they were not.

    They are random by that draw, whatever the groups.
    """
    if file.rows is None:
        return None
    places, order = file.rows.index.to_numpy(), file.rows["order"].to_numpy()
    taken = np.isin(places, usable["row"].to_numpy())
    parts, judged = {}, {}
    for name, in_stratum in strata(file.rows["apart"].to_numpy(dtype=bool), hard).items():
        here = np.flatnonzero(in_stratum)
        here = here[np.argsort(order[here])]
        parts[name], judged[name] = places[here], taken[here]
    starts = {name: start_of_draw(mask, file.listed) for name, mask in judged.items()}
    if not hard:
        start = starts[ALL]
        if start is not None and start.num_empty:
            start = _before_the_first_empty(judged[ALL], file.listed, notes)
        return None if start is None else _simple_draw(usable, parts[ALL][: start.length], file, notes)
    start = starts[DISAGREE]
    if start is not None and start.num_empty and not file.listed and why_no_draw(file.rows, taken, hard):
        return None  # most disagreements of the file, without those that somebody did not like
    return None if start is None else _stratified_draw(usable, parts, start, starts[AGREE], file, notes)


def _before_the_first_empty(judged: np.ndarray, listed: bool, notes: list[str]) -> AnnotationProgress | None:
    """For an AUC rows that were left empty cannot be counted both ways: the rows after the first one are not used."""
    length = int(np.argmin(judged))
    if 2 * length < judged.sum() and not listed:
        return None
    notes.append(
        f"rows of to_judge.csv were left empty, the first one after {length}: those after it are not used, since rows "
        "that are hard to judge may be missing among them"
    )
    return AnnotationProgress(length, 0)


def _simple_draw(usable: pd.DataFrame, rows: np.ndarray, file: _File, notes: list[str]) -> Evidence:
    """Estimate with soft labels: the first rows of the order are a simple random draw of all."""
    inside = _inside(usable, rows, notes)
    trusted = _Trusted.of(inside)
    counts = _counts(trusted, False, file.share)._replace(used=tuple(inside["row"]))
    aurocs = _aurocs(trusted._replace(group=np.arange(len(trusted.truth)).astype(str)), notes)
    right = share_of_file(counts.num_right, counts.num_judged, file.num_apart)
    student, label = (wilson(int(hits.sum()), len(hits)) for hits in (trusted.student_right, trusted.label_right))
    accuracies = _Measured(student, label, gain_by_disagreements(right, counts.share))
    needed = _needed_auroc(trusted, aurocs.gain, None)
    return _with(counts, accuracies, aurocs)._replace(by="draw", needed=needed)


def _stratified_draw(
    usable: pd.DataFrame,
    parts: dict[str, np.ndarray],
    start: AnnotationProgress,
    agreements: AnnotationProgress | None,
    file: _File,
    notes: list[str],
) -> Evidence:
    """Estimate with hard labels: the gain from the disagreements, the levels from both strata by their shares."""
    rows = np.concatenate([parts[DISAGREE][: start.length], parts[AGREE][: agreements.length if agreements else 0]])
    inside = _inside(usable, rows, notes)
    trusted = _Trusted.of(inside)
    counts = _counts(trusted, True, file.share)._replace(by_disagreement=True, used=tuple(inside["row"]))
    right = share_of_file(counts.num_right, counts.num_judged, file.num_apart, start.num_empty)
    levels: tuple[Interval | None, Interval | None] = (None, None)
    if agreements:
        agreed = ~trusted.apart
        num_agreed, num_all = int(agreed.sum()), file.num_rows - file.num_apart
        both_right = int((agreed & trusted.student_right).sum())
        both = share_of_file(both_right, num_agreed, num_all, agreements.num_empty)
        weights = (counts.share, 1 - counts.share)
        wrong = Interval(1 - right.value, 1 - right.high, 1 - right.low)
        levels = (level_of_file((right, both), weights), level_of_file((wrong, both), weights))
    elif file.num_rows > file.num_apart:
        notes.append("too few agreements were judged in order for the levels of accuracy")
    accuracies = _Measured(*levels, gain_by_disagreements(right, counts.share))
    return _with(counts, accuracies, _Measured())._replace(
        by="draw",
        num_empty=start.num_empty + (agreements.num_empty if agreements else 0),
        needed=needed_accuracy(counts.share, right.value, file.num_apart),
    )


def _inside(usable: pd.DataFrame, rows: np.ndarray, notes: list[str]) -> pd.DataFrame:
    """Keep the trusted rows of the draw."""
    inside = usable["row"].isin(rows)
    if not inside.all():
        notes.append(f"{int((~inside).sum())} trusted rows lie outside the draw of to_judge.csv and are not used")
    return usable[inside]


def _of_rows_from_elsewhere(usable: pd.DataFrame, file: _File, hard: bool, notes: list[str]) -> Evidence:
    """Estimate from rows that somebody chose: tested for being a random draw; by group where groups repeat."""
    trusted = _Trusted.of(usable)
    counts = _counts(trusted, hard, file.share)
    if not counts.num_rows:
        return counts
    if hard and not file.num_apart:
        return counts._replace(accuracy_gain=Interval(0.0, 0.0, 0.0), used=tuple(usable["row"]))
    taken = file.taken(usable)
    picked = "" if file.rows is None or taken is None else why_no_draw(file.rows, taken, hard)
    worth = trusted.worth_of_apart if hard else _worth(trusted.student_right, trusted.group)
    if worth is not None:
        counts = counts._replace(by="groups", groups=worth.groups)
    if picked:
        return counts._replace(picked=picked)
    drawn = _seems_drawn(counts, file, taken, notes)
    counts = counts._replace(by_disagreement=not drawn, used=tuple(usable["row"]) if "row" in usable else ())
    right = _share_right(trusted, counts, file.num_apart)
    accuracies, aurocs = _Measured(gain=gain_by_disagreements(right, counts.share)), _Measured()
    if drawn:
        accuracies = accuracies._replace(
            student=_level(trusted.student_right, trusted.group), label=_level(trusted.label_right, trusted.group)
        )
        aurocs = _aurocs(trusted, notes)
    if hard:
        needed = needed_accuracy(counts.share, right.value if counts.num_judged else None, file.num_apart, worth)
    else:
        needed = _needed_auroc(trusted, aurocs.gain, worth)
    return _with(counts, accuracies, aurocs)._replace(needed=needed)


def _share_right(trusted: _Trusted, counts: Evidence, num_apart: int) -> Interval:
    """Estimate on what share of the file's disagreements the student is right."""
    if not counts.num_judged:
        return exact_share(0, 0)
    worth = trusted.worth_of_apart
    if worth is None:
        return share_of_file(counts.num_right, counts.num_judged, num_apart)
    return exact_share(counts.num_right / counts.num_judged * worth.rows, worth.rows)


def _of_new_rows(trusted: _Trusted, hard: bool, notes: list[str]) -> Evidence:
    """Estimate from rows that are not in the file: they stand for others of their kind, or their groups do."""
    num = len(trusted.truth)
    counts = _counts(trusted, hard, float(np.mean(trusted.apart)) if num else math.nan)._replace(of="new")
    if not num:
        return counts
    gains = _worth(trusted.student_right.astype(float) - trusted.label_right, trusted.group)
    worth = gains if hard else _worth(trusted.student_right, trusted.group)
    if worth is not None:
        counts = counts._replace(by="groups", groups=worth.groups)
    accuracies = _paired_accuracies(trusted, gains)
    aurocs = _aurocs(trusted, notes)
    if hard:
        share_right = counts.num_right / counts.num_judged if counts.num_judged else None
        needed = needed_accuracy(counts.share, share_right, None, worth)
    else:
        needed = _needed_auroc(trusted, aurocs.gain, worth)
    return _with(counts, accuracies, aurocs)._replace(needed=needed)


def _paired_accuracies(trusted: _Trusted, worth: EffectiveSize | None) -> _Measured:
    """Estimate both accuracies and the gain from the four ways in which two can be right on the same rows."""
    student, label = trusted.student_right, trusted.label_right
    scale = 1.0 if worth is None else worth.rows / worth.num_rows
    cells = (student & ~label, label & ~student, student & label, ~student & ~label)
    gain = paired_gain(*(scale * float(np.sum(cell)) for cell in cells))
    return _Measured(_level(student, trusted.group), _level(label, trusted.group), gain)


def _of_several_classes(usable: pd.DataFrame, file: _File | None, notes: list[str]) -> Evidence:
    """Estimate the gain in accuracy where a disagreement may find both wrong.

    Rows of the file are drawn from all of it alike: those of to_judge.csv, in its order, or rows from elsewhere, which
    must not look as if they were picked.
    """
    trusted, by, picked = usable, "rows", ""
    if file is not None and file.rows is not None:
        places, order = file.rows.index.to_numpy(), np.argsort(file.rows["order"].to_numpy())
        taken = np.isin(places, usable["row"].to_numpy())
        start = start_of_draw(taken[order], file.listed)
        if start is not None and start.num_empty:
            start = _before_the_first_empty(taken[order], file.listed, notes)
        if start is not None:
            trusted, by = _inside(usable, places[order][: start.length], notes), "draw"
        else:
            picked = why_no_draw(file.rows, taken, hard=False)
    rows = _Trusted.of(trusted)
    if by == "draw":  # random one by one, whatever their groups
        rows = rows._replace(group=np.arange(len(trusted)).astype(str))
    of = "new" if file is None else "file"
    share = file.share if file is not None else float(np.mean(rows.apart)) if len(trusted) else math.nan
    counts = _counts(rows, True, share)._replace(of=of, by=by, picked=picked)
    if not len(trusted) or picked:
        return counts
    worth = _worth(rows.student_right.astype(float) - rows.label_right, rows.group)
    if worth is not None:
        counts = counts._replace(by="groups", groups=worth.groups)
    telling = (counts.num_right + counts.num_wrong) / max(counts.num_judged, 1)
    share_right = counts.num_right / (counts.num_right + counts.num_wrong) if telling else None
    return _with(counts, _paired_accuracies(rows, worth), _Measured())._replace(
        needed=needed_accuracy(share * telling, share_right, None, worth),
        used=tuple(trusted["row"]) if file is not None else (),
    )


def _with(counts: Evidence, accuracies: _Measured, aurocs: _Measured) -> Evidence:
    return counts._replace(
        student_accuracy=accuracies.student,
        label_accuracy=accuracies.label,
        accuracy_gain=accuracies.gain,
        student_auroc=aurocs.student,
        label_auroc=aurocs.label,
        auroc_gain=aurocs.gain,
    )


def _worth(values: np.ndarray, groups: np.ndarray) -> EffectiveSize | None:
    """Find what the rows are worth where some are of one group; None: each is its own group."""
    return None if len(set(groups)) == len(groups) else effective_size(values, groups)


def _level(right: np.ndarray, groups: np.ndarray) -> Interval:
    """Estimate a share of right rows."""
    worth = _worth(right, groups)
    if worth is None:
        return wilson(int(right.sum()), len(right))
    return exact_share(float(np.mean(right)) * worth.rows, worth.rows)


def _seems_drawn(counts: Evidence, file: _File, taken: np.ndarray | None, notes: list[str]) -> bool:
    """Whether the trusted rows could be a random draw, of rows or of groups, with regard to disagreement."""
    p = hypergeometric_p(file.num_rows, file.num_apart, counts.num_rows, counts.num_judged)
    if file.rows is not None and taken is not None:
        apart = {"apart": file.rows["apart"].to_numpy()}
        tests = random_sample_tests(taken, {}, apart, file.rows["group"].to_numpy(dtype=str))
        p = min((test.p for test in tests), default=1.0)
    if p >= UNLIKE:
        return True
    notes.append(
        f"student and label disagree on {counts.num_judged} of the {counts.num_rows} trusted rows and on "
        f"{file.num_apart} of all {file.num_rows}: the rows are taken to be drawn by disagreement, so that only the "
        "gain in accuracy is estimated"
    )
    return False


def _aurocs(trusted: _Trusted, notes: list[str]) -> _Measured:
    """Estimate the AUCs and the gain; nothing where the trusted rows are of one class."""
    truth, student, label = trusted.truth, trusted.log_odds, trusted.label
    if not len(truth) or truth.all() or not truth.any():
        notes.append(f"no AUC: the trusted rows ({len(truth)}) are not of both classes")
        return _Measured()
    groups = trusted.group.tolist()
    both = combine_seeds(truth, np.stack([student, label])[None], groups)
    return _Measured(auroc_interval(both, 0), auroc_interval(both, 1), auroc_gain(truth, student, label, groups))


def _needed_auroc(trusted: _Trusted, gain: Interval | None, worth: EffectiveSize | None) -> tuple[RowsNeeded, ...]:
    """Count rows for the gain that was seen, and for some that may be looked for; by group where groups repeat."""
    if gain is None:
        return ()
    groups = trusted.group.tolist() if worth else None
    error = auroc_gain_error(trusted.truth, trusted.log_odds, trusted.label, groups)
    num = len(trusted.truth)
    needed = []
    for assumed in (gain.value, *ASSUMED_AUROC):
        rows = rows_for_auroc(error, num, assumed)
        if rows is not None:
            num_groups = math.ceil(rows / num * worth.num_groups) if worth else None
            needed.append(RowsNeeded(assumed, None, rows, None, assumed == gain.value, num_groups))
    return tuple(needed)
