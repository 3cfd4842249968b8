"""Results of a study as frames: AUROC, PGR, diagnostics and more, read from its artefacts.

Ground truth and predictions meet here and in `outshine.results.read`, nowhere else beside the stages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from outshine.engine.store.store import Store
from outshine.results.names import METHOD_COLUMNS, Contender
from outshine.results.other_tests import TEST_COLUMNS, test_facts
from outshine.results.read.artefacts import Reader, frame, method_facts, run_facts
from outshine.results.read.diagnostics import read_diagnostics
from outshine.results.read.scores import SCORE_COLUMNS, read_scores
from outshine.results.read.sweeps import read_sweeps
from outshine.results.read.training import read_filters, read_training, read_trajectories
from outshine.results.read.unfinished import NOTHING_FAILED
from outshine.results.scored_rows import (
    PGR_FACTS,
    Outcome,
    ScoredRows,
    compare_rows,
    interval_facts,
    metric_rows,
    pgr_facts,
)
from outshine.results.training_notes import TrainingNote, training_notes
from outshine.stats.estimates import Estimate
from outshine.stats.metrics import Metric, metrics
from outshine.stats.pgr import ROLES, PooledPGR, pooled_pgr
from outshine.w2s.expand import Experiment

PGR_COLUMNS = (*METHOD_COLUMNS, "seed", *PGR_FACTS)
SUMMARY_COLUMNS = (
    *METHOD_COLUMNS,
    *(
        "num_seeds",
        "n",
        "num_groups",
        "weak_auroc",
        "weak_low",
        "weak_high",
        "student_auroc",
        "student_low",
        "student_high",
    ),
    *("ceiling_auroc", "ceiling_low", "ceiling_high"),
    *PGR_FACTS,
)
METRIC_COLUMNS = (
    *METHOD_COLUMNS,
    *("metric", "num_seeds", "n", "num_groups"),
    *(f"{role}{end}" for role in ROLES for end in ("_value", "_low", "_high")),
    *("pgr", "pgr_low", "pgr_high", "defined", "reason"),
)
_NO_WEAK_TEST = "the weak labels do not cover the test rows, so the supervisor's AUC is unknown"


class MethodPGR(NamedTuple):
    """The PGR of one method, pooled over the datasets that are not saturated.

    Attributes:
        method: Kind of the method, such as `vanilla`.
        variant: Its settings that are not the defaults, in words.
        round: Which of the method's students, from 0; most methods have one.
        loss: Kind of the students' loss.
        pooled: The pooled PGR with its intervals.
        method_id: Tells the method from every other one in the same tables.
        settings: JSON of all settings of the method.
    """

    method: str
    variant: str
    round: int
    loss: str
    pooled: PooledPGR
    method_id: str = ""
    settings: str = ""


class Results(NamedTuple):
    """Everything that a study found, as pandas frames with one row a result.

    The columns are explained in docs/commands.md. Intervals are at 95 %. The column `purpose` tells methods, controls
    and sweeps apart: controls are in all frames but `training`, sweeps in `scores` and `sweeps` only.

    Attributes:
        scores: AUROC and accuracy, one row a role, split and seed. Supervisor and ceiling, which all methods share,
            have an empty `method`.
        pgr: PGR = (student − weak) / (ceiling − weak) in test AUROC, one row a dataset, method, round and seed. The
            interval is Fieller's and is conditional on the trained models.
        summary: AUROCs and PGR over all seeds, one row a dataset, method and round. The intervals include the variance
            between seeds where there are two or more.
        metrics: The same by other metrics than AUROC that the study names, one row a dataset, method, round and metric.
            Empty where it names none.
        tests: AUROCs, gain and PGR on the dataset's own test rows and on those of the study's other test sets, one row
            a dataset, method, round and test set. Empty where the study names no other test set.
        pooled: The PGR over all unsaturated datasets, one record a method.
        diagnostics: Calibration, imitation of the supervisor's errors and agreement with it, one row a student and
            seed.
        filters: What filters removed, one row a filter, dataset and seed.
        sweeps: Test AUROC over the settings that a study sweeps, and over layers.
        trajectories: AUROCs along training, one row a validation of a student.
        training: How the models behind the methods' results were trained, one row a model and seed.
        failed: What is in no other frame because a stage failed, with that stage and the reason, one row a method,
            dataset and seed. Empty where nothing failed.
    """

    scores: pd.DataFrame
    pgr: pd.DataFrame
    summary: pd.DataFrame
    pooled: list[MethodPGR]
    diagnostics: pd.DataFrame
    filters: pd.DataFrame
    sweeps: pd.DataFrame
    trajectories: pd.DataFrame
    training: pd.DataFrame
    failed: pd.DataFrame = NOTHING_FAILED
    metrics: pd.DataFrame = pd.DataFrame(columns=list(METRIC_COLUMNS))
    tests: pd.DataFrame = pd.DataFrame(columns=list(TEST_COLUMNS))

    @property
    def training_notes(self) -> list[TrainingNote]:
        """Sentences on models that did not learn, were barely trained, or had labels that hardly vary."""
        return training_notes(self.training)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the frames by name, as a run writes them to files.

        Returns:
            Name -> frame, of every attribute that is a frame.
        """
        return {name: table for name, table in self._asdict().items() if isinstance(table, pd.DataFrame)}


