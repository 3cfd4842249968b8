"""What is chosen among in a finished study: methods on a dataset, or checkpoints of a student."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from outshine.results.names import NO_METHOD, Contender, contenders, labels
from outshine.results.read.artefacts import Reader, method_facts, run_facts, students
from outshine.stats.auroc import Bools, Floats
from outshine.w2s.expand import Experiment
from outshine.w2s.stages.predictor import Predictor
from outshine.w2s.stages.trajectory import Trajectory

Kind = Literal["method", "checkpoint"]
"""What is chosen among: the students of a study on a dataset, or the weights of one student along its training."""


class EvaluationRows(NamedTuple):
    """A split: `ids` [n] in the order of the scores, ground truth `y` [n], what rows share (`groups` [n])."""

    ids: Sequence[str]
    y: Bools
    groups: Sequence[str]


class CandidateSet(NamedTuple):
    """m candidates for one dataset and seed, all predicted on the same rows of val and test.

    `about`: values of IDENTITY_COLUMNS but the study; of methods those that name one are empty. `on_val` [m, v] and
    `on_test` [m, t] are log-odds; `twins` [s, m, v] those on val of the same candidates with s other seeds. `p_weak`
    [v] are the weak labels of val, `val_metric` says how training measures against them (`hard` or `soft`). The
    ground truth of val is there for trusted labels alone: no label-free rule may look at it.
    """

    kind: Kind
    about: dict[str, Any]
    saturated: bool
    names: tuple[str, ...]
    val: EvaluationRows
    p_weak: Floats
    val_metric: Literal["hard", "soft"]
    on_val: Floats
    twins: Floats
    test: EvaluationRows
    on_test: Floats


def shares(scores: np.ndarray) -> Floats:
    """Return how often each candidate is picked by the highest of `scores` [..., m], equals by lot: [..., m].

    Sums to 1 over the candidates.
    """
    best = scores == scores.max(axis=-1, keepdims=True)
    return best / best.sum(axis=-1, keepdims=True)


class _Student(NamedTuple):
    """A student of a method, once where several methods have it."""

    run: Experiment
    number: int
    who: Contender
    name: str
    stage: Predictor
    trajectory: Trajectory | None


def read_choices(
    experiments: Sequence[Experiment], reader: Reader, saturated: Mapping[str, bool]
) -> Iterator[CandidateSet]:
    """Give the choices of a study, one after the other: first methods, then, where there are trajectories, checkpoints.

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


def _students(experiments: Sequence[Experiment]) -> list[_Student]:
    methods = [run for run in experiments if run.purpose == "method"]
    trajectories = {trajectory.run_again.key: trajectory for run in methods for trajectory in run.trajectories}
    candidates = list(students(methods))
    first_of = contenders([{**candidate.facts, "key": candidate.student.key} for candidate in candidates])
    names = labels([contender for contender, first in first_of.items() if contender == first])
    return [
        _Student(own.run, own.number, who, names[who], own.student, trajectories.get(own.student.key))
        for own in candidates
        if (who := Contender.of(own.facts)) in names
    ]


def _among_methods(
    candidates: Sequence[_Student], everywhere: Sequence[_Student], reader: Reader, saturated: Mapping[str, bool]
) -> CandidateSet:
    """Return the students of one dataset and seed; `everywhere`: those of all seeds."""
    run = candidates[0].run
    others = [seed for seed in dict.fromkeys(one.run.seed for one in everywhere) if seed != run.seed]
    by_seed = {(one.who, one.run.seed): one.stage for one in everywhere}
    val, test = (_rows(reader.rows(run), split) for split in ("val", "test"))

    def scores(stage: Predictor, rows: EvaluationRows) -> np.ndarray:
        return reader.predictions(stage)["log_odds"].loc[list(rows.ids)].to_numpy()

    twins = [[scores(by_seed[one.who, seed], val) for one in candidates] for seed in others]
    return CandidateSet(
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
) -> CandidateSet:
    """Return the validated updates of one student's training; `twins`: its trajectories with other seeds."""
    assert student.trajectory is not None
    run = student.run
    val, test = (_rows(reader.rows(run), split) for split in ("val", "test"))
    on_val, on_test = (
        _by_step(student.trajectory.read(reader.store, split), rows) for split, rows in (("val", val), ("test", test))
    )
    curves = [_by_step(twin.read(reader.store, "val"), val) for twin in twins]
    same = [curve.to_numpy() for curve in curves if list(curve.index) == list(on_val.index)]
    about = {**method_facts(run, student.number), "seed": run.seed}
    return CandidateSet(
        kind="checkpoint",
        names=tuple(f"update {step}" for step in on_val.index),
        **_shared(run, about, val, reader, saturated),
        on_val=on_val.to_numpy(),
        twins=_stacked(same, *on_val.shape),
        test=test,
        on_test=on_test.to_numpy(),
    )


def _shared(
    run: Experiment, about: dict[str, Any], val: EvaluationRows, reader: Reader, saturated: Mapping[str, bool]
) -> dict[str, Any]:
    """Return what choices of both kinds say of their dataset and its weak labels."""
    facts = {**run_facts(run), **about}
    return {
        "about": facts,
        "saturated": bool(saturated.get(facts["dataset"], False)),
        "val": val,
        "p_weak": reader.weak_probabilities(run).loc[list(val.ids)].to_numpy(),
        "val_metric": run.ceiling.training.val_metric,
    }


def _rows(rows: pd.DataFrame, split: str) -> EvaluationRows:
    own = rows[rows["split"] == split]
    return EvaluationRows(own.index.tolist(), own["y"].to_numpy() > 0.5, own["group"].tolist())


def _by_step(tracked: pd.DataFrame, rows: EvaluationRows) -> pd.DataFrame:
    """Return log-odds, a row an update in order and a column a row of the split, in its order."""
    return tracked.pivot(index="step", columns="id", values="log_odds").sort_index()[list(rows.ids)]


def _stacked(several: Sequence[Any], num_candidates: int, num_rows: int) -> np.ndarray:
    """[s, m, v], also of none."""
    return np.asarray(several, dtype=np.float64).reshape(len(several), num_candidates, num_rows)
