"""What `run` and `compare` can say of labels that choose weights, and of datasets that a method has no result for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from claim import Claim

from outshine.data.task import BINARY
from outshine.results.pairing import pair
from outshine.results.results import _NO_WEAK_TEST
from outshine.stats.pgr import SATURATED_ABOVE
from study_tables import against_xent, pgrs, scores, student

MODULES: tuple[str, ...] = ("data/task.py", "results/pairing.py", "results/results.py")

Say = Callable[[], Iterable[str]]
SOFT = np.linspace(0.05, 0.95, 100)


def chosen(p: np.ndarray, *, ground_truth: bool = False, soft: bool = False) -> Say:
    """What validation by these labels has to be told."""
    note = BINARY.selection(p, ground_truth, "soft" if soft else "hard").note
    return lambda: [note] if note else []


def hard(num: int, positive: int) -> np.ndarray:
    return np.r_[np.ones(positive), np.zeros(num - positive)]


def left_out(rows: list[dict], **settings: tuple) -> Say:
    return lambda: [one.reason for one in pair(scores(rows, **settings), None, "xent").left_out]


def without_pgr(auroc: float) -> Say:
    """A comparison of PGRs where the table of them lacks the other method, or has it."""

    def said() -> list[str]:
        rows = against_xent([0.1, 0.2])
        rows[-1] = {**rows[-1], "auroc": auroc}
        table = scores(rows)
        return [one.reason for one in pair(table, pgrs(table), "xent").left_out]

    return said


apart = [student("d", 0.8, seed=0), student("d", 0.9, loss="logconf", seed=1)]
together = [student("d", 0.8), student("d", 0.9, loss="logconf")]
WEIGHTS = (
    Claim("all labels are equal", lambda: [_hardened(np.full(50, 0.3))], lambda: [_hardened(SOFT)]),
    Claim("one class has {} of {} only", chosen(hard(100, 3)), chosen(hard(100, 30))),
    Claim(
        "{} labels lie on one side of {}: classes are cut at {}, near the median, so that {} count as the class that "
        "they are not at {}",
        chosen(SOFT / 3),
        chosen(SOFT),
    ),
    Claim(
        "all val labels are equal: the last weights are kept",
        chosen(np.full(50, 0.3), soft=True),
        chosen(SOFT, soft=True),
    ),
    Claim(
        "val labels are all of one class: the last weights are kept",
        chosen(np.ones(50), ground_truth=True),
        chosen(hard(50, 20), ground_truth=True),
    ),
)
PAIRS = (
    Claim(
        "saturated (supervisor and ceiling both above {})",
        left_out(together, d=(SATURATED_ABOVE + 0.0005, 1.0)),
        left_out(together),
    ),
    Claim("{} and {} have no seed in common", left_out(apart), left_out(together)),
    Claim("the student's AUROC is unknown", without_pgr(float("nan")), without_pgr(0.9)),
    Claim(
        "the weak labels do not cover the test rows, so the supervisor's AUC is unknown",
        lambda: [_NO_WEAK_TEST],
        None,
        "the reason of a PGR; tests/cli/test_runs.py runs a study whose file of labels does not cover test, and one whose does",
    ),
)
CLAIMS: tuple[Claim, ...] = WEIGHTS + PAIRS


def _hardened(p: np.ndarray) -> str:
    return BINARY.harden(p).note or ""
