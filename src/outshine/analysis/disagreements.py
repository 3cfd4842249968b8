"""Where a student and its supervisor call a row differently, the rows that the student is surest of first."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from outshine.analysis.identity import require_columns
from outshine.core.errors import DataError

COLUMNS = ("y", "p_weak", "p_student")


class Disagreements(NamedTuple):
    """How often student and supervisor differ on test, who is right then, and rows to read.

    `rows`: index id; y, p_weak, p_student and `student_right`, in order of falling |p_student − ½| (equal ones by id).
    They are chosen by the student's confidence alone, whoever is right. The counts are over all `num_rows`.
    `one_sided`: the supervisor gives every row the same hard label, so that differing says little about it.
    """

    num_rows: int
    num_apart: int
    num_student_right: int
    one_sided: bool
    rows: pd.DataFrame


def disagreements(scored: pd.DataFrame, most: int) -> Disagreements:
    """Rows whose hard labels (P(y = 1) > ½) differ, and the `most` of them that the student is surest of.

    `scored`: index row id, columns `y` (truth, 0 or 1), `p_weak` and `p_student` (probabilities).
    Raises DataError for a missing column, no rows, or a probability that is unknown.
    """
    require_columns(scored, COLUMNS, "the rows")
    found = scored[list(COLUMNS)]
    if found.empty or found.isna().to_numpy().any():
        raise DataError("disagreements need rows, each with its truth and both probabilities")
    weak, student, truth = (found[name] > 0.5 for name in ("p_weak", "p_student", "y"))
    apart = found.assign(student_right=student == truth)[weak != student]
    surest = apart.sort_index().assign(doubt=-(apart["p_student"] - 0.5).abs()).sort_values("doubt", kind="stable")
    return Disagreements(
        num_rows=len(found),
        num_apart=len(apart),
        num_student_right=int(apart["student_right"].sum()),
        one_sided=bool(weak.nunique() == 1),
        rows=surest.drop(columns="doubt").head(most),
    )
