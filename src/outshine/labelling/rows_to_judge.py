"""Rows for a person to judge: drawn at random in a fixed order, and recognised when they come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from outshine.engine.rng import stream_seed
from outshine.labelling.rows import NUM_TO_JUDGE
from outshine.stats.auroc import Bools

AGREEMENTS = 0.2  # of the rows to judge: they tell nothing of the gain in accuracy, but the levels need them
MOST_EMPTY = 0.2  # of the rows of a draw: with more left out it is no longer taken for one
FEWEST = 10  # judged rows from which a draw is known again; fewer lie at the beginning of the order by chance

DISAGREE, AGREE, ALL = "disagree", "agree", "all"


class Start(NamedTuple):
    """How far a draw was judged: so many rows of the order, and how many of these were left empty."""

    length: int
    num_empty: int


class ToJudge(NamedTuple):
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
    """The place of each row [n] in the random order in which rows are judged, from 0.

    It depends on the row's own id and on nothing else: not on labels, predictions, seeds, or who asks. The first k rows
    of any part of the file, in this order, are a random draw of k from it.
    """
    keys = np.array([stream_seed("label-judge", name) for name in ids], dtype=np.uint64)
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[np.argsort(keys, kind="stable")] = np.arange(len(keys))
    return ranks


def strata(apart: Bools, hard: bool) -> dict[str, Bools]:
    """Which rows are drawn from together: disagreements and agreements apart where accuracy decides, else all."""
    if not hard:
        return {ALL: np.ones(len(apart), dtype=bool)}
    return {DISAGREE: apart, AGREE: ~apart}


def start_of_draw(judged: Bools, listed: bool = False) -> Start | None:
    """How far a part of the file was judged in its order; None: these rows are no such draw.

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
    found = Start(int(length[best]), int(empty[best]))
    if listed:
        return found
    used = best + 1
    enough = used >= min(FEWEST, len(judged)) and 2 * used >= total
    return found if enough and found.num_empty <= MOST_EMPTY * found.length else None


def rows_to_judge(file: pd.DataFrame, hard: bool, known: Mapping[int, bool], num_rows: int = NUM_TO_JUDGE) -> ToJudge:
    """The first rows of the order, a few from the agreements; as many more as it takes to hold one not yet judged.

    `file`: a row each that has a cheap label and a prediction: row (from 1), id, text, apart, order. `known`: truth by
    row. Rows whose truth is known keep their place, so that the list is a whole draw again when it is handed back.
    """
    parts = {
        name: file[which].sort_values("order") for name, which in strata(file["apart"].to_numpy(bool), hard).items()
    }
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
    return ToJudge(chosen.assign(truth=pd.Series(truth, dtype=object, index=chosen.index))[columns], sizes)


def _chosen(parts: Mapping[str, pd.DataFrame], num_rows: int) -> pd.DataFrame:
    """The first rows of each part, mixed evenly: every beginning of the list has nearly the shares of the whole."""
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
