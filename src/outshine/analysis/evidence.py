"""Is the student better than the cheap labels? What rows with true labels say, and how many more would settle it."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from outshine.metrics.intervals import Interval, auroc_interval
from outshine.metrics.placements import combine_seeds
from outshine.metrics.trusted import (
    auroc_gain,
    auroc_gain_error,
    chance_of_so_unlike,
    disagreements_needed,
    gain_by_disagreements,
    paired_gain,
    rows_for_auroc,
    wilson,
)

UNLIKE = 0.01  # p below which trusted rows are taken to be picked, not drawn
ASSUMED_RIGHT = (0.6, 2 / 3, 0.75)  # shares of disagreements on which the student may be right
ASSUMED_AUROC = (0.02, 0.05, 0.1)

Primary = Literal["accuracy", "auroc"]


class Needed(NamedTuple):
    """Trusted rows in all that find a gain with power .8 at level .05, two-sided.

    `gain`: assumed, in the primary measure; `right`: the share of disagreements that it means. `rows`: drawn at random
    from all; `judged`: drawn from the disagreements alone, None where that will not do. `seen`: the gain is the one
    that was estimated.
    """

    gain: float
    right: float | None
    rows: int
    judged: int | None
    seen: bool


class Evidence(NamedTuple):
    """Student against cheap labels on trusted rows of one sort.

    `of`: rows of the file, predicted by the student of their fold, or new rows, predicted by all. The gain is what the
    student has more. `primary`: accuracy where labels are hard, AUC where they are soft: fixed before anything is
    looked at. None: cannot be estimated; `notes` say why. `num_judged`: trusted rows on which the two disagree,
    `num_right`: those on which the student is right. `share`: of all rows, on which they disagree (of the file: known).
    """

    of: Literal["file", "new"]
    primary: Primary
    num_rows: int
    num_groups: int
    num_judged: int
    num_right: int
    share: float
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
        """The primary gain."""
        return self.accuracy_gain if self.primary == "accuracy" else self.auroc_gain

    @property
    def verdict(self) -> Literal["better", "worse", "open"]:
        """Whether the primary interval lies on one side of 0."""
        if self.gain is None or self.gain.low <= 0 <= self.gain.high:
            return "open"
        return "better" if self.gain.low > 0 else "worse"


def evidence(
    trusted: pd.DataFrame, *, hard: bool, one_sided: bool, population: tuple[int, int] | None = None
) -> Evidence:
    """What trusted rows say. `trusted`: truth (bool), label (P(class 1); NaN: none), log_odds, group.

    `population`: rows of the file and those on which student and label disagree; None: the rows are new. `one_sided`:
    classes cannot be read off at one half, so that accuracy says nothing.
    """
    notes: list[str] = []
    known = _usable(trusted, notes)
    truth = known["truth"].to_numpy(dtype=bool)
    label, student = known["label"].to_numpy() > 0.5, known["log_odds"].to_numpy() > 0
    apart = label != student
    num_judged, num_right = int(apart.sum()), int((apart & (student == truth)).sum())
    drawn = _seems_drawn(population, len(known), num_judged, notes)
    groups = known["group"].tolist()
    num_groups = len(set(groups))
    if num_groups < len(known):
        notes.append(f"{len(known)} rows are {num_groups} groups: accuracies take rows for independent, AUCs do not")
    share = (population[1] / population[0]) if population else (num_judged / len(known) if len(known) else math.nan)
    if one_sided:
        notes.append("all labels, or all predictions, lie on one side of one half: accuracy would say nothing")
    student_accuracy, label_accuracy, accuracy_gain = (
        (None, None, None) if one_sided else _accuracies(truth, label, student, population, drawn)
    )
    student_auroc, label_auroc, gain = _aurocs(known, truth, groups, notes) if drawn else (None, None, None)
    primary: Primary = "accuracy" if hard else "auroc"
    if primary == "accuracy":
        needed = needed_accuracy(share, num_right / num_judged if num_judged else None)
    else:
        needed = _needed_auroc(known, gain)
    return Evidence(
        of="file" if population else "new",
        primary=primary,
        num_rows=len(known),
        num_groups=num_groups,
        num_judged=num_judged,
        num_right=num_right,
        share=share,
        student_accuracy=student_accuracy,
        label_accuracy=label_accuracy,
        accuracy_gain=accuracy_gain,
        student_auroc=student_auroc,
        label_auroc=label_auroc,
        auroc_gain=gain,
        needed=needed,
        notes=tuple(notes),
    )


def _usable(trusted: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """The trusted rows that have both a cheap label and a student's opinion."""
    known = trusted[trusted["label"].notna() & trusted["log_odds"].notna()]
    if len(known) < len(trusted):
        num = len(trusted) - len(known)
        notes.append(f"{num} of {len(trusted)} trusted rows have no cheap label, or no text: left out")
    return known


