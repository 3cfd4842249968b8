"""How often the intervals of the ladder of `outshine label` hold what is true, on files made up for it.

    python benchmarks/label_coverage.py --draws 400

Each run makes a file anew, draws trusted rows, and compares what is claimed with what is true of all rows that were not
trusted: the gain of the recommended labels, with the choice among seven made each time, and the share of class 1, or of
each of several classes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax

from outshine.labelling.ladder import climb
from outshine.labelling.options import Scores
from outshine.labelling.trusted_sample import Trusted, predicted, unknown

NUM_ROWS, WIDTH = 1500, 20


class Case(NamedTuple):
    """A kind of file, and how trusted rows are drawn from it.

    `share`: of class 1. `false_positive`, `false_negative`: how often the cheap labels err in each class. `skill`: how
    well the student follows the truth that the texts hold. `clear`: how much they hold. `groups`: rows of a group,
    which share part of their texts, and whole groups are trusted. `by_disagreement`: four of five trusted rows are
    such on which student and label disagree. `classes`: of several the errors fall on any other class, and `share` and
    `false_negative` say nothing. `silent`: share of rows without a cheap label.
    """

    name: str
    num_trusted: int = 60
    share: float = 0.5
    false_positive: float = 0.3
    false_negative: float = 0.3
    skill: float = 1.0
    clear: float = 1.5
    groups: int = 0
    by_disagreement: bool = False
    classes: int = 2
    silent: float = 0.0


CASES = (
    *(Case(f"{num} trusted rows", num) for num in (30, 60, 150)),
    Case("labels call too much class 1", share=0.4, false_positive=0.45, false_negative=0.05),
    Case("labels call too little class 1", share=0.6, false_positive=0.05, false_negative=0.5),
    Case("class 1 is rare", 100, share=0.12, false_positive=0.1, false_negative=0.3),
    Case("texts tell nothing: seven ways equally good or worse", skill=0.0, clear=0.0),
    Case("labels are better than any student", false_positive=0.05, false_negative=0.05),
    Case("20 groups of 5 rows", 100, groups=5),
    Case("drawn by disagreement", 100, by_disagreement=True),
    *(Case("four classes", num, classes=4) for num in (60, 150)),
    Case("four classes, a third without a cheap label", 150, classes=4, silent=1 / 3),
    Case("four classes, 20 groups of 5 rows", 100, classes=4, groups=5),
)


class Outcome(NamedTuple):
    """One run: whether intervals hold what is true, whether a gain is claimed that is none, the interval's width.

    `share`: of several classes the share of them whose interval holds.
    """

    gain: bool
    share: float
    false_claim: bool
    width: float


def one(case: Case, seed: int) -> Outcome | None:
    """Make a file, draw trusted rows, and compare; None where nothing can be said."""
    rng = np.random.default_rng([seed, case.num_trusted])
    size = case.groups or 1
    shared = np.repeat(rng.normal(size=(NUM_ROWS // size, WIDTH)), size, axis=0)
    embedding = (0.7 * shared + np.sqrt(1 - 0.49) * rng.normal(size=(NUM_ROWS, WIDTH))) if case.groups else shared
    if case.classes > 2:
        return one_of_classes(case, rng, embedding, size)
    signal = case.clear * embedding[:, 0]
    offset = np.log(case.share / (1 - case.share)) * np.sqrt(1 + case.clear**2 / 3)
    truth = rng.random(NUM_ROWS) < expit(offset + signal)
    wrong = rng.random(NUM_ROWS) < np.where(truth, case.false_negative, case.false_positive)
    label = (truth ^ wrong).astype(float)
    student = case.skill * (signal + offset) + rng.normal(size=NUM_ROWS)
    group = np.arange(NUM_ROWS) // size
    apart = (student > 0) != (label > 0.5)
    if case.groups:
        names = rng.choice(group.max() + 1, case.num_trusted // size, replace=False)
        rows = np.flatnonzero(np.isin(group, names))
    elif case.by_disagreement:
        num = round(0.8 * case.num_trusted)
        part = rng.choice(np.flatnonzero(apart), num, replace=False)
        rows = np.r_[part, rng.choice(np.flatnonzero(~apart), case.num_trusted - num, replace=False)]
    else:
        rows = rng.choice(NUM_ROWS, case.num_trusted, replace=False)
    trusted = Trusted(rows, truth[rows], np.ones(len(rows)), group[rows].astype(str))
    everything = np.ones(NUM_ROWS, dtype=bool)
    scores = Scores(student, label, embedding / np.sqrt(WIDTH))
    ladder = climb(scores, trusted, in_file=everything, by_disagreement=case.by_disagreement)
    if ladder is None:
        return None
    rest = np.setdiff1d(np.arange(NUM_ROWS), rows)
    gain = float(np.mean((ladder.log_odds[rest] > 0) == truth[rest]) - np.mean((label[rest] > 0.5) == truth[rest]))
    share = ladder.class_shares[0].share
    return Outcome(
        ladder.gain.low <= gain <= ladder.gain.high,
        share.low <= float(truth.mean()) <= share.high,
        ladder.verdict == "better" and gain <= 0,
        ladder.gain.high - ladder.gain.low,
    )


def one_of_classes(case: Case, rng: np.random.Generator, embedding: NDArray[np.float64], size: int) -> Outcome | None:
    """The same with several classes, the first of which is three times as common as the last."""
    num = case.classes
    logits = 1.5 * case.clear * embedding[:, :num] + np.linspace(0.5, -0.6, num)
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    wrong = rng.random(NUM_ROWS) < case.false_positive
    given = np.where(wrong, (truth + rng.integers(1, num, size=NUM_ROWS)) % num, truth)
    label = np.eye(num)[given]
    label[rng.random(NUM_ROWS) < case.silent] = np.nan
    student = log_softmax(case.skill * logits + rng.normal(size=logits.shape), axis=1)
    group = np.arange(NUM_ROWS) // size
    names = rng.choice(group.max() + 1, case.num_trusted // size, replace=False)
    rows = np.flatnonzero(np.isin(group, names))
    silent = unknown(label)

    def trusted(which: NDArray[np.int64]) -> Trusted:
        return Trusted(which, truth[which], np.ones(len(which)), group[which].astype(str))

    ladder = climb(
        Scores(student, label, embedding / np.sqrt(WIDTH)),
        trusted(rows[~silent[rows]]),
        in_file=np.ones(NUM_ROWS, dtype=bool),
        unlabelled=trusted(rows[silent[rows]]),
    )
    if ladder is None:
        return None
    rest = np.setdiff1d(np.flatnonzero(~silent), rows)
    right, labels_right = predicted(ladder.log_odds) == truth, given == truth
    gain = float(np.mean(right[rest]) - np.mean(labels_right[rest]))
    shares = np.bincount(truth, minlength=num) / NUM_ROWS
    return Outcome(
        ladder.gain.low <= gain <= ladder.gain.high,
        float(np.mean([part.share.low <= shares[part.number] <= part.share.high for part in ladder.class_shares])),
        ladder.verdict == "better" and gain <= 0,
        ladder.gain.high - ladder.gain.low,
    )


def lines(cases: Iterable[Case], draws: int) -> Iterable[str]:
    """The table, a line at a time."""
    yield "| case | trusted rows | gain held | class share held | better, and it is not | width of the gain |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for case in cases:
        with patch("outshine.labelling.ladder._worth", return_value=None):  # nothing of it is compared, and it is slow
            found = [outcome for seed in range(draws) if (outcome := one(case, seed)) is not None]
        gain, share, false_claim, width = np.mean(found, axis=0)
        yield f"| {case.name} | {case.num_trusted} | {gain:.3f} | {share:.3f} | {false_claim:.3f} | {width:.3f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--only", default="", help="cases whose names begin so")
    options = parser.parse_args()
    for line in lines([case for case in CASES if case.name.startswith(options.only)], options.draws):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
