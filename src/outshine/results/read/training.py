"""How the models behind a study's results were trained, checkpoint by checkpoint, and which rows filters dropped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from outshine.data.task import Task
from outshine.learn.settings import warmup_updates
from outshine.results.names import METHOD_COLUMNS
from outshine.results.read.artefacts import Reader, frame, students
from outshine.results.read.scores import roles
from outshine.results.training_notes import TRAINING_COLUMNS
from outshine.results.trajectories import TRAJECTORY_COLUMNS
from outshine.stats.auc_covariance import combine_seeds
from outshine.stats.auroc import auroc
from outshine.stats.intervals import Interval, auroc_interval
from outshine.w2s.expand import Experiment
from outshine.w2s.stages.finetune import Finetune, Student
from outshine.w2s.stages.labels import GroundTruth

FILTER_COLUMNS = (
    *METHOD_COLUMNS,
    *("seed", "split", "rows", "dropped", "dropped_fraction", "removed_by_components", "quota", "key"),
)

LEVEL = 0.95
_UNKNOWN = Interval(math.nan, math.nan, math.nan)


def read_training(study: str, experiments: Iterable[Experiment], reader: Reader) -> pd.DataFrame:
    """Columns TRAINING_COLUMNS, of the supervisors, ceilings and students of methods that were fine-tuned.

    `updates`, `warmup` (those before the learning rate falls), `chosen_update` and `num_validations`.

    `val_auroc`: the one by which the weights were chosen, against the labels that the model was given (NaN where they
    could not choose); `val_low`: the lower limit of its interval by groups, at 95 % for all validations together
    (Bonferroni), since the best was chosen. `test_auroc` and `test_low`: the same on test, where the interval is an
    ordinary one: against ground truth for supervisor and ceiling, for a student against labels of the source that it
    was trained on (NaN where that says nothing about test). Soft labels are hardened as validation does.

    `label_sd`: standard deviation of a student's training labels. `test_sd`, `test_one_side`: standard deviation of the
    test probabilities, and the share of test rows on the larger side of one half. `unknown_tokens`: the share of the
    tokens of its texts that its tokenizer does not know.
    """
    rows: dict[str, dict[str, Any]] = {}
    for run in sorted(experiments, key=lambda run: run.has_own_labels):  # the study's supervisor is told as such
        if run.purpose != "method":
            continue
        for facts, stage in roles(run):
            if isinstance(stage, Finetune) and stage.key not in rows:  # what several methods share is told once
                updates = _updates(stage, reader)
                learned = _learned(run, stage, reader, updates["num_validations"])
                rows[stage.key] = {**facts, "key": stage.key, **updates, **learned}
    return frame([*rows.values()], study, TRAINING_COLUMNS)


def _updates(stage: Finetune, reader: Reader) -> dict[str, Any]:
    curve, summary = stage.read_curve(reader.store), stage.summary(reader.store)
    chosen = curve.loc[curve["chosen"], "val_auroc"]
    return {
        "updates": len(curve),
        "warmup": warmup_updates(len(curve), stage.training.warmup_updates),
        "chosen_update": summary["chosen_update"],
        "num_validations": int(curve["val_auroc"].notna().sum()),
        "val_auroc": float(chosen.iloc[0]) if len(chosen) else math.nan,
        "unknown_tokens": summary.get("unknown_tokens", math.nan),  # not told by older versions
    }


def _learned(run: Experiment, stage: Finetune, reader: Reader, validations: int) -> dict[str, Any]:
    """How far the predictions go with the labels on val and on test, and how labels and predictions spread."""
    rows, predicted = reader.rows(run), reader.predictions(stage)
    rows = rows[(rows["split"] == "test") | ~rows.index.isin(stage.dropped(reader.store))]
    source = stage.label_source()
    known = isinstance(source, GroundTruth)
    rows = rows.assign(label=rows["y"] if known else source.read_labels(reader.store).reindex(rows.index))
    parts = {str(split): part for split, part in rows.groupby("split")}
    task = run.texts.task
    val = _auroc(task, parts["val"], predicted, 1 - (1 - LEVEL) / max(1, validations))
    test = _auroc(task, parts["test"], predicted, LEVEL)
    p = predicted["p"].loc[parts["test"].index]
    above = float((p > 0.5).mean())
    return {
        "val_rows": len(parts["val"]),
        "val_low": val.low,
        "test_rows": len(parts["test"]),
        "test_auroc": test.value,
        "test_low": test.low,
        "label_sd": math.nan if known else float(parts[stage.train_split]["label"].std(ddof=0)),
        "test_sd": float(p.std(ddof=0)),
        "test_one_side": max(above, 1 - above),
    }


def _auroc(task: Task, rows: pd.DataFrame, predicted: pd.DataFrame, level: float) -> Interval:
    """Against labels, hardened where they are soft; unknown where a label lacks or all are of one class."""
    labels = rows["label"].to_numpy()
    if np.isnan(labels).any():
        return _UNKNOWN
    y = task.classes(labels) if np.isin(labels, (0, 1)).all() else task.harden(labels).y
    if y is None or y.all() or not y.any():
        return _UNKNOWN
    scores = predicted["log_odds"].loc[rows.index].to_numpy()
    return auroc_interval(combine_seeds(y, scores[None, None], rows["group"].tolist()), 0, level)


def read_trajectories(study: str, experiments: Iterable[Experiment], reader: Reader) -> pd.DataFrame:
    """Columns TRAJECTORY_COLUMNS, for the students that a study runs twice."""
    rows = []
    runs = list(experiments)
    watched = {trajectory.run_again.key: trajectory for run in runs for trajectory in run.trajectories}
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


def read_filters(study: str, experiments: Iterable[Experiment], reader: Reader) -> pd.DataFrame:
    """Rows and dropped rows of each filtered split; `removed_by_components`: the fraction that TopoFilter's first step
    (TopoCC) removed, NaN for other filters; `quota`: the fraction that was asked for."""
    rows = []
    for _, _, student, facts in students(experiments):
        if not isinstance(student, Student) or student.keep is None:
            continue
        for split, counts in student.keep.summary(reader.store).items():
            if isinstance(counts, dict):
                share = {"dropped_fraction": counts["dropped"] / counts["rows"], "quota": student.keep.drop}
                rows.append({**facts, "split": split, **counts, **share, "key": student.keep.key})
    return frame(rows, study, FILTER_COLUMNS)
