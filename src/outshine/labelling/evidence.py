"""Evidence from trusted rows: is the student better than the weak labels, and how many more rows would settle it?"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from outshine.labelling.rows_to_judge import AGREE, ALL, DISAGREE, Start, start_of_draw, strata
from outshine.labelling.trusted_rows import (
    auroc_gain,
    auroc_gain_error,
    disagreements_needed,
    gain_by_disagreements,
    level_of_file,
    paired_gain,
    rows_for_auroc,
    wilson,
)
from outshine.stats.auc_covariance import combine_seeds
from outshine.stats.intervals import EffectiveSize, Interval, auroc_interval, effective_size, exact_share, share_of_file
from outshine.stats.random_sample_tests import SampleTest, hypergeometric_p, random_sample_tests

UNLIKE = 0.01  # p, over all tests, below which trusted rows are taken to be picked, not drawn
FEWEST_GROUPS = 10  # of equal size, below which an interval from groups is too uncertain for a verdict
ASSUMED_RIGHT = (0.6, 2 / 3, 0.75)  # shares of disagreements on which the student may be right
ASSUMED_AUROC = (0.02, 0.05, 0.1)

MEASURES = {
    "suspicion": "suspicion",
    "log_odds": "the student's probability",
    "certainty": "how sure the student is",
    "place": "their place in the file",
    "length": "the length of their texts",
    "class": "their cheap label",
    "fold": "their fold",
}
"""By what rows may have been picked, in words."""

Primary = Literal["accuracy", "auroc"]


class Needed(NamedTuple):
    """Trusted rows in all that find a gain with power .8 at level .05, two-sided.

    `gain`: assumed, in the primary measure; `right`: the share of disagreements that it means. `rows`: drawn at random
    from all; `judged`: drawn from the disagreements alone, None where that will not do. `groups`: of how many groups,
    where rows of one group count as they do in the estimate, else None. `seen`: the gain is the one estimated.
    """

    gain: float
    right: float | None
    rows: int
    judged: int | None
    seen: bool
    groups: int | None = None


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
    """

    of: Literal["file", "new"]
    by: Literal["draw", "rows", "groups"]
    primary: Primary
    num_rows: int
    num_groups: int
    num_judged: int
    num_right: int
    num_empty: int
    share: float
    groups: float
    picked: str
    student_accuracy: Interval | None
    label_accuracy: Interval | None
    accuracy_gain: Interval | None
    student_auroc: Interval | None
    label_auroc: Interval | None
    auroc_gain: Interval | None
    needed: tuple[Needed, ...]
    notes: tuple[str, ...]

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


class _Known(NamedTuple):
    """Trusted rows as arrays [n]."""

    truth: np.ndarray
    label: np.ndarray
    log_odds: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame) -> _Known:
        return cls(
            frame["truth"].to_numpy(dtype=bool),
            frame["label"].to_numpy(dtype=float),
            frame["log_odds"].to_numpy(dtype=float),
            frame["group"].to_numpy(dtype=str),
        )

    @property
    def student_right(self) -> np.ndarray:
        """Where the student is right."""
        return (self.log_odds > 0) == self.truth

    @property
    def label_right(self) -> np.ndarray:
        """Where the labels are right."""
        return (self.label > 0.5) == self.truth

    @property
    def apart(self) -> np.ndarray:
        return self.student_right != self.label_right


_Three = tuple[Interval | None, Interval | None, Interval | None]
_NONE: _Three = (None, None, None)


