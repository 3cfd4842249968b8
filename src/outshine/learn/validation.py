"""Validation, which chooses weights: AUROC of log-odds against hardened or soft labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from outshine.engine.messages import counted
from outshine.stats.auroc import auroc, soft_auroc

MIN_SIDE = 20  # rows on either side of one half below which soft labels are split near the median instead
MIN_SHARE = 0.02
MAX_SHARE_OF_SIDE = 0.25  # a side with a quarter of the rows is large enough, however few rows there are
FEW = 10  # rows of a class below which the choice of weights rests on little


class Hardened(NamedTuple):
    """Class labels made of soft ones, and what a reader must know of how. `y` None: all labels are equal."""

    y: np.ndarray | None  # [n] bool
    note: str | None


def harden(p: np.ndarray) -> Hardened:
    """Classes from labels p [n]: above one half, or above a cut near the median where one side is too small.

    Too small: fewer rows on a side of one half than max(min(20, n / 4), 2 % of n). The cut lies between two different
    values, where it leaves the sides most alike (of two such cuts the lower one is taken), so that equal labels are
    never in different classes. Labels of two values only, such as 0 and 1, therefore stay the classes that they are,
    however rare one of them is. All labels equal: no classes.
    """
    values, counts = np.unique(p, return_counts=True)
    if len(values) < 2:
        return Hardened(None, "all labels are equal")
    positive = p > 0.5
    side = int(min(positive.sum(), (~positive).sum()))
    if side >= max(min(MIN_SIDE, MAX_SHARE_OF_SIDE * len(p)), MIN_SHARE * len(p)):
        return Hardened(positive, None)
    below = np.cumsum(counts)[:-1]  # rows below each possible cut
    cut = int(np.argmin(np.abs(2 * below - len(p))))
    upper = p > values[cut]
    if len(values) == 2:
        rare = int(min(upper.sum(), (~upper).sum()))
        return Hardened(upper, f"one class has {counted(rare, 'row')} of {len(p)} only" if rare < FEW else None)
    lie = f"all {len(p)}" if side == 0 else f"all but {side} of {len(p)}"
    moved = int((upper != positive).sum())
    return Hardened(
        upper,
        f"{lie} labels lie on one side of .5: classes are cut at {values[cut]:.3g}, near the median, so that "
        f"{counted(moved, 'row')} count as the class that they are not at .5",
    )


class Selection(NamedTuple):
    """The score that validation uses. `score` None: validation cannot choose, the last weights are kept."""

    score: Callable[[np.ndarray], float] | None
    note: str | None


def selection(p: np.ndarray, ground_truth: bool, metric: Literal["hard", "soft"]) -> Selection:
    """How `val` rows with labels p [n] score log-odds; ground truth is taken as it is."""
    if metric == "soft" and not ground_truth:
        if np.all(p == p[0]):
            return Selection(None, "all val labels are equal: the last weights are kept")
        return Selection(partial(soft_auroc, p.astype(np.float64)), None)
    hardened = Hardened(p > 0.5, None) if ground_truth else harden(p)
    if hardened.y is None or hardened.y.all() or not hardened.y.any():
        return Selection(None, "val labels are all of one class: the last weights are kept")
    return Selection(partial(auroc, hardened.y), f"val: {hardened.note}" if hardened.note else None)
