"""Label-free rules, which score every candidate, and choosing on n trusted labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from outshine.data.task import BINARY
from outshine.engine.rng import numpy_rng
from outshine.selection.candidates import CandidateSet, Kind, shares
from outshine.stats.auroc import Bools, Floats

DRAWS = 1000
"""Random sets of rows for each budget."""
_STEPS = (1, 2, 5)
_LEAST = 5


class SelectionRule(NamedTuple):
    """A rule: its name in tables, what it is called in sentences, and its scores [m]; None: it says nothing here."""

    name: str
    title: str
    scores: Callable[[CandidateSet], Floats | None]
    kinds: tuple[Kind, ...] = ("method", "checkpoint")


def weak_auroc(choice: CandidateSet) -> Floats | None:
    """AUROC on val against the weak labels, hardened or soft as in training (`Binary.selection`).

    What early stopping goes by. None where the weak labels of val have one class only.
    """
    score = BINARY.selection(choice.p_weak, False, choice.val_metric).score
    return np.array([score(own) for own in choice.on_val]) if score else None


def agreement(choice: CandidateSet) -> Floats:
    """Return the share of val rows with the supervisor's hard label; both hardened at one half."""
    return np.mean(_hard(choice.on_val) == (choice.p_weak > 0.5), axis=-1)


def confidence(choice: CandidateSet) -> Floats:
    """Return the mean |2 p − 1| on val: how far from one half its own probabilities are; tanh(|log-odds| / 2)."""
    return np.mean(np.tanh(np.abs(choice.on_val) / 2), axis=-1)


def consistency(choice: CandidateSet) -> Floats | None:
    """Return the share of val rows that the same candidate with another seed puts into the same class, mean over seeds.

    Two runs that disagree cannot both be right; their disagreement is close to the error of calibrated models
    (Jiang et al. 2022, arXiv:2106.13799). A constant student is perfectly consistent. None where there is one seed.
    """
    if not len(choice.twins):
        return None
    return np.mean(_hard(choice.twins) == _hard(choice.on_val), axis=(0, 2))


def last(choice: CandidateSet) -> Floats:
    """Return the last checkpoint: no early stopping."""
    return np.arange(len(choice.names), dtype=np.float64)


def random(choice: CandidateSet) -> Floats:
    """Return all candidates by lot: what any rule must beat."""
    return np.zeros(len(choice.names))


RANDOM = "random"
RULES = (
    SelectionRule("weak_auroc", "val AUROC against the weak labels", weak_auroc),
    SelectionRule("agreement", "agreement with the weak labels", agreement),
    SelectionRule("confidence", "confidence", confidence),
    SelectionRule("consistency", "consistency across seeds", consistency),
    SelectionRule("last", "the last checkpoint", last, kinds=("checkpoint",)),
    SelectionRule(RANDOM, "a random choice", random),
)
TITLES = {rule.name: rule.title for rule in RULES}


def _hard(log_odds: Floats) -> Bools:
    return log_odds > 0


def budgets(num_rows: int) -> list[int]:
    """5, 10, 20, 50, 100, … trusted labels, up to the number of rows of val."""
    series = (step * 10**power for power in range(12) for step in _STEPS)
    return [n for n in series if _LEAST <= n <= num_rows]


def orders(num_rows: int, num_draws: int, dataset: str, data_seed: int) -> np.ndarray:
    """Return orders [d, v] in which rows of val are labelled: the first n of each are a draw without replacement.

    All candidates, seeds and budgets of a dataset share them, so that their differences are not those of the draws.
    """
    rng = numpy_rng("trusted labels", dataset, data_seed)
    return rng.permuted(np.tile(np.arange(num_rows, dtype=np.int32), (num_draws, 1)), axis=1)


def trusted_shares(y: Bools, scores: Floats, orders: np.ndarray, budgets: Sequence[int]) -> Floats:
    """Return how often each candidate is picked by its AUROC on n trusted labels: [len(budgets), m], rows sum to 1.

    `y` [v] ground truth of val, `scores` [m, v] log-odds, `orders` [d, v] as of `orders`. Candidates of equal AUROC are
    drawn by lot. So are all where the n rows are of one class: there is no AUROC then.
    """
    levels = np.stack([np.unique(own, return_inverse=True)[1] for own in scores]).astype(np.int32)
    picked = []
    for n in budgets:
        drawn = orders[:1] if n == len(y) else orders[:, :n]  # all rows are one draw, whatever their order
        truth = y[drawn]
        wins = np.stack([_doubled_wins(truth, level[drawn]) for level in levels], axis=-1)
        picked.append(shares(wins).mean(axis=0))
    return np.stack(picked)


def _doubled_wins(truth: Bools, level: np.ndarray) -> np.ndarray:
    """Return twice the pairs of a positive and a negative in the right order, ties one half, of each draw [d].

    Whole numbers: equal AUROCs are equal. Pairs are counted in sorted rows, once with the negatives of a level before
    its positives (ties won) and once after (ties lost).
    """
    won, lost = (np.sort(2 * level + last, axis=1) & 1 for last in (truth, ~truth))
    return _negatives_before(won.astype(bool)) + _negatives_before(~lost.astype(bool))


def _negatives_before(positive: Bools) -> np.ndarray:
    """Return the pairs of a negative and a positive after it, in rows [d, n]."""
    return (np.cumsum(~positive, axis=1) * positive).sum(axis=1)
