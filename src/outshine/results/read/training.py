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
from outshine.results.read.artefacts import Reader, frame, ranking_metric, students
from outshine.results.read.scores import roles
from outshine.results.training_notes import TRAINING_COLUMNS
from outshine.results.trajectories import TRAJECTORY_COLUMNS
from outshine.stats.intervals import Interval
from outshine.w2s.expand import Experiment
from outshine.w2s.stages.finetune import Finetune, Student
from outshine.w2s.stages.labels import GroundTruth, LabelTable

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
    test probabilities, and the share of test rows on the larger side of one half. Of several classes: `_spread`, and
    the share of the class that is called most often. `unknown_tokens`: the share of the tokens of its texts that its
    tokenizer does not know.
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
    rows, scores = reader.rows(run), reader.scores(stage)
    rows = rows[(rows["split"] == "test") | ~rows.index.isin(stage.dropped(reader.store))]
    source = stage.label_source()
    known = isinstance(source, GroundTruth)
    labels, task = source.read_labels(reader.store).reindex(rows.index), run.texts.task
    parts = {str(split): part for split, part in rows.groupby("split")}
    val = _auroc(task, parts["val"], labels, known, scores, 1 - (1 - LEVEL) / max(1, validations))
    test = _auroc(task, parts["test"], labels, known, scores, LEVEL)
    p = reader.probabilities(stage).loc[parts["test"].index]
    return {
        "val_rows": len(parts["val"]),
        "val_low": val.low,
        "test_rows": len(parts["test"]),
        "test_auroc": test.value,
        "test_low": test.low,
        "label_sd": math.nan if known else _spread(labels.loc[parts[stage.train_split].index]),
        "test_sd": _spread(p),
        "test_one_side": _one_side(task.classes(p.to_numpy())),
    }


def _spread(p: LabelTable) -> float:
    """The standard deviation of probabilities; of several classes √(½ Σₖ varianceₖ), which for two is the same."""
    return float(p.std(ddof=0) if isinstance(p, pd.Series) else np.sqrt(p.var(ddof=0).sum() / 2))


def _one_side(classes: np.ndarray) -> float:
    """The share of the class that most rows are called."""
    if classes.dtype == np.bool_:
        above = float(classes.mean())
        return max(above, 1 - above)
    return float(np.bincount(classes).max() / len(classes))


_LEAST_GROUPS = 5  # of a class, for limits that rest on it


def _auroc(
    task: Task, rows: pd.DataFrame, labels: LabelTable, known: bool, scores: LabelTable, level: float
) -> Interval:
    """Against labels, hardened where they are soft; unknown where a label lacks or all are of one class.

    Where there are more classes than two, the limits rest on those whose rows lie in five groups or more: the variance
    of the others is hardly known or not at all, and of many classes some are nearly always called for few rows only.
    """
    given = labels.loc[rows.index].to_numpy()
    if np.isnan(given).any():
        return _UNKNOWN
    y = task.classes(given) if known or np.isin(given, (0, 1)).all() else task.harden(given).y
    if y is None or len(np.unique(y)) < 2:
        return _UNKNOWN
    metric, own, groups = ranking_metric(task), scores.loc[rows.index].to_numpy(), rows["group"].to_numpy()

    def measured(chosen: np.ndarray) -> Interval:
        values = metric.combine_seeds(y[chosen], own[chosen][None, None], groups[chosen].tolist())
        return metric.interval(values, 0, level)

    every = np.ones(len(y), dtype=bool)
    found = measured(every)
    several = pd.Series(groups).groupby(y).transform("nunique", dropna=False).to_numpy() >= _LEAST_GROUPS
    if several.all() or len(np.unique(y[several])) < 2:
        return found
    return measured(several)._replace(value=found.value)


def read_trajectories(study: str, experiments: Iterable[Experiment], reader: Reader) -> pd.DataFrame:
    """Columns TRAJECTORY_COLUMNS, for the students that a study runs twice."""
    rows = []
    runs = list(experiments)
    watched = {trajectory.run_again.key: trajectory for run in runs for trajectory in run.trajectories}
    for run, _, student, facts in students(run for run in runs if run.purpose == "method"):
        trajectory = watched.get(student.key)
        if trajectory is None:
            continue
        task = run.texts.task
        metric = ranking_metric(task)
        scored, curve = reader.rows(run), trajectory.read_curve(reader.store).set_index("step")
        for step, predicted in trajectory.read(reader.store).groupby("step"):
            y = scored["y"].loc[predicted["id"]].to_numpy()
            measured = metric.value(y, task.scores_in(predicted).to_numpy())
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