def evidence(
    trusted: pd.DataFrame,
    *,
    hard: bool,
    one_sided: bool,
    population: tuple[int, int] | None = None,
    file: pd.DataFrame | None = None,
    listed: bool = False,
) -> Evidence:
    """What trusted rows say. `trusted`: truth (bool), label (P(class 1); NaN: none), log_odds, group.

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
    if population is None:
        found = _of_new_rows(_Known.of(usable), hard, notes)
    else:
        drawn = None if file is None else _draw(usable, file, hard, population, listed, notes)
        found = drawn or _of_rows_from_elsewhere(usable, file, hard, population, notes)
    if one_sided:
        found = found._replace(accuracy_gain=None, student_accuracy=None, label_accuracy=None)
    return found._replace(notes=tuple(notes))


def _usable(trusted: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """The trusted rows that have both a cheap label and a student's opinion."""
    known = trusted[trusted["label"].notna() & trusted["log_odds"].notna()]
    if len(known) < len(trusted):
        num = len(trusted) - len(known)
        notes.append(f"{num} of {len(trusted)} trusted rows have no cheap label, or no text: left out")
    return known


def _bare(known: _Known, hard: bool, share: float) -> Evidence:
    """The counts, before anything is estimated."""
    apart = known.apart
    return Evidence(
        of="file",
        by="rows",
        primary="accuracy" if hard else "auroc",
        num_rows=len(known.truth),
        num_groups=len(set(known.group)),
        num_judged=int(apart.sum()),
        num_right=int((apart & known.student_right).sum()),
        num_empty=0,
        share=share,
        groups=math.nan,
        picked="",
        student_accuracy=None,
        label_accuracy=None,
        accuracy_gain=None,
        student_auroc=None,
        label_auroc=None,
        auroc_gain=None,
        needed=(),
        notes=(),
    )


def _draw(
    usable: pd.DataFrame,
    file: pd.DataFrame,
    hard: bool,
    population: tuple[int, int],
    listed: bool,
    notes: list[str],
) -> Evidence | None:
    """From rows judged in the order of to_judge.csv: random by that draw, whatever the groups; None: not such rows."""
    places, order = file.index.to_numpy(), file["order"].to_numpy()
    taken = np.isin(places, usable["row"].to_numpy())
    parts, judged = {}, {}
    for name, which in strata(file["apart"].to_numpy(dtype=bool), hard).items():
        here = np.flatnonzero(which)
        here = here[np.argsort(order[here])]
        parts[name], judged[name] = places[here], taken[here]
    starts = {name: start_of_draw(mask, listed) for name, mask in judged.items()}
    if not hard:
        start = starts[ALL]
        if start is not None and start.num_empty:
            start = _before_the_first_empty(judged[ALL], listed, notes)
        return None if start is None else _simple_draw(usable, parts[ALL][: start.length], population, notes)
    start = starts[DISAGREE]
    if start is not None and start.num_empty and not listed and _picked(file, taken, hard):
        return None  # most disagreements of the file, without those that somebody did not like
    return None if start is None else _stratified_draw(usable, parts, start, starts[AGREE], population, notes)


def _before_the_first_empty(judged: np.ndarray, listed: bool, notes: list[str]) -> Start | None:
    """For an AUC rows that were left empty cannot be counted both ways: the rows after the first one are not used."""
    length = int(np.argmin(judged))
    if 2 * length < judged.sum() and not listed:
        return None
    notes.append(
        f"rows of to_judge.csv were left empty, the first one after {length}: those after it are not used, since rows "
        "that are hard to judge may be missing among them"
    )
    return Start(length, 0)


def _simple_draw(usable: pd.DataFrame, rows: np.ndarray, population: tuple[int, int], notes: list[str]) -> Evidence:
    """Soft labels: the first rows of the order are a simple random draw of all."""
    known = _Known.of(_only(usable, rows, notes))
    one = _bare(known, False, population[1] / population[0])
    aurocs = _aurocs(known._replace(group=np.arange(len(known.truth)).astype(str)), notes)
    right = share_of_file(one.num_right, one.num_judged, population[1])
    levels = [wilson(int(which.sum()), len(which)) for which in (known.student_right, known.label_right)]
    accuracies = (levels[0], levels[1], gain_by_disagreements(right, one.share))
    return _with(one, accuracies, aurocs)._replace(by="draw", needed=_needed_auroc(known, aurocs[2], None))


