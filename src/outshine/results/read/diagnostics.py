"""Diagnostics of every student on test, one row a seed."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from outshine.results.diagnostics import DIAGNOSTIC_COLUMNS, diagnose
from outshine.results.read.artefacts import Reader, frame, students
from outshine.w2s.expand import Experiment


def read_diagnostics(study: str, experiments: Iterable[Experiment], reader: Reader) -> pd.DataFrame:
    """Columns DIAGNOSTIC_COLUMNS; sweeps are left out."""
    rows = []
    for run, _, student, facts in students(run for run in experiments if run.purpose != "sweep"):
        scored = reader.rows(run)
        test = scored[scored["split"] == "test"]
        weak = reader.weak_probabilities(run).reindex(test.index)
        diagnosis = diagnose(
            test["y"].to_numpy(),
            None if weak.isna().any() else weak.to_numpy(),
            reader.predictions(student)["p"].loc[test.index].to_numpy(),
            reader.predictions(run.ceiling)["p"].loc[test.index].to_numpy(),
        )
        rows.append({**facts, **diagnosis._asdict()})
    return frame(rows, study, DIAGNOSTIC_COLUMNS)
