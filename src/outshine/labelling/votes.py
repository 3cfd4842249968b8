"""Several cheap labels a row, such as annotators or labelling functions, some of which abstain, made into one."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from outshine.engine.errors import DataError
from outshine.labelling.trusted_sample import Floats, Ints

ABSTAINS = -1
_LOGGED = 1e-300  # of votes that are never cast, so that they are never asked for
LEAST = 1e-10  # probability that a voter is never below, so that one vote alone decides nothing for ever

Way = Literal["dawid_skene", "majority"]


class DawidSkene(NamedTuple):
    """Votes made into one label, with what each voter is worth.

    Attributes:
        p: P(class) of each row [n, K]; NaN where all abstain.
        share: Of each class [K].
        confusion: P(vote | class) of each voter [W, K, K], classes first.
        steps: Steps that were taken.
    """

    p: Floats
    share: Floats
    confusion: Floats
    steps: int


def majority(votes: NDArray[np.int_], num_classes: int) -> Floats:
    """Return the share of votes for each class [n, K]; NaN where all abstain.

    `votes` [n, W] of classes 0 … K − 1, or `ABSTAINS`. Raises DataError for others.
    """
    counts = _cast(votes, num_classes).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(axis=1, keepdims=True)


def dawid_skene(
    votes: NDArray[np.int_], num_classes: int, *, most_steps: int = 100, tolerance: float = 1e-5
) -> DawidSkene:
    """Estimate true classes and each voter's confusion matrix together, by expectation maximisation from the majority.

    Voters are supposed to err independently of each other, given the true class. Where they copy each other, or all
    fall for the same rows, the result is surer than it should be. It stops as crowd-kit does, whose results it equals:
    where the expected log-likelihood plus entropy, divided by the number of votes, gains less than `tolerance`, the log
    share of a class counted once for each vote.

    `votes` [n, W] of classes 0 … K − 1, or `ABSTAINS`. Raises DataError for other votes, or none at all.
    Source: Dawid and Skene 1979, "Maximum likelihood estimation of observer error-rates using the EM algorithm",
    Applied Statistics 28, 20-28.
    """
    cast = _cast(votes, num_classes)
    voted, named = cast.sum(axis=(1, 2)) > 0, cast.sum(axis=(0, 1)) > 0
    cast = cast[voted]
    if not len(cast):
        raise DataError("all voters abstain on all rows: there is nothing to combine")
    if not named.all():  # a class that nobody names has no share
        found = dawid_skene(_renumbered(votes, named), int(named.sum()), most_steps=most_steps, tolerance=tolerance)
        return _with_all(found, named)
    p = majority(votes[voted], num_classes)
    share, confusion = p.mean(axis=0), _confusion(cast, p)
    before, steps = -np.inf, 0
    while steps < most_steps:
        steps += 1
        logs = np.log(np.maximum(confusion, _LOGGED))
        p = softmax(np.log(np.maximum(share, LEAST)) + np.einsum("nwv,wkv->nk", cast, logs), axis=1)
        share, confusion = p.mean(axis=0), _confusion(cast, p)
        bound = _bound(cast, p, share, confusion) / cast.sum()
        if bound - before < tolerance:
            break
        before = bound
    whole = np.full((len(voted), num_classes), np.nan)
    whole[voted] = p
    return DawidSkene(whole, share, confusion, steps)


def _renumbered(votes: NDArray[np.int_], named: NDArray[np.bool_]) -> NDArray[np.int_]:
    """Return the votes with the classes counted anew that anybody names."""
    number = np.append(np.cumsum(named) - 1, ABSTAINS)  # the last is that of ABSTAINS
    return number[votes]


def _with_all(found: DawidSkene, named: NDArray[np.bool_]) -> DawidSkene:
    """Return the result for all classes, those that nobody names with a share of 0."""
    places = np.flatnonzero(named)
    p, share = np.zeros((len(found.p), len(named))), np.zeros(len(named))
    p[np.isnan(found.p[:, 0])] = np.nan
    p[:, places] = found.p
    share[places] = found.share
    confusion = np.zeros((len(found.confusion), len(named), len(named)))
    confusion[:, places[:, None], places] = found.confusion
    return DawidSkene(p, share, confusion, found.steps)


def _cast(votes: NDArray[np.int_], num_classes: int) -> Floats:
    """Return which class each voter votes for [n, W, K], as 0 and 1; all 0 where it abstains."""
    votes = np.asarray(votes)
    if votes.ndim != 2 or ((votes < ABSTAINS) | (votes >= num_classes)).any():
        raise DataError(f"votes must be classes from 0 to {num_classes - 1}, or {ABSTAINS} for none, of shape [n, W]")
    return (votes[:, :, None] == np.arange(num_classes)).astype(np.float64)


def _confusion(cast: Floats, p: Floats) -> Floats:
    """Return P(vote | class) of each voter [W, K, K]; 0 for votes that it never casts."""
    ever = cast.sum(axis=0)[:, None, :] > 0
    counts = np.where(ever, np.maximum(np.einsum("nk,nwv->wkv", p, cast), LEAST), 0.0)
    return counts / np.maximum(counts.sum(axis=2, keepdims=True), LEAST)


def _bound(cast: Floats, p: Floats, share: Floats, confusion: Floats) -> float:
    """Return the expected log-likelihood plus the entropy, as crowd-kit counts them."""
    num_votes: Ints = cast.sum(axis=(1, 2))
    expected = np.einsum("nk,nwv,wkv->", p, cast, np.log(np.maximum(confusion, _LOGGED)))
    expected += float((p * num_votes[:, None] * np.log(np.maximum(share, LEAST))).sum())
    kept = np.maximum(p, LEAST)
    return float(expected - (kept * np.log(kept)).sum())