def _stratified_draw(
    usable: pd.DataFrame,
    parts: dict[str, np.ndarray],
    start: Start,
    other: Start | None,
    population: tuple[int, int],
    notes: list[str],
) -> Evidence:
    """Hard labels: the gain from the disagreements, the levels from both strata, by their shares of the file."""
    rows = np.concatenate([parts[DISAGREE][: start.length], parts[AGREE][: other.length if other else 0]])
    known = _Known.of(_only(usable, rows, notes))
    one = _bare(known, True, population[1] / population[0])
    right = share_of_file(one.num_right, one.num_judged, population[1], start.num_empty)
    levels: tuple[Interval | None, Interval | None] = (None, None)
    if other:
        agreed = ~known.apart
        num_agreed, num_all = int(agreed.sum()), population[0] - population[1]
        both = share_of_file(int((agreed & known.student_right).sum()), num_agreed, num_all, other.num_empty)
        weights = (one.share, 1 - one.share)
        turned = Interval(1 - right.value, 1 - right.high, 1 - right.low)
        levels = (level_of_file((right, both), weights), level_of_file((turned, both), weights))
    elif population[0] > population[1]:
        notes.append("too few agreements were judged in order for the levels of accuracy")
    return _with(one, (levels[0], levels[1], gain_by_disagreements(right, one.share)), _NONE)._replace(
        by="draw",
        num_empty=start.num_empty + (other.num_empty if other else 0),
        needed=needed_accuracy(one.share, right.value, population[1]),
    )


def _only(usable: pd.DataFrame, rows: np.ndarray, notes: list[str]) -> pd.DataFrame:
    """Those of the draw."""
    inside = usable["row"].isin(rows)
    if not inside.all():
        notes.append(f"{int((~inside).sum())} trusted rows lie outside the draw of to_judge.csv and are not used")
    return usable[inside]


def _of_rows_from_elsewhere(
    usable: pd.DataFrame, file: pd.DataFrame | None, hard: bool, population: tuple[int, int], notes: list[str]
) -> Evidence:
    """From rows that somebody chose: tested for being a random draw; by group where groups repeat."""
    known = _Known.of(usable)
    one = _bare(known, hard, population[1] / population[0])
    if not one.num_rows:
        return one
    if hard and not population[1]:
        return one._replace(accuracy_gain=Interval(0.0, 0.0, 0.0))
    taken = None if file is None else np.asarray(file.index.isin(usable["row"]))
    picked = "" if file is None or taken is None else _picked(file, taken, hard)
    worth = (
        _worth(known.student_right[known.apart], known.group[known.apart])
        if hard
        else _worth(known.student_right, known.group)
    )
    if worth is not None:
        one = one._replace(by="groups", groups=worth.groups)
    if picked:
        return one._replace(picked=picked)
    drawn = _seems_drawn(population, one, file, taken, notes)
    right = exact_share(0, 0)
    if one.num_judged:
        apart = _worth(known.student_right[known.apart], known.group[known.apart])
        share = one.num_right / one.num_judged
        right = (
            share_of_file(one.num_right, one.num_judged, population[1])
            if apart is None
            else exact_share(share * apart.rows, apart.rows)
        )
    accuracies: _Three = (None, None, gain_by_disagreements(right, one.share))
    aurocs = _NONE
    if drawn:
        accuracies = (_level(known.student_right, known.group), _level(known.label_right, known.group), accuracies[2])
        aurocs = _aurocs(known, notes)
    if hard:
        needed = needed_accuracy(one.share, right.value if one.num_judged else None, population[1], worth)
    else:
        needed = _needed_auroc(known, aurocs[2], worth)
    return _with(one, accuracies, aurocs)._replace(needed=needed)


