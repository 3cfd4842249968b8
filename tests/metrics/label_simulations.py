"""Coverage of what `outshine label` says of student and cheap labels, and of its power, by simulation from known truths.

Rerun the tables of docs/label.md with

    python tests/metrics/label_simulations.py

One large file of rows is made for each case, whose true gains are counted; many small trusted sets are drawn from it.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from outshine.metrics.auroc import auroc
from outshine.metrics.intervals import Interval
from outshine.metrics.trusted import (
    auroc_gain,
    auroc_gain_error,
    disagreements_needed,
    gain_by_disagreements,
    paired_gain,
    rows_for_auroc,
    wilson,
)

NUM_ROWS = 20_000  # of the file


class Case(NamedTuple):
    """Cheap labels that are wrong at a rate, and a student that is as good as `skill` and copies their errors a little."""

    wrong: float
    skill: float
    imitation: float = 0.5
    positive: float = 0.5


CASES = (
    Case(0.1, 1.5),
    Case(0.2, 1.5),
    Case(0.3, 1.5),
    Case(0.2, 0.8),
    Case(0.2, 0.8, imitation=2.0),
    Case(0.2, 1.5, positive=0.15),
    Case(0.05, 3.0),
)


class File(NamedTuple):
    """truth, hard and soft cheap labels, the student's log-odds."""

    truth: np.ndarray
    hard: np.ndarray
    soft: np.ndarray
    student: np.ndarray


class Covered(NamedTuple):
    """Share of intervals that hold the true value, of each estimate."""

    accuracy_of_file: float
    accuracy_of_new: float
    auroc_hard: float
    auroc_soft: float


def make_file(case: Case, seed: int = 0) -> File:
    rng = np.random.default_rng([seed, *(int(1000 * part) for part in case)])
    truth = rng.random(NUM_ROWS) < case.positive
    hard = truth ^ (rng.random(NUM_ROWS) < case.wrong)
    soft = expit(2 * (2 * hard - 1) + rng.normal(size=NUM_ROWS))
    student = case.skill * (2 * truth - 1) + case.imitation * (2 * hard - 1) + 1.2 * rng.normal(size=NUM_ROWS)
    return File(truth, hard, soft, student)


def gains(file: File, rows: np.ndarray, share: float) -> tuple[Interval, Interval]:
    """The gain in accuracy over the file, and for new rows, from trusted rows."""
    truth, hard, student = file.truth[rows], file.hard[rows], file.student[rows] > 0
    own, cheap = student == truth, hard == truth
    ahead, behind = int((own & ~cheap).sum()), int((cheap & ~own).sum())
    both, neither = int((own & cheap).sum()), int((~own & ~cheap).sum())
    return gain_by_disagreements(ahead, ahead + behind, share), paired_gain(ahead, behind, both, neither)


def coverage(case: Case, num_trusted: int, num_runs: int) -> Covered:
    """How often each 95 % interval holds what is true of the whole file."""
    file, rng = make_file(case), np.random.default_rng([1, num_trusted])
    own, cheap = (file.student > 0) == file.truth, file.hard == file.truth
    share = float(np.mean((file.student > 0) != file.hard))
    true_accuracy = float(np.mean(own) - np.mean(cheap))
    true_aurocs = [auroc(file.truth, file.student) - auroc(file.truth, score) for score in (file.hard, file.soft)]
    hits = np.zeros(4)
    for _ in range(num_runs):
        rows = rng.choice(NUM_ROWS, num_trusted, replace=False)
        accuracies = gains(file, rows, share)
        truth = file.truth[rows]
        if truth.all() or not truth.any():  # nothing is claimed of AUCs then
            aurocs = (Interval(0.0, -1.0, 1.0), Interval(0.0, -1.0, 1.0))
        else:
            aurocs = tuple(auroc_gain(truth, file.student[rows], score[rows]) for score in (file.hard, file.soft))
        targets = (true_accuracy, true_accuracy, *true_aurocs)
        hits += [
            found.low <= target <= found.high for found, target in zip((*accuracies, *aurocs), targets, strict=True)
        ]
    return Covered(*(hits / num_runs))


def power_of_judged(right: float) -> tuple[int, float]:
    """How many disagreements are said to be needed, and the exact chance that Wilson's interval then excludes one half."""
    from scipy.stats import binom

    num = disagreements_needed(right)
    assert num is not None
    shown = [wilson(k, num).low > 0.5 if right > 0.5 else wilson(k, num).high < 0.5 for k in range(num + 1)]
    return num, float(binom.pmf(np.flatnonzero(shown), num, right).sum())


def power_of_auroc(case: Case, pilot: int, num_runs: int) -> tuple[float, float]:
    """Median number of rows that pilots of this size ask for to find the true gain, and the power with that many."""
    file, rng = make_file(case), np.random.default_rng([2, pilot])
    gain = auroc(file.truth, file.student) - auroc(file.truth, file.soft)

    def one(num_rows: int) -> Interval:
        rows = rng.choice(NUM_ROWS, num_rows, replace=False)
        return auroc_gain(file.truth[rows], file.student[rows], file.soft[rows])

    pilots = [rng.choice(NUM_ROWS, pilot, replace=False) for _ in range(num_runs)]
    errors = [auroc_gain_error(file.truth[rows], file.student[rows], file.soft[rows]) for rows in pilots]
    asked = [rows_for_auroc(error, pilot, gain) for error in errors]
    num_rows = int(np.median([number for number in asked if number is not None]))
    found = [one(num_rows) for _ in range(num_runs)]
    return num_rows, float(np.mean([(each.low > 0) if gain > 0 else (each.high < 0) for each in found]))


def main(num_runs: int = 4000) -> None:
    titles = ["labels wrong", "skill, imitation", "positives", "trusted rows", *Covered._fields]
    sys.stdout.write(f"| {' | '.join(titles)} |\n")
    for case in CASES:
        for num_trusted in (30, 100, 400):
            covered = coverage(case, num_trusted, num_runs)
            cells = [f"{case.wrong:.0%}", f"{case.skill}, {case.imitation}", f"{case.positive:.0%}", str(num_trusted)]
            sys.stdout.write(f"| {' | '.join([*cells, *(f'{share:.3f}' for share in covered)])} |\n")
    for right in (0.6, 2 / 3, 0.75, 0.9):
        num, power = power_of_judged(right)
        sys.stdout.write(f"| {right:.2f} | {num} | {power:.3f} |\n")
    for case in CASES:
        num, power = power_of_auroc(case, 150, num_runs // 4)
        sys.stdout.write(
            f"| {case.wrong:.0%} | {case.skill}, {case.imitation} | {case.positive:.0%} | {num} | {power:.3f} |\n"
        )


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
