"""Rows for a person to judge: drawn at random, recognised when they come back, and told from rows that were picked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from outshine.engine.rng import stream_seed
from outshine.labelling.rows import NUM_TO_JUDGE
from outshine.stats.auroc import Bools
from outshine.stats.random_sample_tests import SampleTest, random_sample_tests

AGREEMENTS = 0.2  # of the rows to judge: they tell nothing of the gain in accuracy, but the levels need them
MOST_EMPTY = 0.2  # of the rows of a draw: with more left out it is no longer taken for one
FEWEST = 10  # judged rows from which a draw is known again; fewer lie at the beginning of the order by chance

DISAGREE, AGREE, ALL = "disagree", "agree", "all"

UNLIKE = 0.01  # p, over all tests, below which trusted rows are taken to be picked, not drawn


_MEASURES = {  # by what rows may have been picked
    "suspicion": "suspicion",
    "log_odds": "the student's probability",
    "certainty": "how sure the student is",
    "place": "their place in the file",
    "length": "the length of their texts",
    "class": "their cheap label",
    "fold": "their fold",
}
_SHIFTS = ("higher", "lower")


_WAYS = {
    "higher": "on the whole it is higher",
    "lower": "on the whole it is lower",
    "at both ends": "too many lie at both ends",
    "in the middle": "too many lie in the middle",
    "highest": "too many are among the highest",
    "lowest": "too many are among the lowest",
    "share": "one of its values has another share",
}


class AnnotationProgress(NamedTuple):
    """How far a draw was judged: so many rows of the order, and how many of these were left empty."""

    length: int
    num_empty: int


class AnnotationSample(NamedTuple):
    """The rows of `to_judge.csv`, in the order in which to judge them.

    Attributes:
        rows: Columns row (place in the file, from 1), id, text, truth (known already, else missing), stratum, weight
            (rows of its stratum that each stands for when all are judged).
        sizes: Stratum -> rows listed, and rows of the file.
    """

    rows: pd.DataFrame
    sizes: dict[str, tuple[int, int]]

    @property
    def num_open(self) -> int:
        """Rows whose truth is not known yet."""
        return int(self.rows["truth"].isna().sum())


def judging_order(ids: Sequence[str]) -> np.ndarray:
    """Return the place of each row [n] in the random order in which rows are judged, from 0.

    It depends on the row's own id and on nothing else: not on labels, predictions, seeds, or who asks. The first k rows
    of any part of the file, in this order, are a random draw of k from it.
    """
    keys = np.array([stream_seed("label-judge", name) for name in ids], dtype=np.uint64)
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[np.argsort(keys, kind="stable")] = np.arange(len(keys))
    return ranks


def strata(apart: Bools, hard: bool) -> dict[str, Bools]:
    """Say which rows are drawn from together: disagreements and agreements apart where accuracy decides, else all."""
    if not hard:
        return {ALL: np.ones(len(apart), dtype=bool)}
    return {DISAGREE: apart, AGREE: ~apart}


def start_of_draw(judged: Bools, listed: bool = False) -> AnnotationProgress | None:
    """Find how far a part of the file was judged in its order; None: these rows are no such draw.

    `judged`: of each row of that part, in the order. The draw ends where the limits of a share, one half of which is
    right, would be narrowest, with rows that were left empty counted for and against: this looks at which rows were
    judged and not at what was found. `listed`: the rows come from a to_judge.csv, however many of it are empty.
    """
    total = int(judged.sum())
    if not total:
        return None
    length = np.flatnonzero(judged) + 1
    empty = length - np.arange(1, total + 1)
    width = 2 * np.sqrt((1 - length / len(judged)) / length) + empty / length
    best = int(np.argmin(width))
    start = AnnotationProgress(int(length[best]), int(empty[best]))
    if listed:
        return start
    used = best + 1
    enough = used >= min(FEWEST, len(judged)) and 2 * used >= total
    return start if enough and start.num_empty <= MOST_EMPTY * start.length else None


def rows_to_judge(
    file: pd.DataFrame, hard: bool, known: Mapping[int, bool], num_rows: int = NUM_TO_JUDGE
) -> AnnotationSample:
    """Return the first rows of the order, a few from the agreements; more where all of these are judged already.

    `file`: a row each that has a cheap label and a prediction: row (from 1), id, text, apart, order. `known`: truth by
    row. Rows whose truth is known keep their place, so that the list is a whole draw again when it is handed back.
    """
    parts = {name: file[rows].sort_values("order") for name, rows in strata(file["apart"].to_numpy(bool), hard).items()}
    if hard and not len(parts[DISAGREE]):  # nothing is left to find out
        parts = {name: part.head(0) for name, part in parts.items()}
    chosen, wanted = _chosen(parts, num_rows), num_rows
    decisive = set(parts[DISAGREE if hard else ALL]["row"])
    while set(chosen["row"]) <= set(known) and not decisive <= set(known):
        wanted += num_rows
        chosen = _chosen(parts, wanted)
    truth = [known.get(row) for row in chosen["row"]]
    sizes = {name: (int((chosen["stratum"] == name).sum()), len(part)) for name, part in parts.items()}
    columns = ["row", "id", "text", "truth", "stratum", "weight"]
    return AnnotationSample(chosen.assign(truth=pd.Series(truth, dtype=object, index=chosen.index))[columns], sizes)


def _chosen(parts: Mapping[str, pd.DataFrame], num_rows: int) -> pd.DataFrame:
    """Take the first rows of each part, mixed evenly: every beginning of the list has nearly the whole's shares."""
    wanted = dict.fromkeys(parts, num_rows)
    if AGREE in parts:
        agreements = min(round(AGREEMENTS * num_rows), len(parts[AGREE]))
        wanted = {DISAGREE: num_rows - agreements, AGREE: agreements}
    pieces = []
    for name, part in parts.items():
        piece = part.head(wanted[name])
        num = max(len(piece), 1)
        place = (np.arange(len(piece)) + 0.5) / num
        pieces.append(piece.assign(stratum=name, weight=len(part) / num, place=place))
    return pd.concat(pieces).sort_values(["place", "order"]).reset_index(drop=True)