def _of_new_rows(known: _Known, hard: bool, notes: list[str]) -> Evidence:
    """From rows that are not in the file: they stand for others of their kind, or their groups do."""
    num = len(known.truth)
    one = _bare(known, hard, float(np.mean(known.apart)) if num else math.nan)._replace(of="new")
    if not num:
        return one
    better = known.student_right.astype(float) - known.label_right
    worth = _worth(better, known.group) if hard else _worth(known.student_right, known.group)
    if worth is not None:
        one = one._replace(by="groups", groups=worth.groups)
    gains = _worth(better, known.group)
    scale = 1.0 if gains is None else gains.rows / gains.num_rows
    student_right, label_right = known.student_right, known.label_right
    cells = (
        student_right & ~label_right,
        label_right & ~student_right,
        student_right & label_right,
        ~student_right & ~label_right,
    )
    counts = (scale * float(np.sum(cell)) for cell in cells)
    accuracies = (_level(student_right, known.group), _level(label_right, known.group), paired_gain(*counts))
    aurocs = _aurocs(known, notes)
    if hard:
        needed = needed_accuracy(one.share, one.num_right / one.num_judged if one.num_judged else None, None, worth)
    else:
        needed = _needed_auroc(known, aurocs[2], worth)
    return _with(one, accuracies, aurocs)._replace(needed=needed)


def _with(one: Evidence, accuracies: _Three, aurocs: _Three) -> Evidence:
    student, label, gain = accuracies
    student_auroc, label_auroc, auroc_gain = aurocs
    return one._replace(
        student_accuracy=student,
        label_accuracy=label,
        accuracy_gain=gain,
        student_auroc=student_auroc,
        label_auroc=label_auroc,
        auroc_gain=auroc_gain,
    )


def _worth(values: np.ndarray, groups: np.ndarray) -> EffectiveSize | None:
    """What the rows are worth where some are of one group; None: each is its own."""
    return None if len(set(groups)) == len(groups) else effective_size(values, groups)


def _level(right: np.ndarray, groups: np.ndarray) -> Interval:
    """A share of right rows."""
    worth = _worth(right, groups)
    if worth is None:
        return wilson(int(right.sum()), len(right))
    return exact_share(float(np.mean(right)) * worth.rows, worth.rows)


def _picked(file: pd.DataFrame, taken: np.ndarray, hard: bool) -> str:
    """In what the rows `taken` [n] cannot be a random draw, "" if they may be one: disagreements and agreements apart.

    Bonferroni over all tests of both: a random draw is taken for a picked one in at most `UNLIKE` of cases. Half of
    that goes to the one test of whether the disagreements are more, or less, suspicious than others: that is how rows
    of suspects.csv differ.
    """
    found: list[tuple[SampleTest, str]] = []
    apart = file["apart"].to_numpy(dtype=bool)
    for kind, which in (("disagree", apart), ("agree", ~apart)):
        part = file[which]
        if not len(part):
            continue
        log_odds = part["log_odds"].to_numpy()
        measures = {
            "suspicion": part["suspicion"].to_numpy(),
            "log_odds": log_odds,
            "place": part.index.to_numpy(),
            "length": part["length"].to_numpy(),
        }
        if not hard:  # else the same order as by suspicion
            measures["certainty"] = np.abs(log_odds)
        classes = {"class": part["label"].to_numpy() > 0.5, "fold": part["fold"].to_numpy()}
        found += [
            (test, kind) for test in random_sample_tests(taken[which], measures, classes, part["group"].to_numpy(str))
        ]
    if not found:
        return ""
    corrected = [
        2 * test.p * (1 if kind == "disagree" and test.measure == "suspicion" and test.how in _SHIFTS else len(found))
        for test, kind in found
    ]
    best = int(np.argmin(corrected))
    if corrected[best] >= UNLIKE:
        return ""
    (measure, how, _), kind = found[best]
    which = apart if kind == "disagree" else ~apart
    return (
        f"of the {int(which.sum())} rows on which student and label {kind}, the {int(taken[which].sum())} trusted ones "
        f"differ from a random draw in {MEASURES[measure]}: {_WAYS[how]} (p {_p(corrected[best])}, corrected for "
        f"{len(found)} tests)"
    )


