"""Can these rows be a random draw? Tests against all that is known of the rows from which they were taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, stdtr
from scipy.stats import hypergeom, rankdata

from outshine.core.errors import DataError
from outshine.metrics.auroc import Bools, Floats


class Unlikely(NamedTuple):
    """One test that rows were drawn at random. `p` is its own, not corrected for the others.

    `measure`: by what name it was given. `how` the drawn rows differ: their values are "higher" or "lower" on the
    whole, lie "at both ends" or "in the middle", hold too many of the "highest" or "lowest"; or a class has another
    "share".
    """

    measure: str
    how: str
    p: float


class _Scored(NamedTuple):
    """A score of every row whose sum over the drawn rows is tested."""

    measure: str
    how: tuple[str, str]  # where the sum is too small, too large
    score: Floats
    is_share: bool
    two_sided: bool


def draw_tests(
    drawn: ArrayLike, measures: Mapping[str, ArrayLike], classes: Mapping[str, ArrayLike], groups: ArrayLike
) -> list[Unlikely]:
    """All tests that the rows `drawn` [n] (bool) are a random draw without replacement from all n.

    Of each of `measures` [n]: whether the drawn rows' ranks are higher or lower (Mann-Whitney, with its variance for a
    finite population and ties), whether they lie further out or in (the same test on the distance from the middle),
    and whether too many of the k highest, or lowest, are among them (exact hypergeometric, k the number drawn). Of
    each of `classes` [n]: whether a class has another share (exact hypergeometric, two-sided).

    Rows of one group are not independent where whole groups were drawn. Where drawn rows share one of `groups` [n],
    a p is the larger one of those of the two designs: rows at random, and groups at random (t of the groups' sums).
    Raises DataError for unequal lengths. No row drawn, or all: no tests.
    """
    taken = np.asarray(drawn, dtype=bool)
    names = np.asarray(groups, dtype=str)
    if len(names) != taken.size:
        raise DataError(f"{taken.size} rows have {len(names)} groups")
    if not taken.any() or taken.all():
        return []
    scored = [one for name, values in measures.items() for one in _ordered(name, values, taken)]
    scored += [one for name, values in classes.items() for one in _shares(name, values, taken)]
    place = np.unique(names[taken], return_inverse=True)[1]
    together = int(place.max()) + 1 < len(place)
    found = []
    for one in scored:
        test = _by_rows(one, taken)
        found.append(test._replace(p=max(test.p, _by_groups(one, taken, place))) if together else test)
    return found


def chance_of_so_unlike(num_rows: int, num_marked: int, num_drawn: int, num_marked_drawn: int) -> float:
    """Two-sided p that a random draw without replacement has as many marked rows, or as few.

    min(1, 2 · the lesser tail) of the hypergeometric law, exact. Small: the rows were hardly drawn at random with
    regard to the mark.
    """
    law = hypergeom(num_rows, num_marked, num_drawn)
    return float(min(1.0, 2 * min(law.cdf(num_marked_drawn), law.sf(num_marked_drawn - 1))))


def _ordered(name: str, values: ArrayLike, taken: Bools) -> list[_Scored]:
    x = np.asarray(values, dtype=np.float64)
    if x.shape != taken.shape:
        raise DataError(f"'{name}' has {x.size} values for {taken.size} rows")
    if np.all(x == x[0]):
        return []
    rank = (rankdata(x) - 0.5) / x.size - 0.5
    order = np.argsort(x, kind="stable")
    lowest, highest = np.zeros(x.size), np.zeros(x.size)
    num = min(int(taken.sum()), x.size // 2)  # "the highest" are never most rows
    lowest[order[:num]] = 1.0
    highest[order[x.size - num :]] = 1.0
    return [
        _Scored(name, ("lower", "higher"), rank, False, True),
        _Scored(name, ("in the middle", "at both ends"), np.abs(rank), False, True),
        _Scored(name, ("lowest", "lowest"), lowest, True, False),
        _Scored(name, ("highest", "highest"), highest, True, False),
    ]


def _shares(name: str, values: ArrayLike, taken: Bools) -> list[_Scored]:
    x = np.asarray(values)
    if x.shape != taken.shape:
        raise DataError(f"'{name}' has {x.size} values for {taken.size} rows")
    kinds = np.unique(x)
    kinds = kinds[:1] if len(kinds) == 2 else kinds  # the other one's share says the same
    return [_Scored(name, ("share", "share"), (x == kind).astype(float), True, True) for kind in kinds]


def _by_rows(one: _Scored, taken: Bools) -> Unlikely:
    num_all, num = taken.size, int(taken.sum())
    total = float(one.score[taken].sum())
    if one.is_share:
        marked = int(one.score.sum())
        if one.two_sided:
            return Unlikely(one.measure, one.how[0], chance_of_so_unlike(num_all, marked, num, int(total)))
        return Unlikely(one.measure, one.how[1], float(hypergeom.sf(total - 1, num_all, marked, num)))
    variance = num * float(np.var(one.score)) * (num_all - num) / (num_all - 1)
    z = (total - num * one.score.mean()) / math.sqrt(variance)
    return Unlikely(one.measure, one.how[int(z > 0)], float(2 * ndtr(-abs(z))))


def _by_groups(one: _Scored, taken: Bools, place: np.ndarray) -> float:
    """p where whole groups were drawn at random: their sums against 0, with their own variance or that of rows.

    The larger of the two variances: with few groups, or a rare mark, the sums vary too little by chance.
    """
    centred = one.score - one.score.mean()
    sums = np.bincount(place, weights=centred[taken])
    sizes = np.bincount(place)
    num = len(sums)
    effective = float(sizes.sum() ** 2 / np.sum(sizes**2))
    if num == 1:
        return 1.0
    own = num / (num - 1) * float(np.sum(sums**2))
    t = float(sums.sum()) / math.sqrt(max(own, float(taken.sum() * np.var(one.score)), 1e-300))
    tail = float(stdtr(max(effective - 1, 0.5), -(abs(t) if one.two_sided else t)))
    return 2 * tail if one.two_sided else tail
