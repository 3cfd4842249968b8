"""Label-free rules: each scores every candidate, and the highest is picked."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from outshine.data.task import BINARY
from outshine.selection.candidates import Choice, Kind
from outshine.stats.auroc import Bools, Floats


class Rule(NamedTuple):
    """A rule: its name in tables, what it is called in sentences, and its scores [m]; None: it says nothing here."""

    name: str
    title: str
    scores: Callable[[Choice], Floats | None]
    kinds: tuple[Kind, ...] = ("method", "checkpoint")


def weak_auroc(choice: Choice) -> Floats | None:
    """AUROC on val against the weak labels, hardened or soft as in training (`Binary.selection`).

    What early stopping goes by. None where the weak labels of val have one class only.
    """
    score = BINARY.selection(choice.p_weak, False, choice.val_metric).score
    return np.array([score(own) for own in choice.on_val]) if score else None


def agreement(choice: Choice) -> Floats:
    """Share of val rows with the supervisor's hard label; both hardened at one half."""
    return np.mean(_hard(choice.on_val) == (choice.p_weak > 0.5), axis=-1)


def confidence(choice: Choice) -> Floats:
    """Mean |2 p − 1| on val: how far from one half the candidate's own probabilities are; tanh(|log-odds| / 2)."""
    return np.mean(np.tanh(np.abs(choice.on_val) / 2), axis=-1)


def consistency(choice: Choice) -> Floats | None:
    """Share of val rows that the same candidate with another seed puts into the same class, mean over other seeds.

    Two runs that disagree cannot both be right; their disagreement is close to the error of calibrated models
    (Jiang et al. 2022, arXiv:2106.13799). A constant student is perfectly consistent. None where there is one seed.
    """
    if not len(choice.twins):
        return None
    return np.mean(_hard(choice.twins) == _hard(choice.on_val), axis=(0, 2))


def last(choice: Choice) -> Floats:
    """The last checkpoint: no early stopping."""
    return np.arange(len(choice.names), dtype=np.float64)


def random(choice: Choice) -> Floats:
    """All candidates by lot: what any rule must beat."""
    return np.zeros(len(choice.names))


RANDOM = "random"
RULES = (
    Rule("weak_auroc", "val AUROC against the weak labels", weak_auroc),
    Rule("agreement", "agreement with the weak labels", agreement),
    Rule("confidence", "confidence", confidence),
    Rule("consistency", "consistency across seeds", consistency),
    Rule("last", "the last checkpoint", last, kinds=("checkpoint",)),
    Rule(RANDOM, "a random choice", random),
)
TITLES = {rule.name: rule.title for rule in RULES}


def _hard(log_odds: Floats) -> Bools:
    return log_odds > 0