_SHIFTS = ("higher", "lower")
_WAYS = {
    "higher": "on the whole it is higher",
    "lower": "on the whole it is lower",
    "at both ends": "too many lie at both ends",
    "in the middle": "too many lie in the middle",
    "highest": "too many are among the highest",
    "lowest": "too many are among the lowest",
    "share": "one of its values has another share",
}


def _p(p: float) -> str:
    return f"= {p:.3f}".replace("0.", ".") if p >= 0.001 else "< .001"


def _seems_drawn(
    population: tuple[int, int], one: Evidence, file: pd.DataFrame | None, taken: np.ndarray | None, notes: list[str]
) -> bool:
    """Whether the trusted rows could be a random draw, of rows or of groups, with regard to disagreement."""
    p = hypergeometric_p(*population, one.num_rows, one.num_judged)
    if file is not None and taken is not None:
        tests = random_sample_tests(taken, {}, {"apart": file["apart"].to_numpy()}, file["group"].to_numpy(dtype=str))
        p = min((test.p for test in tests), default=1.0)
    if p >= UNLIKE:
        return True
    notes.append(
        f"student and label disagree on {one.num_judged} of the {one.num_rows} trusted rows and on {population[1]} of "
        f"all {population[0]}: the rows were drawn by disagreement, so that only the gain in accuracy is estimated"
    )
    return False


def _aurocs(known: _Known, notes: list[str]) -> _Three:
    """The student's, the labels', and the gain; nothing where the trusted rows are of one class."""
    truth, student, label = known.truth, known.log_odds, known.label
    if not len(truth) or truth.all() or not truth.any():
        notes.append(f"the {len(truth)} trusted rows are not of both classes: no AUC")
        return _NONE
    groups = known.group.tolist()
    found = combine_seeds(truth, np.stack([student, label])[None], groups)
    return auroc_interval(found, 0), auroc_interval(found, 1), auroc_gain(truth, student, label, groups)


def needed_accuracy(
    share: float, seen: float | None = None, num_all: int | None = None, worth: EffectiveSize | None = None
) -> tuple[Needed, ...]:
    """Rows that show that the student is right in more, or fewer, than half of the disagreements.

    `share`: of all rows, on which student and labels disagree; `seen`: the share of those on which the student was
    right; `num_all`: disagreements of the file, None: there are any number. A random draw of n rows holds n · share
    disagreements, and only these tell. `worth`: what those judged are worth where they are rows of groups, so
    that the rows needed are that many times more.
    """
    found = []
    rights: list[float] = [*([] if seen is None else [seen]), *(right for right in ASSUMED_RIGHT if right != seen)]
    for right in rights:
        judged = disagreements_needed(right, num_all if worth is None else None)
        if judged is None or not share > 0:
            continue
        judged = math.ceil(judged * (worth.design_effect if worth else 1))
        groups = math.ceil(judged / worth.num_rows * worth.num_groups) if worth else None
        found.append(Needed(share * (2 * right - 1), right, math.ceil(judged / share), judged, right == seen, groups))
    return tuple(found)


def _needed_auroc(known: _Known, gain: Interval | None, worth: EffectiveSize | None) -> tuple[Needed, ...]:
    """For the gain that was seen, and for some that may be looked for; the error is by group where groups repeat."""
    if gain is None:
        return ()
    groups = known.group.tolist() if worth else None
    error = auroc_gain_error(known.truth, known.log_odds, known.label, groups)
    num = len(known.truth)
    found = []
    for assumed in (gain.value, *ASSUMED_AUROC):
        rows = rows_for_auroc(error, num, assumed)
        if rows is not None:
            of_groups = math.ceil(rows / num * worth.num_groups) if worth else None
            found.append(Needed(assumed, None, rows, None, assumed == gain.value, of_groups))
    return tuple(found)
