"""Results of a study as frames: AUROC, PGR, diagnostics and more, read from its artefacts.

Ground truth and predictions meet here and in `outshine.results.read`, nowhere else beside the stages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from outshine.engine.errors import OutshineError
from outshine.engine.store.store import Store
from outshine.results.names import METHOD_COLUMNS, Contender
from outshine.results.read.artefacts import Reader, frame, method_facts, run_facts
from outshine.results.read.diagnostics import read_diagnostics
from outshine.results.read.scores import SCORE_COLUMNS, read_scores
from outshine.results.read.sweeps import read_sweeps
from outshine.results.read.training import read_filters, read_training, read_trajectories
from outshine.results.read.unfinished import NOTHING_FAILED
from outshine.results.training_notes import TrainingNote, training_notes
from outshine.stats.estimates import Estimate
from outshine.stats.intervals import Interval
from outshine.stats.metrics import Metric, metrics
from outshine.stats.pgr import PGR, ROLES, PooledPGR, compare_roles, is_saturated, pooled_pgr
from outshine.stats.role_values import RoleValues
from outshine.w2s.expand import Experiment

_PGR_FIELDS = (
    *("pgr", "pgr_low", "pgr_high", "defined", "reason", "student_minus_weak", "ceiling_minus_weak", "saturated"),
)
PGR_COLUMNS = (
    *METHOD_COLUMNS,
    *(
        "seed",
        "pgr",
        "pgr_low",
        "pgr_high",
        "defined",
        "reason",
        "student_minus_weak",
        "ceiling_minus_weak",
        "saturated",
    ),
)
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
    *("pgr", "pgr_low", "pgr_high", "defined", "reason", "student_minus_weak", "ceiling_minus_weak", "saturated"),
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
            outcome = _compare(test, metrics.parse(runs[0].texts.task.metric))
            values = {**_interval_facts(outcome.intervals, "_auroc"), **_pgr_facts(outcome.pgr)}
            sizes = {"num_seeds": len(runs), **outcome.sizes}
            summary.append({**facts, **sizes, **values, "saturated": outcome.saturated})
            by_metric += [{**facts, "num_seeds": len(runs), **row} for row in _metric_rows(test, others)]
            pgrs += [
                {**facts, "seed": run.seed, "saturated": outcome.saturated, **_pgr_facts(pgr)}
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
    )


def _pooled(estimates: Sequence[tuple[Estimate, str]]) -> PooledPGR:
    """Pool over datasets, each with its family: those of one family are made of the same rows and count as one."""
    return pooled_pgr([estimate for estimate, _ in estimates], families=[family for _, family in estimates])


class _TestSet(NamedTuple):
    """The test rows of a dataset with the scores of a method's roles, over seeds."""

    y: NDArray[Any]  # the true class of each row
    groups: list[Any]
    scores: NDArray[Any]  # [S, 3, n], roles as in `ROLES`; without weak scores [S, 2, n]
    has_weak: bool  # whether the weak labels say anything about test


class _Outcome(NamedTuple):
    """A method on a dataset by one metric. `estimate` None: no weak value, hence no PGR."""

    estimate: Estimate | None
    sizes: dict[str, int]
    intervals: tuple[Interval, ...]  # of weak supervisor, student and ceiling
    pgr: PGR
    per_seed: list[PGR]

    @property
    def saturated(self) -> bool:
        """Whether there is no gap to recover; False where it is not known."""
        return is_saturated(self.intervals[0].value, self.intervals[2].value)


def _by_dataset_and_method(experiments: Iterable[Experiment]) -> list[list[Experiment]]:
    """The seeds of each dataset and method together, in the study's order."""
    groups: dict[tuple[str, str], list[Experiment]] = {}
    for run in experiments:
        groups.setdefault((run.prepare.key, f"{run.purpose} {run.method.model_dump_json()}"), []).append(run)
    return list(groups.values())


def _test_set(runs: list[Experiment], number: int, reader: Reader) -> _TestSet:
    """Weak supervisor, student of round `number` and ceiling on test, over the seeds of `runs`."""
    rows = reader.rows(runs[0])
    test = rows[rows["split"] == "test"]
    ids = test.index
    students = [reader.predictions(run.students[number])["log_odds"] for run in runs]
    ceilings = [reader.predictions(run.ceiling)["log_odds"] for run in runs]
    weak = [reader.weak_scores(run) for run in runs]
    has_weak = not weak[0].reindex(ids).isna().any()
    by_role = zip(weak, students, ceilings, strict=True) if has_weak else zip(students, ceilings, strict=True)
    scores = np.array([[series.loc[ids].to_numpy() for series in roles] for roles in by_role])
    y = runs[0].texts.task.classes(test["y"].to_numpy())
    return _TestSet(y, test["group"].tolist(), scores, has_weak)


def _compare(test: _TestSet, metric: Metric) -> _Outcome:
    """Compare the roles on a test set by a metric: with weak scores and a PGR, or student and ceiling alone."""
    if test.has_weak:
        compared = compare_roles(test.y, test.scores, test.groups, metric=metric)
        values, intervals, pgr = compared.overall
        return _Outcome(
            values.estimate, _sizes(values), intervals, pgr, [comparison.pgr for comparison in compared.per_seed]
        )
    values = metric.combine_seeds(test.y, test.scores, test.groups)
    nan = float("nan")
    unknown = PGR(nan, nan, nan, False, _NO_WEAK_TEST, nan, nan)
    intervals = (Interval(nan, nan, nan), metric.interval(values, 0), metric.interval(values, 1))
    return _Outcome(None, _sizes(values), intervals, unknown, [unknown] * len(test.scores))


def _metric_rows(test: _TestSet, metrics: Sequence[Metric]) -> Iterator[dict[str, Any]]:
    """What the table `metrics` says of a test set, a row a metric; of one that is not defined here the reason."""
    for metric in metrics:
        try:
            outcome = _compare(test, metric)
        except OutshineError as error:  # the other tables of a run do not depend on it
            yield {"metric": metric.kind, "n": len(test.y), "defined": False, "reason": str(error)}
            continue
        pgr = {name: value for name, value in _pgr_facts(outcome.pgr).items() if name in METRIC_COLUMNS}
        yield {"metric": metric.kind, **outcome.sizes, **_interval_facts(outcome.intervals, "_value"), **pgr}


def _sizes(values: RoleValues) -> dict[str, int]:
    return {"n": values.num_rows, "num_groups": values.num_groups}


def _interval_facts(intervals: Sequence[Interval], value: str) -> dict[str, float]:
    """Columns such as `weak_auroc`, `weak_low`, `weak_high` for the value `_auroc`."""
    facts = {}
    for role, interval in zip(ROLES, intervals, strict=True):
        facts |= {f"{role}{value}": interval.value, f"{role}_low": interval.low, f"{role}_high": interval.high}
    return facts


def _pgr_facts(pgr: PGR) -> dict[str, Any]:
    return {
        "pgr": pgr.value,
        "pgr_low": pgr.low,
        "pgr_high": pgr.high,
        "defined": pgr.defined,
        "reason": pgr.reason,
        "student_minus_weak": pgr.student_minus_weak,
        "ceiling_minus_weak": pgr.ceiling_minus_weak,
    }
