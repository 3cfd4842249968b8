"""AUROCs along training, one row a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from outshine.results.read.artefacts import Reader, frame, students
from outshine.results.trajectories import TRAJECTORY_COLUMNS
from outshine.stats.auroc import auroc
from outshine.w2s.expand import Experiment


def read_trajectories(study: str, experiments: Iterable[Experiment], reader: Reader) -> pd.DataFrame:
    """Columns TRAJECTORY_COLUMNS, for the students that a study runs twice."""
    rows = []
    runs = list(experiments)
    watched = {one.run_again.key: one for run in runs for one in run.trajectories}
    for run, _, student, facts in students(run for run in runs if run.purpose == "method"):
        trajectory = watched.get(student.key)
        if trajectory is None:
            continue
        scored, curve = reader.rows(run), trajectory.read_curve(reader.store).set_index("step")
        for step, predicted in trajectory.read(reader.store).groupby("step"):
            y = run.texts.task.classes(scored["y"].loc[predicted["id"]].to_numpy())
            measured = auroc(y, predicted["log_odds"].to_numpy())
            of_curve = {"val_auroc": curve["val_auroc"][step], "chosen": bool(curve["chosen"][step])}
            rows.append({**facts, "step": step, "test_auroc": measured, **of_curve})
    return frame(rows, study, TRAJECTORY_COLUMNS)