def read_results(study: str, experiments: Sequence[Experiment], store: Store, others: Sequence[Metric] = ()) -> Results:
    """Read and score the finished experiments of a study. `others`: metrics for the table of that name."""
    reader = Reader(store)
    by_metric: list[dict[str, Any]] = []
    by_test: list[dict[str, Any]] = []
    pgrs: list[dict[str, Any]] = []
    summary: list[dict[str, Any]] = []
    poolable: dict[Contender, list[tuple[Estimate, str]]] = {}
    summarised: set[tuple[str, str, Contender]] = set()
    for runs in _by_dataset_and_method(run for run in experiments if run.purpose != "sweep"):
        for number in range(len(runs[0].students)):
            facts = {**run_facts(runs[0]), **method_facts(runs[0], number)}
            who = Contender.of(facts)
            if (runs[0].prepare.key, runs[0].purpose, who) in summarised:  # the vanilla student of several methods
                continue
            summarised.add((runs[0].prepare.key, runs[0].purpose, who))
            test = _test_set(runs, number, reader)
            outcome = compare_rows(test, metrics.parse(runs[0].texts.task.metric), _NO_WEAK_TEST)
            values = {**interval_facts(outcome.intervals, "_auroc"), **pgr_facts(outcome.pgr)}
            sizes = {"num_seeds": len(runs), **outcome.sizes}
            summary.append({**facts, **sizes, **values, "saturated": outcome.saturated})
            by_test += [
                {**facts, "num_seeds": len(runs), **row} for row in _on_other_tests(runs, number, reader, outcome)
            ]
            by_metric += [{**facts, "num_seeds": len(runs), **row} for row in metric_rows(test, others, _NO_WEAK_TEST)]
            pgrs += [
                {**facts, "seed": run.seed, "saturated": outcome.saturated, **pgr_facts(pgr)}
                for run, pgr in zip(runs, outcome.per_seed, strict=True)
            ]
            if runs[0].purpose == "method":
                group = poolable.setdefault(who, [])
                if outcome.estimate is not None and not outcome.saturated:
                    group.append((outcome.estimate, runs[0].prepare.recipe.family))
    scores = frame(read_scores(experiments, reader), study, SCORE_COLUMNS)
    return Results(
        scores=scores,
        pgr=frame(pgrs, study, PGR_COLUMNS),
        summary=frame(summary, study, SUMMARY_COLUMNS),
        pooled=[MethodPGR(pooled=_pooled(estimates), **who.facts()) for who, estimates in poolable.items()],
        diagnostics=read_diagnostics(study, experiments, reader),
        filters=read_filters(study, experiments, reader),
        sweeps=read_sweeps(study, experiments, scores),
        trajectories=read_trajectories(study, experiments, reader),
        training=read_training(study, experiments, reader),
        metrics=frame(by_metric, study, METRIC_COLUMNS),
        tests=frame(by_test, study, TEST_COLUMNS),
    )


def _pooled(estimates: Sequence[tuple[Estimate, str]]) -> PooledPGR:
    """Pool over datasets, each with its family: those of one family are made of the same rows and count as one."""
    return pooled_pgr([estimate for estimate, _ in estimates], families=[family for _, family in estimates])


def _by_dataset_and_method(experiments: Iterable[Experiment]) -> list[list[Experiment]]:
    """The seeds of each dataset and method together, in the study's order."""
    groups: dict[tuple[str, str], list[Experiment]] = {}
    for run in experiments:
        groups.setdefault((run.prepare.key, f"{run.purpose} {run.method.model_dump_json()}"), []).append(run)
    return list(groups.values())


def _on_other_tests(runs: list[Experiment], number: int, reader: Reader, own: Outcome) -> Iterator[dict[str, Any]]:
    """What the table `tests` says of a method: on the dataset's own test rows, and on every other test set."""
    others = runs[0].prepare.tests
    if not others:
        return
    yield test_facts("test", own, None)
    metric = metrics.parse(runs[0].texts.task.metric)
    for other in others:
        rows = _test_set(runs, number, reader, other.split)
        yield test_facts(other.split, compare_rows(rows, metric, _NO_WEAK_TEST), own)


def _test_set(runs: list[Experiment], number: int, reader: Reader, split: str = "test") -> ScoredRows:
    """Weak supervisor, student of round `number` and ceiling on a test set, over the seeds of `runs`."""
    rows = reader.rows(runs[0])
    test = rows[rows["split"] == split]
    ids = test.index
    students = [reader.scores(run.students[number]) for run in runs]
    ceilings = [reader.scores(run.ceiling) for run in runs]
    weak = [reader.weak_scores(run) for run in runs]
    has_weak = not weak[0].reindex(ids).isna().to_numpy().any()
    by_role = zip(weak, students, ceilings, strict=True) if has_weak else zip(students, ceilings, strict=True)
    scores = np.array([[series.loc[ids].to_numpy() for series in roles] for roles in by_role])
    return ScoredRows(test["y"].to_numpy(), test["group"].tolist(), scores, ROLES if has_weak else ROLES[1:])
