"""Diagnostics of every student on test, one row a seed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
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
        weak = reader.weak_probabilities(run).reindex(test.index).to_numpy()
        diagnosis = diagnose(
            test["y"].to_numpy(),
            None if np.isnan(weak).any() else weak,
            reader.probabilities(student).loc[test.index].to_numpy(),
            reader.probabilities(run.ceiling).loc[test.index].to_numpy(),
        )
        rows.append({**facts, **diagnosis._asdict()})
    return frame(rows, study, DIAGNOSTIC_COLUMNS)
