"""The oracle that knows test: the best candidate, and the optimism of its own AUROC."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from outshine.engine.rng import numpy_rng
from outshine.selection.candidates import Choice, shares
from outshine.stats.auroc import Floats, auroc

SPLITS = 10
"""Random halvings of test."""


class Oracle(NamedTuple):
    """`aurocs` [m] on all of test; `half_aurocs` [m] means over halves of test; `nested`: the mean AUROC, on one half
    of test, of the candidate that was best on the other. The last two are NaN where a half lacks a class."""

    aurocs: Floats
    half_aurocs: Floats
    nested: float


def ask_oracle(choice: Choice) -> Oracle:
    """Test AUROCs of the candidates, and the oracle with and without its own flattery.

    The highest of m AUROCs measured on the same rows lies, on average, above the AUROC of the best candidate (winner's
    curse). One chosen on half of the rows and measured on the other lies, on average, not above it. So the truth is
    between the two. Rows that share a group stay in one half.
    """
    y, scores = choice.test.y, choice.on_test
    aurocs = np.array([auroc(y, own) for own in scores])
    found = [pair for half in _halves(choice) for pair in _both_ways(choice, half)]
    if not found:
        return Oracle(aurocs, np.full(len(aurocs), math.nan), math.nan)
    halves = np.stack([measured for _, measured in found])
    nested = float(np.mean([shares(seen) @ measured for seen, measured in found]))
    return Oracle(aurocs, halves.mean(axis=0), nested)


def _halves(choice: Choice) -> list[np.ndarray]:
    """Rows [t] of one half each: groups in random order, the first half of them."""
    _, group = np.unique(np.asarray(choice.test.groups, dtype=str), return_inverse=True)
    rng = numpy_rng("halves of test", choice.about["dataset"], choice.about["data_seed"])
    num_groups = int(group.max()) + 1
    return [rng.permutation(num_groups)[group] < num_groups // 2 for _ in range(SPLITS)]


def _both_ways(choice: Choice, half: np.ndarray) -> Sequence[tuple[Floats, Floats]]:
    """(AUROCs that the oracle sees [m], AUROCs that are measured [m]), each half once in each part."""
    parts = []
    for rows in (half, ~half):
        y = choice.test.y[rows]
        if y.all() or not y.any():
            return []
        parts.append(np.array([auroc(y, own[rows]) for own in choice.on_test]))
    return [(parts[0], parts[1]), (parts[1], parts[0])]
