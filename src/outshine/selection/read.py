"""Choices in a finished study: among methods on a dataset, and among checkpoints of a student."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from outshine.engine.errors import DataError
from outshine.engine.store.store import Store
from outshine.results.names import NO_METHOD, Contender, contenders, labels
from outshine.results.read.artefacts import Reader, method_facts, run_facts, students
from outshine.selection.candidates import Choice, Rows
from outshine.selection.regret import regrets
from outshine.selection.trusted_labels import DRAWS
from outshine.w2s.expand import Experiment
from outshine.w2s.stages.predictor import Predictor
from outshine.w2s.stages.trajectory import Trajectory


class _Student(NamedTuple):
    """A student of a method, once where several methods have it."""

    run: Experiment
    number: int
    who: Contender
    name: str
    stage: Predictor
    trajectory: Trajectory | None


def read_choices(experiments: Sequence[Experiment], reader: Reader, saturated: Mapping[str, bool]) -> Iterator[Choice]:
    """The choices of a study, one after the other: first methods, then, where there are trajectories, checkpoints.

    Candidates are the students of purpose `method`, all rounds, none twice (round 0 of strong-to-strong training is the
    vanilla student). `saturated`: by dataset. One choice a dataset and seed, or a trajectory.
    """
    by_dataset: dict[str, list[_Student]] = {}
    for one in _students(experiments):
        by_dataset.setdefault(one.run.prepare.key, []).append(one)
    for own in by_dataset.values():
        for seed in dict.fromkeys(one.run.seed for one in own):
            yield _among_methods([one for one in own if one.run.seed == seed], own, reader, saturated)
    for own in by_dataset.values():
        for one in own:
            if one.trajectory is not None:
                twins = [other.trajectory for other in own if other.who == one.who and other.run.seed != one.run.seed]
                yield _among_checkpoints(one, [twin for twin in twins if twin], reader, saturated)


def read_regrets(
    study: str, experiments: Sequence[Experiment], store: Store, summary: pd.DataFrame, num_draws: int = DRAWS
) -> pd.DataFrame:
    """What every way to choose loses in a finished study, columns REGRET_COLUMNS; `summary`: of its results.

    Raises DataError where there is nothing to choose.
    """
    saturated = {str(name): bool(own.any()) for name, own in summary.groupby("dataset")["saturated"]}
    found = regrets(study, read_choices(experiments, Reader(store), saturated), num_draws)
    if found.empty:
        raise DataError(
            f"the study '{study}' has one method a dataset and no trajectories, so that there is nothing to choose; "
            "run it with several methods or losses (--loss logconf,xent), or with --trajectories"
        )
    return found


def _students(experiments: Sequence[Experiment]) -> list[_Student]:
    methods = [run for run in experiments if run.purpose == "method"]
    watched = {one.run_again.key: one for run in methods for one in run.trajectories}
    found = list(students(methods))
    known = contenders([{**one.facts, "key": one.student.key} for one in found])
    names = labels([one for one, first in known.items() if one == first])
    return [
        _Student(one.run, one.number, who, names[who], one.student, watched.get(one.student.key))
        for one in found
        if (who := Contender.of(one.facts)) in names
    ]


def _among_methods(
    candidates: Sequence[_Student], everywhere: Sequence[_Student], reader: Reader, saturated: Mapping[str, bool]
) -> Choice:
    """The students of one dataset and seed; `everywhere`: those of all seeds."""
    run = candidates[0].run
    others = [seed for seed in dict.fromkeys(one.run.seed for one in everywhere) if seed != run.seed]
    by_seed = {(one.who, one.run.seed): one.stage for one in everywhere}
    val, test = (_rows(reader.rows(run), split) for split in ("val", "test"))

    def scores(stage: Predictor, rows: Rows) -> np.ndarray:
        return reader.predictions(stage)["log_odds"].loc[list(rows.ids)].to_numpy()

    twins = [[scores(by_seed[one.who, seed], val) for one in candidates] for seed in others]
    return Choice(
        kind="method",
        names=tuple(one.name for one in candidates),
        **_shared(run, {**NO_METHOD, "seed": run.seed}, val, reader, saturated),
        on_val=np.stack([scores(one.stage, val) for one in candidates]),
        twins=_stacked(twins, len(candidates), len(val.ids)),
        test=test,
        on_test=np.stack([scores(one.stage, test) for one in candidates]),
    )


def _among_checkpoints(
    student: _Student, twins: Sequence[Trajectory], reader: Reader, saturated: Mapping[str, bool]
) -> Choice:
    """The validated updates of one student's training; `twins`: its trajectories with other seeds."""
    assert student.trajectory is not None
    run = student.run
    val, test = (_rows(reader.rows(run), split) for split in ("val", "test"))
    on_val, on_test = (
        _by_step(student.trajectory.read(reader.store, split), rows) for split, rows in (("val", val), ("test", test))
    )
    curves = [_by_step(twin.read(reader.store, "val"), val) for twin in twins]
    same = [curve.to_numpy() for curve in curves if list(curve.index) == list(on_val.index)]
    about = {**method_facts(run, student.number), "seed": run.seed}
    return Choice(
        kind="checkpoint",
        names=tuple(f"update {step}" for step in on_val.index),
        **_shared(run, about, val, reader, saturated),
        on_val=on_val.to_numpy(),
        twins=_stacked(same, *on_val.shape),
        test=test,
        on_test=on_test.to_numpy(),
    )


def _shared(
    run: Experiment, about: dict[str, Any], val: Rows, reader: Reader, saturated: Mapping[str, bool]
) -> dict[str, Any]:
    """What choices of both kinds say of their dataset and its weak labels."""
    facts = {**run_facts(run), **about}
    return {
        "about": facts,
        "saturated": bool(saturated.get(facts["dataset"], False)),
        "val": val,
        "p_weak": reader.weak_probabilities(run).loc[list(val.ids)].to_numpy(),
        "val_metric": run.ceiling.training.val_metric,
    }


def _rows(rows: pd.DataFrame, split: str) -> Rows:
    own = rows[rows["split"] == split]
    return Rows(own.index.tolist(), own["y"].to_numpy() > 0.5, own["group"].tolist())


def _by_step(tracked: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    """Log-odds, a row an update in order and a column a row of the split, in its order."""
    return tracked.pivot(index="step", columns="id", values="log_odds").sort_index()[list(rows.ids)]


def _stacked(several: Sequence[Any], num_candidates: int, num_rows: int) -> np.ndarray:
    """[s, m, v], also of none."""
    return np.asarray(several, dtype=np.float64).reshape(len(several), num_candidates, num_rows)