def why_no_draw(file: pd.DataFrame, taken: Bools, hard: bool) -> str:
    """Say in what the rows `taken` [n] of the file cannot be a random draw; "" where they may be one.

    Disagreements and agreements are tested apart, with Bonferroni's correction over all tests of both: a random draw is
    taken for a picked one in at most `UNLIKE` of cases. Half of that goes to the one test of whether the disagreements
    are more, or less, suspicious than others: that is how rows of suspects.csv differ.
    """
    apart = file["apart"].to_numpy(dtype=bool)
    parts = {kind: rows for kind, rows in (("disagree", apart), ("agree", ~apart)) if rows.any()}
    tests = [(test, kind) for kind, rows in parts.items() for test in _draw_tests(file[rows], taken[rows], hard)]
    if not tests:
        return ""
    corrected = [
        2 * test.p * (1 if kind == "disagree" and test.measure == "suspicion" and test.how in _SHIFTS else len(tests))
        for test, kind in tests
    ]
    best = int(np.argmin(corrected))
    if corrected[best] >= UNLIKE:
        return ""
    (measure, how, _), kind = tests[best]
    rows = parts[kind]
    return (
        f"of the {int(rows.sum())} rows on which student and label {kind}, the {int(taken[rows].sum())} trusted ones "
        f"differ from a random draw in {_MEASURES[measure]}: {_WAYS[how]} (p {_p_text(corrected[best])}, corrected for "
        f"{len(tests)} tests)"
    )


def _draw_tests(part: pd.DataFrame, taken: Bools, hard: bool) -> list[SampleTest]:
    """Test whether the rows `taken` of a part of the file are a random draw from it, by each measure."""
    log_odds = part["log_odds"].to_numpy()
    measures = {
        "suspicion": part["suspicion"].to_numpy(),
        "log_odds": log_odds,
        "place": part.index.to_numpy(),
        "length": part["length"].to_numpy(),
    }
    if not hard:  # else the same order as by suspicion
        measures["certainty"] = np.abs(log_odds)
    label = part["label_class"].to_numpy() if "label_class" in part else part["label"].to_numpy() > 0.5
    classes = {"class": label, "fold": part["fold"].to_numpy()}
    return random_sample_tests(taken, measures, classes, part["group"].to_numpy(str))


def _p_text(p: float) -> str:
    return f"= {p:.3f}".replace("0.", ".") if p >= 0.001 else "< .001"