def _seems_drawn(population: tuple[int, int] | None, num_rows: int, num_judged: int, notes: list[str]) -> bool:
    """Whether the trusted rows could be a random draw with regard to disagreement."""
    if population is None or chance_of_so_unlike(*population, num_rows, num_judged) >= UNLIKE:
        return True
    notes.append(
        f"student and label disagree on {num_judged} of the {num_rows} trusted rows and on {population[1]} of all "
        f"{population[0]}: these rows were not drawn at random, so that only the gain in accuracy is estimated"
    )
    return False


_Three = tuple[Interval | None, Interval | None, Interval | None]


def _accuracies(
    truth: np.ndarray, label: np.ndarray, student: np.ndarray, population: tuple[int, int] | None, drawn: bool
) -> _Three:
    """The student's, the labels', and the gain."""
    if not len(truth):
        return None, None, None
    own, cheap = student == truth, label == truth
    only_student, only_label = int((own & ~cheap).sum()), int((cheap & ~own).sum())
    if population:
        gain = gain_by_disagreements(only_student, only_student + only_label, population[1] / population[0])
    else:
        gain = paired_gain(only_student, only_label, int((own & cheap).sum()), int((~own & ~cheap).sum()))
    if not drawn:
        return None, None, gain
    return wilson(int(own.sum()), len(truth)), wilson(int(cheap.sum()), len(truth)), gain


def _aurocs(known: pd.DataFrame, truth: np.ndarray, groups: list[str], notes: list[str]) -> _Three:
    """The student's, the labels', and the gain; nothing where the trusted rows are of one class."""
    if not len(truth) or truth.all() or not truth.any():
        notes.append(f"the {len(truth)} trusted rows are not of both classes: no AUC")
        return None, None, None
    student, label = known["log_odds"].to_numpy(), known["label"].to_numpy()
    found = combine_seeds(truth, np.stack([student, label])[None], groups)
    return auroc_interval(found, 0), auroc_interval(found, 1), auroc_gain(truth, student, label, groups)


def needed_accuracy(share: float, seen: float | None = None) -> tuple[Needed, ...]:
    """Rows that show that the student is right in more, or fewer, than half of the disagreements.

    `share`: of all rows, on which student and labels disagree; `seen`: the share of those on which the student was
    right. A random draw of n rows holds n · share disagreements, and only these tell.
    """
    found = []
    rights: list[float] = [*([] if seen is None else [seen]), *(right for right in ASSUMED_RIGHT if right != seen)]
    for right in rights:
        judged = disagreements_needed(right)
        if judged is not None and share > 0:
            found.append(Needed(share * (2 * right - 1), right, math.ceil(judged / share), judged, right == seen))
    return tuple(found)


def _needed_auroc(known: pd.DataFrame, gain: Interval | None) -> tuple[Needed, ...]:
    """For the gain that was seen, and for some that may be looked for."""
    if gain is None:
        return ()
    truth, scores = known["truth"].to_numpy(dtype=bool), (known["log_odds"].to_numpy(), known["label"].to_numpy())
    error = auroc_gain_error(truth, *scores, known["group"].tolist())
    found = []
    for assumed in (gain.value, *ASSUMED_AUROC):
        rows = rows_for_auroc(error, len(known), assumed)
        if rows is not None:
            found.append(Needed(assumed, None, rows, None, assumed == gain.value))
    return tuple(found)
