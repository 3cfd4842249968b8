"""Choosing on n trusted labels: how often each candidate has the highest AUROC on n random rows of val."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from outshine.engine.rng import numpy_rng
from outshine.selection.candidates import shares
from outshine.stats.auroc import Bools, Floats

DRAWS = 1000
"""Random sets of rows for each budget."""

_STEPS = (1, 2, 5)
_LEAST = 5


def budgets(num_rows: int) -> list[int]:
    """5, 10, 20, 50, 100, … trusted labels, up to the number of rows of val."""
    series = (step * 10**power for power in range(12) for step in _STEPS)
    return [n for n in series if _LEAST <= n <= num_rows]


def orders(num_rows: int, num_draws: int, dataset: str, data_seed: int) -> np.ndarray:
    """Orders [d, v] in which rows of val are labelled: the first n of each are a draw of n rows without replacement.

    All candidates, seeds and budgets of a dataset share them, so that their differences are not those of the draws.
    """
    rng = numpy_rng("trusted labels", dataset, data_seed)
    return rng.permuted(np.tile(np.arange(num_rows, dtype=np.int32), (num_draws, 1)), axis=1)


def trusted_shares(y: Bools, scores: Floats, orders: np.ndarray, budgets: Sequence[int]) -> Floats:
    """How often each candidate is picked by its AUROC on n trusted labels: [len(budgets), m], rows sum to 1.

    `y` [v] ground truth of val, `scores` [m, v] log-odds, `orders` [d, v] as of `orders`. Candidates of equal AUROC are
    drawn by lot. So are all where the n rows are of one class: there is no AUROC then.
    """
    levels = np.stack([np.unique(own, return_inverse=True)[1] for own in scores]).astype(np.int32)
    found = []
    for n in budgets:
        drawn = orders[:1] if n == len(y) else orders[:, :n]  # all rows are one draw, whatever their order
        truth = y[drawn]
        wins = np.stack([_doubled_wins(truth, level[drawn]) for level in levels], axis=-1)
        found.append(shares(wins).mean(axis=0))
    return np.stack(found)


def _doubled_wins(truth: Bools, level: np.ndarray) -> np.ndarray:
    """Twice the pairs of a positive and a negative in the right order, ties one half, of each draw [d, n] -> [d].

    Whole numbers: equal AUROCs are equal. Pairs are counted in sorted rows, once with the negatives of a level before
    its positives (ties won) and once after (ties lost).
    """
    won, lost = (np.sort(2 * level + last, axis=1) & 1 for last in (truth, ~truth))
    return _negatives_before(won.astype(bool)) + _negatives_before(~lost.astype(bool))


def _negatives_before(positive: Bools) -> np.ndarray:
    """Pairs of a negative and a positive after it, in rows [d, n]."""
    return (np.cumsum(~positive, axis=1) * positive).sum(axis=1)
