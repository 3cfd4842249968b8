"""What `outshine label` says of student and cheap labels, simulated from known truths: coverage, errors, power.

Rerun the tables of docs/statistics.md, section "label", with

    python tests/labelling/label_simulations.py coverage
    python tests/labelling/label_simulations.py verdicts

Coverage: one large file of rows is made for each case, whose true gains are counted; many small trusted sets are drawn
from it. Verdicts: a file whose true gain is exactly 0 is made anew for each run, and everything is asked that
`outshine label` asks, so that each verdict is an error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

from outshine.labelling.annotation_sample import rows_to_judge
from outshine.labelling.evidence import Evidence, evidence
from outshine.labelling.gains import (
    auroc_gain,
    auroc_gain_error,
    disagreements_needed,
    gain_by_disagreements,
    paired_gain,
    rows_for_auroc,
)
from outshine.stats.auroc import auroc
from outshine.stats.intervals import Interval, exact_share, share_of_file

NUM_ROWS = 20_000  # of the file, for coverage


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


def gains(file: File, rows: np.ndarray, num_apart: int) -> tuple[Interval, Interval]:
    """The gain in accuracy over the file, and for new rows, from trusted rows."""
    truth, hard, student = file.truth[rows], file.hard[rows], file.student[rows] > 0
    own, cheap = student == truth, hard == truth
    ahead, behind = int((own & ~cheap).sum()), int((cheap & ~own).sum())
    both, neither = int((own & cheap).sum()), int((~own & ~cheap).sum())
    right = share_of_file(ahead, ahead + behind, num_apart)
    return gain_by_disagreements(right, num_apart / NUM_ROWS), paired_gain(ahead, behind, both, neither)


def coverage(case: Case, num_trusted: int, num_runs: int) -> Covered:
    """How often each 95 % interval holds what is true of the whole file."""
    file, rng = make_file(case), np.random.default_rng([1, num_trusted])
    own, cheap = (file.student > 0) == file.truth, file.hard == file.truth
    num_apart = int(np.sum((file.student > 0) != file.hard))
    true_accuracy = float(np.mean(own) - np.mean(cheap))
    true_aurocs = [auroc(file.truth, file.student) - auroc(file.truth, score) for score in (file.hard, file.soft)]
    hits = np.zeros(4)
    for _ in range(num_runs):
        rows = rng.choice(NUM_ROWS, num_trusted, replace=False)
        accuracies = gains(file, rows, num_apart)
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


def power_of_judged(right: float, num_all: int | None = None) -> tuple[int, float]:
    """How many disagreements are said to be needed, and the exact chance that the interval then excludes one half."""
    from scipy.stats import binom, hypergeom

    num = disagreements_needed(right, num_all)
    assert num is not None
    found = [
        exact_share(k, num) if num_all is None else share_of_file(k, num, num_all)
        for k in range(num + 1)
        if num_all is None or num - k <= num_all - round(right * num_all)
    ]
    shown = [one.low > 0.5 if right > 0.5 else one.high < 0.5 for one in found]
    k = num + 1 - len(found) + np.flatnonzero(shown)
    chances = binom.pmf(k, num, right) if num_all is None else hypergeom.pmf(k, num_all, round(right * num_all), num)
    return num, float(np.sum(chances))


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


class World(NamedTuple):
    """A file on which student and labels are right equally often, to the row.

    `share`: of rows on which they disagree; `groups`: how many, each as large, with a rate of its own at which the
    student is right where they disagree (standard deviation `spread` in log-odds); 0: each row is a group.
    """

    num_rows: int = 1000
    share: float = 0.25
    groups: int = 0
    spread: float = 2.0

    def make(self, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
        """The file as `evidence` takes it, and its truth.

        The student is surer where it is right, so that suspicion goes with errors of the labels.
        """
        num, num_apart = self.num_rows, 2 * round(self.share * self.num_rows / 2)
        group = np.arange(num) if not self.groups else np.repeat(np.arange(self.groups), num // self.groups)
        apart = np.zeros(num, dtype=bool)
        apart[rng.permutation(num)[:num_apart]] = True
        lean = rng.normal(size=group.max() + 1)[group] * (self.spread if self.groups else 0.0)
        right = (rng.random(num) < expit(lean)) & apart
        excess = int(right.sum()) - num_apart // 2
        turned = rng.permutation(np.flatnonzero(right if excess > 0 else apart & ~right))[: abs(excess)]
        right[turned] = ~right[turned]
        truth = rng.random(num) < 0.5
        student = np.where(apart, np.where(right, truth, ~truth), np.where(rng.random(num) < 0.85, truth, ~truth))
        label = np.where(apart, ~student, student)
        size = np.exp(0.7 * rng.normal(size=num) + np.where(apart, right - 0.5, 0.5))
        log_odds = np.where(student, size, -size)
        frame = pd.DataFrame(
            {
                "apart": apart,
                "order": rng.permutation(num),
                "suspicion": np.where(label, expit(-log_odds), expit(log_odds)),
                "log_odds": log_odds,
                "label": label.astype(float),
                "fold": (group % 5) + 1,
                "length": rng.integers(20, 200, size=num),
                "group": group.astype(str),
            }
        )
        return frame, truth


Pick = Callable[[pd.DataFrame, np.ndarray, np.random.Generator], np.ndarray]


def verdict(
    file: pd.DataFrame, truth: np.ndarray, rows: np.ndarray, of: str = "file", hard: bool = True, listed: bool = False
) -> Evidence:
    """What is said from the truth of these rows; of="new": as if they were not in the file."""
    part = file.iloc[rows]
    columns = {name: part[name].to_numpy() for name in ("label", "log_odds", "group")}
    trusted = pd.DataFrame({"row": part.index.to_numpy(), "truth": truth[rows], **columns})
    if of == "new":
        return evidence(trusted, hard=hard, one_sided=False)
    population = (len(file), int(file["apart"].sum()))
    return evidence(trusted, hard=hard, one_sided=False, population=population, file=file, listed=listed)


def random_rows(num: int) -> Pick:
    return lambda file, truth, rng: rng.choice(len(file), num, replace=False)


def random_disagreements(num: int) -> Pick:
    return lambda file, truth, rng: rng.choice(np.flatnonzero(file["apart"]), num, replace=False)


def whole_groups(num: int) -> Pick:
    def pick(file: pd.DataFrame, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        names = rng.choice(file["group"].unique(), num, replace=False)
        return np.flatnonzero(file["group"].isin(names))

    return pick


def of_the_draw(judged: float = 1.0, skipped: float = 0.0, hard: bool = True) -> Pick:
    """The first part of to_judge.csv; of its rows on which the student is wrong this share is left empty."""

    def pick(file: pd.DataFrame, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        listed = file.assign(id=None, text="", row=file.index + 1)
        rows = rows_to_judge(listed, hard, {}).rows["row"].to_numpy(dtype=int) - 1
        rows = rows[: round(judged * len(rows))]
        wrong = (file["log_odds"].to_numpy()[rows] > 0) != truth[rows]
        return rows[~(wrong & (rng.random(len(rows)) < skipped))]

    return pick


def top(column: str, num: int, *, low: bool = False, only: str | None = None) -> Pick:
    """The rows that stand first when the file is sorted by a column; `only`: of disagreements, or of class 1."""

    def pick(file: pd.DataFrame, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        which = {None: slice(None), "apart": file["apart"], "class 1": file["label"] > 0.5}[only]
        return file[which].sort_values(column, ascending=low).index[:num].to_numpy()

    return pick


def surest(num: int) -> Pick:
    return lambda file, truth, rng: np.argsort(-np.abs(file["log_odds"].to_numpy()))[:num]


def one_class(num: int) -> Pick:
    return lambda file, truth, rng: rng.choice(np.flatnonzero(file["label"] > 0.5), num, replace=False)


def first_of_sorted(num: int) -> Pick:
    """The first rows of a file that was sorted by the student's probability before."""

    def pick(file: pd.DataFrame, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        order = np.argsort(-file["log_odds"].to_numpy())
        truth[:] = truth[order]
        for column in file.columns:
            file[column] = file[column].to_numpy()[order]
        return np.arange(num)

    return pick


def mixed(suspects: int, others: Pick) -> Pick:
    """The most suspicious disagreements, and other rows."""

    def pick(file: pd.DataFrame, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.union1d(top("suspicion", suspects, only="apart")(file, truth, rng), others(file, truth, rng))

    return pick


def agreements(num: int) -> Pick:
    return lambda file, truth, rng: rng.choice(np.flatnonzero(~file["apart"]), num, replace=False)


def oversampled(num: int) -> Pick:
    """Disagreements, the more suspicious half of which is drawn twice as often."""

    def pick(file: pd.DataFrame, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        part = file[file["apart"]]
        weight = np.where(part["suspicion"] > part["suspicion"].median(), 2.0, 1.0)
        return rng.choice(part.index, num, replace=False, p=weight / weight.sum())

    return pick


class Trial(NamedTuple):
    """One line of the table. `fair`: whether the rows may give a verdict at all."""

    name: str
    world: World
    pick: Pick
    of: str = "file"
    fair: bool = True


class Said(NamedTuple):
    """Shares of runs: a verdict, the rows taken for picked, and intervals that hold 0 among those that were given."""

    verdict: float
    refused: float
    covered: float


PLAIN, RARE, LARGE = World(), World(share=0.05), World(num_rows=4000)
AUTHORS, SMALL_GROUPS = World(2000, 0.4, groups=100), World(2000, 0.4, groups=400)
TRIALS = (
    *(Trial(f"{num} random rows", PLAIN, random_rows(num)) for num in (20, 60, 100, 400)),
    *(Trial(f"{num} random rows, 5 % disagreements", RARE, random_rows(num)) for num in (20, 100, 400)),
    Trial("100 random rows of 4,000", LARGE, random_rows(100)),
    *(Trial(f"{num} random disagreements", PLAIN, random_disagreements(num)) for num in (20, 80)),
    Trial("100 random rows, for new ones", LARGE, random_rows(100), "new"),
    Trial("20 random rows, for new ones", LARGE, random_rows(20), "new"),
    Trial("to_judge.csv", PLAIN, of_the_draw()),
    Trial("to_judge.csv, 5 % disagreements", RARE, of_the_draw()),
    Trial("to_judge.csv, its first half", PLAIN, of_the_draw(0.5)),
    Trial("to_judge.csv, 20 % of the student's errors left empty", PLAIN, of_the_draw(1.0, 0.2)),
    Trial("to_judge.csv, 100 groups", AUTHORS, of_the_draw()),
    *(
        Trial(f"all rows of {num} groups{', for new ones' if of == 'new' else ''}", world, whole_groups(num), of)
        for num, world in ((5, AUTHORS), (10, AUTHORS), (20, AUTHORS), (50, SMALL_GROUPS))
        for of in ("file", "new")
    ),
    Trial("100 random rows of 100 groups", AUTHORS, random_rows(100)),
    *(Trial(f"the first {num} of suspects.csv", PLAIN, top("suspicion", num), fair=False) for num in (10, 20, 40, 80)),
    Trial("the first 40 of suspects.csv, 5 % disagreements", RARE, top("suspicion", 40), fair=False),
    Trial("the 40 least suspicious disagreements", PLAIN, top("suspicion", 40, low=True, only="apart"), fair=False),
    Trial("the 100 highest p", PLAIN, top("log_odds", 100), fair=False),
    Trial("the first 100 of a file sorted by p", PLAIN, first_of_sorted(100), fair=False),
    Trial("100 of which the student is surest", PLAIN, surest(100), fair=False),
    Trial("100 random rows of class 1", PLAIN, one_class(100), fair=False),
    Trial("40 first suspects and 60 agreements", PLAIN, mixed(40, agreements(60)), fair=False),
    Trial("20 first suspects and 80 random rows", PLAIN, mixed(20, random_rows(80)), fair=False),
    Trial("10 first suspects and 90 random rows", PLAIN, mixed(10, random_rows(90)), fair=False),
    Trial("40 disagreements, suspicious ones twice as often", PLAIN, oversampled(40), fair=False),
    Trial("80 disagreements, suspicious ones twice as often", PLAIN, oversampled(80), fair=False),
)


def said(trial: Trial, num_runs: int, seed: int = 0) -> Said:
    """What is said in so many files."""
    rng = np.random.default_rng([3, seed])
    found: list[Evidence] = []
    for _ in range(num_runs if trial.fair else num_runs // 5):
        file, truth = trial.world.make(rng)
        rows = trial.pick(file, truth, rng)
        found.append(verdict(file, truth, rows, trial.of, listed=trial.name.startswith("to_judge.csv")))
    gains_given = [one.gain for one in found if one.gain is not None]
    return Said(
        float(np.mean([one.verdict in ("better", "worse") for one in found])),
        float(np.mean([bool(one.picked) for one in found])),
        float(np.mean([gain.low <= 0 <= gain.high for gain in gains_given])) if gains_given else float("nan"),
    )


SOFT = {
    "100 random rows": (random_rows(100), 2000),
    "30 random rows": (random_rows(30), 2000),
    "to_judge.csv": (of_the_draw(hard=False), 2000),
    "to_judge.csv of 200 rows": (of_the_draw(hard=False), 200),
    "the first 100 of suspects.csv": (top("suspicion", 100), 2000),
}


def said_of_soft_labels(pick: Pick, num_rows: int, num_runs: int, seed: int = 0) -> Said:
    """The same where labels are soft, of the gain in AUC: `verdict` is here how often the interval misses the truth."""
    rng = np.random.default_rng([4, seed, num_rows])
    found: list[Evidence] = []
    missed = 0
    for _ in range(num_runs):
        truth = rng.random(num_rows) < 0.5
        log_odds, label = (1.2 * (2 * truth - 1) + 1.5 * rng.normal(size=(2, num_rows))).astype(float)
        p = expit(label)
        file = pd.DataFrame(
            {
                "apart": (p > 0.5) != (log_odds > 0),
                "order": rng.permutation(num_rows),
                "suspicion": p * expit(-log_odds) + (1 - p) * expit(log_odds),
                "log_odds": log_odds,
                "label": p,
                "fold": np.arange(num_rows) % 5 + 1,
                "length": rng.integers(20, 200, size=num_rows),
                "group": np.arange(num_rows).astype(str),
            }
        )
        one = verdict(file, truth, pick(file, truth, rng), hard=False)
        found.append(one)
        gain = auroc(truth, log_odds) - auroc(truth, p)
        missed += one.gain is not None and not one.gain.low <= gain <= one.gain.high
    given = [one for one in found if one.gain is not None]
    refused = float(np.mean([bool(one.picked) for one in found]))
    return Said(missed / num_runs, refused, 1 - missed / len(given) if given else float("nan"))


def print_verdicts(num_runs: int) -> None:
    sys.stdout.write("| trusted rows | verdict (an error) | taken for picked | 0 in the interval |\n")
    for trial in TRIALS:
        one = said(trial, num_runs)
        covered = "–" if np.isnan(one.covered) else f"{one.covered:.3f}"
        sys.stdout.write(f"| {trial.name} | {one.verdict:.3f} | {one.refused:.3f} | {covered} |\n")
        sys.stdout.flush()
    for name, (pick, num_rows) in SOFT.items():
        one = said_of_soft_labels(pick, num_rows, num_runs)
        covered = "–" if np.isnan(one.covered) else f"{one.covered:.3f}"
        sys.stdout.write(f"| soft labels: {name} | {one.verdict:.3f} | {one.refused:.3f} | {covered} |\n")


def print_coverage(num_runs: int) -> None:
    titles = ["labels wrong", "skill, imitation", "positives", "trusted rows", *Covered._fields]
    sys.stdout.write(f"| {' | '.join(titles)} |\n")
    for case in CASES:
        for num_trusted in (30, 100, 400):
            covered = coverage(case, num_trusted, num_runs)
            cells = [f"{case.wrong:.0%}", f"{case.skill}, {case.imitation}", f"{case.positive:.0%}", str(num_trusted)]
            sys.stdout.write(f"| {' | '.join([*cells, *(f'{share:.3f}' for share in covered)])} |\n")
    for num_all in (None, 400):
        for right in (0.6, 2 / 3, 0.75, 0.9):
            num, power = power_of_judged(right, num_all)
            sys.stdout.write(f"| {right:.2f} of {num_all} | {num} | {power:.3f} |\n")
    for case in CASES:
        num, power = power_of_auroc(case, 150, num_runs // 4)
        sys.stdout.write(
            f"| {case.wrong:.0%} | {case.skill}, {case.imitation} | {case.positive:.0%} | {num} | {power:.3f} |\n"
        )


if __name__ == "__main__":
    which, *number = sys.argv[1:]
    {"coverage": print_coverage, "verdicts": print_verdicts}[which](int(number[0]) if number else 2000)
