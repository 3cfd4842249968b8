"""How often the intervals of the ladder of `outshine label` hold what is true, on files made up for it.

    python benchmarks/label_coverage.py --draws 400

Each run makes a file anew, draws trusted rows, and compares what is claimed with what is true of all rows that were not
trusted: the gain of the recommended labels, with the choice among seven made each time, and the share of class 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from scipy.special import expit

from outshine.labelling.ladder import climb
from outshine.labelling.options import Scores
from outshine.labelling.trusted_sample import Trusted

NUM_ROWS, WIDTH = 1500, 20


class Case(NamedTuple):
    """A kind of file, and how trusted rows are drawn from it.

    `share`: of class 1. `false_positive`, `false_negative`: how often the cheap labels err in each class. `skill`: how
    well the student follows the truth that the texts hold. `clear`: how much they hold. `groups`: rows of a group,
    which share part of their texts, and whole groups are trusted. `by_disagreement`: four of five trusted rows are
    such on which student and label disagree.
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


CASES = (
    *(Case(f"{num} trusted rows", num) for num in (30, 60, 150)),
    Case("labels call too much class 1", share=0.4, false_positive=0.45, false_negative=0.05),
    Case("labels call too little class 1", share=0.6, false_positive=0.05, false_negative=0.5),
    Case("class 1 is rare", 100, share=0.12, false_positive=0.1, false_negative=0.3),
    Case("texts tell nothing: seven ways equally good or worse", skill=0.0, clear=0.0),
    Case("labels are better than any student", false_positive=0.05, false_negative=0.05),
    Case("20 groups of 5 rows", 100, groups=5),
    Case("drawn by disagreement", 100, by_disagreement=True),
)


class Outcome(NamedTuple):
    """One run: whether intervals hold what is true, whether a gain is claimed that is none, the interval's width."""

    gain: bool
    share: bool
    false_claim: bool
    width: float


def one(case: Case, seed: int) -> Outcome | None:
    """Make a file, draw trusted rows, and compare; None where nothing can be said."""
    rng = np.random.default_rng([seed, case.num_trusted])
    size = case.groups or 1
    shared = np.repeat(rng.normal(size=(NUM_ROWS // size, WIDTH)), size, axis=0)
    embedding = (0.7 * shared + np.sqrt(1 - 0.49) * rng.normal(size=(NUM_ROWS, WIDTH))) if case.groups else shared
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
    share = ladder.class_share.share
    return Outcome(
        ladder.gain.low <= gain <= ladder.gain.high,
        share.low <= float(truth.mean()) <= share.high,
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
    for line in lines(CASES, parser.parse_args().draws):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
