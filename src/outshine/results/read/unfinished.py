"""What a study lacks because stages failed: methods, datasets, and the reasons."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from outshine.engine.stage import Stage, in_order
from outshine.results.names import IDENTITY_COLUMNS
from outshine.results.read.artefacts import frame, method_facts, run_facts
from outshine.w2s.expand import Experiment

FAILED_COLUMNS = (*IDENTITY_COLUMNS, "stage", "reason", "key")
NOTHING_FAILED = pd.DataFrame(columns=list(FAILED_COLUMNS))
_OTHER_SEED = "another seed of it failed"


class SeparatedExperiments(NamedTuple):
    """The experiments of a study that can be read, and a row for each that cannot, or not wholly (`FAILED_COLUMNS`)."""

    finished: list[Experiment]
    failed: pd.DataFrame


def separate_failed(
    study: str, experiments: Sequence[Experiment], lacking: Collection[str], reasons: Mapping[str, str]
) -> SeparatedExperiments:
    """Separate the methods that are finished from those that are not.

    A method on a dataset is finished when all its seeds are: a mean over fewer would pass for the mean over all. What
    lacks its trajectory alone is finished without. `lacking`: keys that the store lacks; `reasons`: why stages failed,
    by key.
    """
    broken = {i: gap for i, run in enumerate(experiments) if (gap := _gap(_results(run), lacking, reasons))}
    unusable = {_method_and_dataset(experiments[i]) for i in broken}
    finished, rows = [], []
    for i, run in enumerate(experiments):
        alone = _gap(run.trajectories, lacking, reasons)
        if _method_and_dataset(run) in unusable:
            rows.append(_row(run, *broken.get(i, (None, _OTHER_SEED))))
            continue
        finished.append(run._replace(trajectories=()) if alone else run)
        if alone:
            rows.append(_row(run, *alone))
    return SeparatedExperiments(finished, frame(rows, study, FAILED_COLUMNS))


def _method_and_dataset(run: Experiment) -> tuple[str, str, str]:
    """A method on a dataset, over its seeds."""
    return run.prepare.key, run.purpose, run.method.model_dump_json()


def _results(run: Experiment) -> list[Stage]:
    return [stage for stage in run.stages() if stage not in run.trajectories]


def _gap(
    stages: Sequence[Stage], lacking: Collection[str], reasons: Mapping[str, str]
) -> tuple[Stage | None, str] | None:
    """The first stage that failed of those that these need, and why; None where all are there."""
    missing = [stage for stage in in_order(list(stages)) if stage.key in lacking]
    if not missing:
        return None
    first = next((stage for stage in missing if stage.key in reasons), missing[0])
    return first, reasons.get(first.key, "it was not computed")


def _row(run: Experiment, stage: Stage | None, reason: str) -> dict[str, Any]:
    facts = {**run_facts(run), **method_facts(run, len(run.students) - 1), "seed": run.seed}
    return {**facts, "stage": stage.label if stage else "", "reason": reason, "key": stage.key if stage else ""}
