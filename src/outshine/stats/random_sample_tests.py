"""Tests of whether some rows can be a random sample of all rows (drawn without replacement)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, stdtr
from scipy.stats import hypergeom, rankdata

from outshine.engine.errors import DataError
from outshine.stats.auroc import Bools, Floats


class SampleTest(NamedTuple):
    """One test that rows were drawn at random. `p` is its own, not corrected for the others.

    `measure`: its name. `how` the drawn rows differ: their values are "higher" or "lower" on the
    whole, lie "at both ends" or "in the middle", hold too many of the "highest" or "lowest"; or a class has another
    "share".
    """

    measure: str
    how: str
    p: float


_ROUNDING = 1e-9  # a smaller standard deviation of scores between −½ and ½ is no spread, but rounding


class _Scored(NamedTuple):
    """A score of every row whose sum over the drawn rows is tested."""

    measure: str
    how: tuple[str, str]  # where the sum is too small, too large
    score: Floats
    is_share: bool
    two_sided: bool


def random_sample_tests(
    drawn: ArrayLike, measures: Mapping[str, ArrayLike], classes: Mapping[str, ArrayLike], groups: ArrayLike
) -> list[SampleTest]:
    """All tests that the rows `drawn` [n] (bool) are a random draw without replacement from all n.

    Of each of `measures` [n]: whether the drawn rows' ranks are higher or lower (Mann-Whitney, with its variance for a
    finite population and ties), whether they lie further out or in (the same test on the distance from the middle),
    and whether too many of the k highest, or lowest, are among them (exact hypergeometric, k the number drawn). Of
    each of `classes` [n]: whether a class has another share (exact hypergeometric, two-sided).

    Rows of one group are not independent where whole groups were drawn. Where drawn rows share one of `groups` [n],
    a p is the larger one of those of the two designs: rows at random, and groups at random.
    Raises DataError for unequal lengths. No row drawn, or all: no tests.
    """
    taken = np.asarray(drawn, dtype=bool)
    names = np.asarray(groups, dtype=str)
    if len(names) != taken.size:
        raise DataError(f"{taken.size} rows have {len(names)} groups")
    if not taken.any() or taken.all():
        return []
    scored = [score for name, values in measures.items() for score in _rank_scores(name, values, taken)]
    scored += [score for name, values in classes.items() for score in _class_scores(name, values, taken)]
    if not scored:
        return []
    p, how = _by_rows(scored, taken)
    place = np.unique(names, return_inverse=True)[1]
    if len(np.unique(place[taken])) < int(taken.sum()):
        p = np.maximum(p, [_by_groups(score, taken, place) for score in scored])
    return [
        SampleTest(score.measure, direction, float(value))
        for score, direction, value in zip(scored, how, p, strict=True)
    ]


def hypergeometric_p(num_rows: int, num_marked: int, num_drawn: int, num_marked_drawn: int) -> float:
    """Two-sided p that a random draw without replacement has as many marked rows, or as few.

    min(1, 2 · the lesser tail) of the hypergeometric law, exact. Small: the rows were hardly drawn at random with
    regard to the mark.
    """
    return float(_two_sided(num_rows, np.array([num_marked]), num_drawn, np.array([num_marked_drawn]))[0])


def _two_sided(num_all: int, num_marked: Floats, num_drawn: int, num_both: Floats) -> Floats:
    law = hypergeom(num_all, num_marked, num_drawn)
    tails = law.cdf(num_both), law.sf(num_both - 1)
    return np.minimum(1.0, 2 * np.minimum(*tails))


def _rank_scores(name: str, values: ArrayLike, taken: Bools) -> list[_Scored]:
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


def _class_scores(name: str, values: ArrayLike, taken: Bools) -> list[_Scored]:
    x = np.asarray(values)
    if x.shape != taken.shape:
        raise DataError(f"'{name}' has {x.size} values for {taken.size} rows")
    kinds = np.unique(x)
    kinds = kinds[:1] if len(kinds) == 2 else kinds  # the other one's share says the same
    return [_Scored(name, ("share", "share"), (x == kind).astype(float), True, True) for kind in kinds]


def _by_rows(scored: Sequence[_Scored], taken: Bools) -> tuple[Floats, list[str]]:
    """p of each test where rows were drawn at random, and how they differ."""
    num_all, num = taken.size, int(taken.sum())
    scores = np.stack([item.score for item in scored])
    totals, mean = scores[:, taken].sum(axis=1), scores.mean(axis=1)
    spread = np.sqrt(num * scores.var(axis=1) * (num_all - num) / max(num_all - 1, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * ndtr(-np.abs((totals - num * mean) / spread))
    p[scores.std(axis=1) < _ROUNDING] = 1.0  # of two values as frequent as each other none is further out
    one_way = np.array([item.is_share and not item.two_sided for item in scored])
    both_ways = np.array([item.is_share and item.two_sided for item in scored])
    marked = scores.sum(axis=1)
    p[one_way] = hypergeom.sf(totals[one_way] - 1, num_all, marked[one_way], num)
    p[both_ways] = _two_sided(num_all, marked[both_ways], num, totals[both_ways])
    return p, [item.how[int(more)] for item, more in zip(scored, totals > num * mean, strict=True)]


def _by_groups(scored: _Scored, taken: Bools, place: np.ndarray) -> float:
    """p where groups were drawn at random: the sum of the scores against its spread over such draws.

    The spread is that of the means of all groups, drawn or not, and never less than that of rows; t with as many
    degrees of freedom as there are groups of equal size, less 1, since a sum of few groups is not normal.
    """
    centred = scored.score - scored.score.mean()
    means = np.bincount(place, weights=centred) / np.bincount(place)
    sizes = np.bincount(place[taken]).astype(np.float64)
    effective = float(sizes.sum() ** 2 / np.sum(sizes**2))
    variance = max(float(np.mean(means**2) * np.sum(sizes**2)), float(taken.sum() * np.var(scored.score)))
    t = float(centred[taken].sum()) / np.sqrt(variance)
    tail = float(stdtr(max(effective - 1, 0.5), -(abs(t) if scored.two_sided else t)))
    return 2 * tail if scored.two_sided else tail
