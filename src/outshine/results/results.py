"""Results of a study as frames: AUROC, PGR, diagnostics and more, read from its artefacts.

Ground truth and predictions meet here and in `outshine.results.read`, nowhere else beside the stages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from outshine.engine.store.store import Store
from outshine.results.names import METHOD_COLUMNS, Contender
from outshine.results.read.artefacts import Reader, frame, method_facts, run_facts
from outshine.results.read.diagnostics import read_diagnostics
from outshine.results.read.scores import SCORE_COLUMNS, read_scores
from outshine.results.read.sweeps import read_sweeps
from outshine.results.read.training import read_filters, read_training, read_trajectories
from outshine.results.read.unfinished import NOTHING_FAILED
from outshine.results.training_notes import TrainingNote, training_notes
from outshine.stats.auc_covariance import RoleAucs, combine_seeds
from outshine.stats.estimates import Estimate
from outshine.stats.intervals import Interval, auroc_interval
from outshine.stats.pgr import PGR, PooledPGR, compare_roles, is_saturated, pooled_pgr
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


def read_results(study: str, experiments: Sequence[Experiment], store: Store) -> Results:
    """Read and score the finished experiments of a study."""
    reader = Reader(store)
    pgrs: list[dict[str, Any]] = []
    summary: list[dict[str, Any]] = []
    poolable: dict[Contender, list[tuple[Estimate, str]]] = {}
    told: set[tuple[str, str, Contender]] = set()
    for runs in _by_dataset_and_method(run for run in experiments if run.purpose != "sweep"):
        for number in range(len(runs[0].students)):
            facts = {**run_facts(runs[0]), **method_facts(runs[0], number)}
            who = Contender.of(facts)
            if (runs[0].prepare.key, runs[0].purpose, who) in told:  # the vanilla student of several methods
                continue
            told.add((runs[0].prepare.key, runs[0].purpose, who))
            outcome = _compare(runs, number, reader)
            summary.append({**facts, "num_seeds": len(runs), **outcome.summary})
            pgrs += [
                {**facts, "seed": run.seed, "saturated": outcome.saturated, **_pgr_facts(found)}
                for run, found in zip(runs, outcome.per_seed, strict=True)
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
        pooled=[MethodPGR(pooled=_pooled(found), **who.facts()) for who, found in poolable.items()],
        diagnostics=read_diagnostics(study, experiments, reader),
        filters=read_filters(study, experiments, reader),
        sweeps=read_sweeps(study, experiments, scores),
        trajectories=read_trajectories(study, experiments, reader),
        training=read_training(study, experiments, reader),
    )


def _pooled(found: Sequence[tuple[Estimate, str]]) -> PooledPGR:
    """Over datasets, each with its family: those of one family are made of the same rows and count as one."""
    return pooled_pgr([estimate for estimate, _ in found], families=[family for _, family in found])


class _Outcome(NamedTuple):
    """A method on a dataset, over seeds. `estimate` None: no weak AUC, hence no PGR."""

    estimate: Estimate | None
    per_seed: list[PGR]
    saturated: bool
    summary: dict[str, Any]


def _by_dataset_and_method(experiments: Iterable[Experiment]) -> list[list[Experiment]]:
    """The seeds of each dataset and method together, in the study's order."""
    groups: dict[tuple[str, str], list[Experiment]] = {}
    for run in experiments:
        groups.setdefault((run.prepare.key, f"{run.purpose} {run.method.model_dump_json()}"), []).append(run)
    return list(groups.values())


def _compare(runs: list[Experiment], number: int, reader: Reader) -> _Outcome:
    """Weak supervisor, student of round `number` and ceiling on test, over the seeds of `runs`."""
    rows = reader.rows(runs[0])
    test = rows[rows["split"] == "test"]
    y, groups, ids = test["y"].to_numpy() > 0.5, test["group"].tolist(), test.index
    students = [reader.predictions(run.students[number])["log_odds"].loc[ids] for run in runs]
    ceilings = [reader.predictions(run.ceiling)["log_odds"].loc[ids] for run in runs]
    weak = [reader.weak_scores(run) for run in runs]
    if weak[0].reindex(ids).isna().any():
        return _without_weak(y, groups, students, ceilings)
    by_role = zip((series.loc[ids] for series in weak), students, ceilings, strict=True)
    scores = np.array([[series.to_numpy() for series in roles] for roles in by_role])
    compared = compare_roles(y, scores, groups)
    overall = compared.overall
    saturated = is_saturated(overall.auroc[0].value, overall.auroc[2].value)
    summary = {
        **_sizes(overall.aucs),
        **_auroc_facts(("weak", "student", "ceiling"), overall.auroc),
        **_pgr_facts(overall.pgr),
        "saturated": saturated,
    }
    return _Outcome(overall.aucs.estimate, [one.pgr for one in compared.per_seed], saturated, summary)


def _without_weak(y: np.ndarray, groups: list[Any], students: list[pd.Series], ceilings: list[pd.Series]) -> _Outcome:
    """Student and ceiling alone: the weak labels say nothing about test."""
    scores = np.array([[s.to_numpy(), c.to_numpy()] for s, c in zip(students, ceilings, strict=True)])
    aucs = combine_seeds(y, scores, groups)
    nan = float("nan")
    unknown = PGR(nan, nan, nan, False, _NO_WEAK_TEST, nan, nan)
    intervals = [Interval(nan, nan, nan), auroc_interval(aucs, 0), auroc_interval(aucs, 1)]
    summary = {
        **_sizes(aucs),
        **_auroc_facts(("weak", "student", "ceiling"), intervals),
        **_pgr_facts(unknown),
        "saturated": False,
    }
    return _Outcome(None, [unknown] * len(students), False, summary)


def _sizes(aucs: RoleAucs) -> dict[str, int]:
    return {"n": aucs.num_rows, "num_groups": aucs.num_groups}


def _auroc_facts(roles: Sequence[str], intervals: Sequence[Interval]) -> dict[str, float]:
    facts = {}
    for role, found in zip(roles, intervals, strict=True):
        facts |= {f"{role}_auroc": found.value, f"{role}_low": found.low, f"{role}_high": found.high}
    return facts


def _pgr_facts(found: PGR) -> dict[str, Any]:
    return {
        "pgr": found.value,
        "pgr_low": found.low,
        "pgr_high": found.high,
        "defined": found.defined,
        "reason": found.reason,
        "student_minus_weak": found.student_minus_weak,
        "ceiling_minus_weak": found.ceiling_minus_weak,
    }
