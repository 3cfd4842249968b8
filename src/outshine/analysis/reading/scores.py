"""Scores: AUROC and accuracy of every role on every split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from outshine.analysis.identity import METHOD_COLUMNS, NO_METHOD
from outshine.analysis.reading.artefacts import Reader, method_facts, run_facts
from outshine.metrics.auroc import accuracy
from outshine.metrics.intervals import auroc_interval
from outshine.metrics.placements import combine_seeds
from outshine.stages.predictor import Predictor
from outshine.studies.expand import Experiment

SPLITS = ("strong_train", "val", "test")
SCORE_COLUMNS = (
    *METHOD_COLUMNS,
    *("seed", "role", "split", "n", "num_groups", "auroc", "auroc_low", "auroc_high", "accuracy", "key"),
)


def read_scores(experiments: Iterable[Experiment], reader: Reader) -> list[dict[str, Any]]:
    """A row per role, split and seed; supervisor and ceiling once, though every method has them."""
    scored: dict[tuple[Any, ...], dict[str, Any]] = {}
    for run in experiments:
        for facts, stage in roles(run):
            which = (run.prepare.key, *facts.values())
            if (*which, SPLITS[-1]) in scored:
                continue
            for split, measured in split_scores(run, stage, reader).items():
                scored[(*which, split)] = {**facts, "split": split, **measured}
    return list(scored.values())


def split_scores(run: Experiment, stage: Predictor | None, reader: Reader) -> dict[str, dict[str, Any]]:
    """What is measured of a stage on each split that it predicts; None: of the experiment's weak labels."""
    rows = reader.rows(run)
    score = reader.weak_scores(run) if stage is None else reader.predictions(stage)["log_odds"]
    measured = {}
    for split in SPLITS:
        part = rows[rows["split"] == split]
        found = score.reindex(part.index).to_numpy()
        if not np.isnan(found).any():
            measured[split] = measure(part, found)
    return measured


def roles(run: Experiment) -> Iterator[tuple[dict[str, Any], Predictor | None]]:
    """What each role's rows say, and the stage that predicts; None: weak labels that no single model makes.

    Supervisor and ceiling, which methods share, are of no method. Where a method has supervisors of its own, its row of
    the role weak bears the method's name, so that no table takes it for the study's supervisor.
    """
    facts = {**run_facts(run), "seed": run.seed}
    weak = {"role": "weak", "key": run.weak.key if run.weak else ""}
    if run.own_labels:
        yield {**facts, **method_facts(run, len(run.students) - 1), **weak}, run.weak
    else:
        yield {**facts, **NO_METHOD, "loss": "xent" if run.weak else "", **weak}, run.weak
    ceiling = {"loss": "xent", "role": "ceiling", "key": run.ceiling.key}
    yield {**facts, **NO_METHOD, **ceiling}, run.ceiling
    for number, student in enumerate(run.students):
        named = {**method_facts(run, number), "role": "student", "key": student.key}
        yield {**facts, **named}, student


def measure(part: pd.DataFrame, score: np.ndarray) -> dict[str, Any]:
    """AUROC with its interval by group, and accuracy, of one role on one split."""
    y = part["y"].to_numpy() > 0.5
    facts: dict[str, Any] = {"n": len(y), "num_groups": 0, "accuracy": accuracy(y, score)}
    if y.all() or not y.any():  # no AUC without both classes; test always has both
        return {**facts, "auroc": np.nan, "auroc_low": np.nan, "auroc_high": np.nan}
    aucs = combine_seeds(y, score[None, None], part["group"].tolist())
    found = auroc_interval(aucs, 0)
    facts["num_groups"] = aucs.num_groups
    return {**facts, "auroc": found.value, "auroc_low": found.low, "auroc_high": found.high}
