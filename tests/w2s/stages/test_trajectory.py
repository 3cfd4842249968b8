"""A trajectory is the same run again: bits, checkpoints and all."""

from __future__ import annotations

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from test_control import lab, truth  # noqa: F401  # fixtures

from outshine.data.task import BINARY
from outshine.engine.stage import Context
from outshine.w2s.stages.trajectory import FILES, Trajectory


class Killed(BaseException):
    """As if the process had been killed."""


@pytest.fixture
def student(lab):  # noqa: F811
    settings = lab.training.model_copy(update={"epochs": 3, "eval_every": 2})
    return lab.student(lab.weak_labels).model_copy(update={"training": settings})


def test_it_ends_where_the_run_ended_and_passes_the_chosen_weights(executor, student):
    trajectory = Trajectory(run_again=student)
    executor.run([trajectory])
    curve, tracked = trajectory.read_curve(executor.store), trajectory.read(executor.store)
    validated = curve[curve["val_auroc"].notna()]
    assert sorted(tracked["step"].unique()) == validated["step"].tolist() == [2, 4, 6, 8, 9]
    (chosen,) = curve.loc[curve["chosen"], "step"]
    assert chosen == validated.loc[validated["val_auroc"].idxmax(), "step"]
    own = student.predictions(executor.store)
    own = own[own["split"] == "test"].set_index("id")["log_odds"]
    then = tracked[tracked["step"] == chosen].set_index("id")["log_odds"]
    pd.testing.assert_series_equal(then.sort_index(), own.sort_index(), check_exact=True)


def test_val_is_kept_as_validation_saw_it(executor, student):
    """The AUROC against the weak labels at each update is that of the curve."""
    trajectory = Trajectory(run_again=student)
    executor.run([trajectory])
    curve = trajectory.read_curve(executor.store).set_index("step")["val_auroc"]
    tracked = trajectory.read(executor.store, "val")
    own = student.predictions(executor.store)
    assert set(tracked["id"]) == set(own.loc[own["split"] == "val", "id"])
    weak = student.labels.read_labels(executor.store)
    for step, part in tracked.groupby("step"):
        p = weak.loc[part["id"]].to_numpy()
        found = roc_auc_score(BINARY.harden(p).y, part["log_odds"])
        assert found == pytest.approx(curve[step], abs=1e-12)
    assert sorted(tracked["step"].unique()) == curve.dropna().index.tolist()


@pytest.mark.slow
def test_taken_up_again_it_is_whole_and_the_same(executor, student, monkeypatch):
    import outshine.learn.batches as predicting

    whole = Trajectory(run_again=student)
    executor.run([whole])
    expected = {split: whole.read(executor.store, split) for split in FILES}

    calls = []
    real = predicting.predict

    def dies(*arguments, **more):
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        return real(*arguments, **more)

    store = executor.store
    runtime = executor.runtime.model_copy(update={"checkpoint_seconds": 1e-9})  # a checkpoint after every update
    context = Context(store, store.root / "again", store.root / "work-again", runtime, executor.progress, {})
    context.folder.mkdir()
    context.work.mkdir()
    monkeypatch.setattr(predicting, "predict", dies)
    with pytest.raises(Killed):
        whole.run(context)
    assert (context.work / "checkpoint.safetensors").exists()
    monkeypatch.setattr(predicting, "predict", real)
    whole.run(context)
    for split, name in FILES.items():
        pd.testing.assert_frame_equal(pd.read_parquet(context.folder / name), expected[split], check_exact=True)


def test_a_finished_run_comes_first(student):
    assert Trajectory(run_again=student).inputs() == [student]
