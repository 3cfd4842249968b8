"""The candidates of one choice, scored on the same rows, and what picking each would be worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from outshine.stats.auroc import Bools, Floats

Kind = Literal["method", "checkpoint"]
"""What is chosen among: the students of a study on a dataset, or the weights of one student along its training."""


class Rows(NamedTuple):
    """A split: `ids` [n] in the order of the scores, ground truth `y` [n], what rows share (`groups` [n])."""

    ids: Sequence[str]
    y: Bools
    groups: Sequence[str]


class Choice(NamedTuple):
    """m candidates for one dataset and seed, all predicted on the same rows of val and test.

    `about`: values of IDENTITY_COLUMNS but the study; of methods those that name one are empty. `on_val` [m, v] and
    `on_test` [m, t] are log-odds; `twins` [s, m, v] those on val of the same candidates with s other seeds. `p_weak`
    [v] are the weak labels of val, `val_metric` says how training measures against them (`hard` or `soft`). The
    ground truth of val is there for trusted labels alone: no label-free rule may look at it.
    """

    kind: Kind
    about: dict[str, Any]
    saturated: bool
    names: tuple[str, ...]
    val: Rows
    p_weak: Floats
    val_metric: Literal["hard", "soft"]
    on_val: Floats
    twins: Floats
    test: Rows
    on_test: Floats


def shares(scores: np.ndarray) -> Floats:
    """How often each candidate is picked by the highest of `scores` [..., m], where equals are drawn by lot: [..., m].

    Sums to 1 over the candidates.
    """
    best = scores == scores.max(axis=-1, keepdims=True)
    return best / best.sum(axis=-1, keepdims=True)
