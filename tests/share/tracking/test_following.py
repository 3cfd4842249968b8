"""Following a run: what is tracked is what the store has, once, and nothing that goes wrong with it changes the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tracked_study import MARK

import outshine
from outshine.engine.errors import DataError, OutshineError, SettingsError
from outshine.engine.progress import Silent
from outshine.engine.run.failures import StagesFailedError
from outshine.engine.store.store import Store
from outshine.share import trackers
from outshine.w2s.stages.finetune import CURVE, Student
from outshine.w2s.study_file import parse_study

FINE_TUNINGS = 8  # for each of two seeds: supervisor, ceiling, student, control


def track(ran, out: Path, *names: str, progress: Silent | None = None, **changes):
    study = parse_study({**ran.raw, **changes})
    return outshine.run(study, store=ran.store, out=out, progress=progress, allow_leaks=True, log=names)


def test_each_fine_tuning_of_the_store_is_tracked_once_with_its_curve(ran, keeping, tmp_path):
    tracker = keeping("memory")
    track(ran, tmp_path, "memory")
    store = Store(ran.store)
    kinds = {key: store.done(key)["stage"] for key in store.keys()}  # noqa: SIM118
    tuned = [key for key, kind in kinds.items() if kind in ("supervised", "student", "control")]
    runs = {run.id: run for run in tracker.runs}
    assert len(tracker.runs) == FINE_TUNINGS + 1
    assert set(tuned) <= set(runs)
    assert len(tuned) == FINE_TUNINGS
    for key in tuned:
        curve = pd.read_parquet(store.path(key) / CURVE)
        points = runs[key].points
        assert [step for step, _ in points] == curve["step"].tolist()
        assert [values["train/loss"] for _, values in points] == curve["loss"].tolist()
        assert [values["train/learning_rate"] for _, values in points] == curve["learning_rate"].tolist()
        validated = curve[curve["val_auroc"].notna()]
        found = [(step, values["val/auroc_on_given_labels"]) for step, values in points if len(values) == 4]
        assert found == list(validated[["step", "val_auroc"]].itertuples(index=False, name=None))
        assert runs[key].config["key"] == key
    assert {(run.config.get("role"), run.config.get("seed")) for run in tracker.runs} >= {
        *(("weak", 0), ("ceiling", 1), ("student", 0))
    }


def test_final_values_are_scores_against_ground_truth(ran, keeping, tmp_path):
    tracker = keeping("memory")
    results = track(ran, tmp_path, "memory")
    (truth,) = (
        pd.read_parquet(path).set_index("id")["label"] for path in ran.store.glob("artefacts/*/*/truth.parquet")
    )
    for run in tracker.runs[:-1]:
        predicted = pd.read_parquet(Store(ran.store).path(run.id) / "predictions.parquet").set_index("id")
        for split in ("strong_train", "val", "test"):
            part = predicted[predicted["split"] == split]
            expected = roc_auc_score(truth.loc[part.index], part["log_odds"])
            assert run.final[f"{split}/auroc"] == pytest.approx(expected)
        (row,) = results.scores[(results.scores["key"] == run.id) & (results.scores["split"] == "test")].to_dict(
            "records"
        )
        assert run.final["test/auroc_low"] == pytest.approx(row["auroc_low"])
        assert run.final["test/accuracy"] == pytest.approx(row["accuracy"])


def test_the_study_is_a_run_with_its_summary(ran, keeping, tmp_path):
    tracker = keeping("memory")
    results = track(ran, tmp_path, "memory")
    whole = tracker.runs[-1]
    assert whole.points == []
    assert whole.name == "small results"
    row = results.summary[results.summary["method"] == "vanilla"].iloc[0]
    assert whole.final["mine/vanilla xent/student_auroc"] == row["student_auroc"]
    assert whole.final["mine/vanilla xent/student_minus_weak"] == row["student_minus_weak"]
    assert ("mine/vanilla xent/pgr" in whole.final) == bool(row["defined"])
    assert "mine/probe=logistic/student_auroc" in whole.final
    assert all(np.isfinite(value) for value in whole.final.values())


@pytest.mark.slow
def test_what_was_tracked_is_not_tracked_again_from_the_same_folder(ran, keeping, tmp_path):
    tracker, other = keeping("memory"), keeping("other")
    track(ran, tmp_path / "out", "memory")
    once = len(tracker.runs)
    track(ran, tmp_path / "out", "memory", "other")
    assert len(tracker.runs) == once
    assert len(other.runs) == once
    (tmp_path / "out" / trackers.LEDGER).write_text("not JSON")
    track(ran, tmp_path / "out", "memory")
    assert len(tracker.runs) == 2 * once


@pytest.mark.slow
def test_no_text_place_or_secret_is_tracked(ran, keeping, tmp_path, monkeypatch):
    tracker = keeping("memory")
    monkeypatch.setenv("HF_TOKEN", "hf_MARKER0a1b2c3d4e5f")
    shutil.copy(ran.raw["datasets"][0], tmp_path / "hf_MARKER0a1b2c3d4e5f.jsonl")
    study = parse_study({**ran.raw, "datasets": [str(tmp_path / "hf_MARKER0a1b2c3d4e5f.jsonl")]})
    outshine.run(study, store=tmp_path / "store", out=tmp_path / "out", allow_leaks=True, log=["memory"])
    assert len(tracker.runs) == FINE_TUNINGS + 1
    told = json.dumps(tracker.runs)
    for word in (MARK, "hf_MARKER0a1b2c3d4e5f", str(tmp_path)):
        assert word not in told
    assert "***" in told


@pytest.mark.slow
def test_a_run_is_the_same_with_and_without(ran, keeping, tmp_path):
    keeping("memory")
    study = parse_study(ran.raw)
    tracked = outshine.run(study, store=tmp_path / "tracked", out=tmp_path, allow_leaks=True, log=["memory"])
    stores = Store(ran.store), Store(tmp_path / "tracked")
    keys = stores[0].keys()
    assert keys == stores[1].keys()
    for key in keys:
        folders = [store.path(key) for store in stores]
        names = [sorted(path.relative_to(folder) for path in folder.rglob("*.*")) for folder in folders]
        assert names[0] == names[1]
        for name in names[0]:
            if name.name != "DONE.json":
                assert folders[0].joinpath(name).read_bytes() == folders[1].joinpath(name).read_bytes()
    pd.testing.assert_frame_equal(ran.results.scores, tracked.scores)


class Breaking:
    """A tracker whose network goes away after some runs."""

    def __init__(self, good: int) -> None:
        self.good = good
        self.asked = 0

    def write(self, run) -> None:
        self.asked += 1
        if self.asked > self.good:
            raise ConnectionError("the wire is cut\nhere")


@pytest.mark.slow
@pytest.mark.parametrize("good", [0, 3, FINE_TUNINGS])
def test_a_tracker_that_breaks_is_a_note_and_stops_nobody(ran, keeping, tmp_path, monkeypatch, good):
    tracker, broken = keeping("memory"), Breaking(good)
    monkeypatch.setitem(trackers.TRACKERS, "broken", lambda folder: broken)
    heard = Silent()
    results = track(ran, tmp_path, "broken", "memory", progress=heard)
    (note,) = [note for note in heard.notes if "--log" in note]
    assert note.startswith("--log broken: ConnectionError: the wire is cut")
    assert broken.asked == good + 1  # it was not asked again
    assert len(tracker.runs) == FINE_TUNINGS + 1
    pd.testing.assert_frame_equal(results.scores, ran.results.scores)


def test_a_ledger_that_cannot_be_written_is_a_note(ran, keeping, tmp_path):
    keeping("memory")
    (tmp_path / trackers.LEDGER).mkdir()
    heard = Silent()
    results = track(ran, tmp_path, "memory", progress=heard)
    assert [note for note in heard.notes if "--log memory" in note]
    assert len(results.summary)


def test_a_defect_in_following_is_a_note(ran, keeping, tmp_path, monkeypatch):
    from outshine.share import tracking

    keeping("memory")
    monkeypatch.setattr(tracking, "tracked_fine_tuning", lambda *arguments: 1 / 0)
    heard = Silent()
    track(ran, tmp_path, "memory", progress=heard)
    assert [note for note in heard.notes if "ZeroDivisionError" in note]


def test_of_a_run_that_fails_what_is_finished_is_tracked(ran, keeping, tmp_path, monkeypatch):
    tracker = keeping("memory")

    def fail(*arguments: object) -> None:
        raise DataError("no student today")

    monkeypatch.setattr(Student, "run", fail)
    study = parse_study({**ran.raw, "runtime": {"threads": 1, "cohort": 1}, "seeds": [0]})
    with pytest.raises(StagesFailedError):
        outshine.run(study, store=tmp_path / "store", out=tmp_path / "out", allow_leaks=True, log=["memory"])
    assert {run.config["role"] for run in tracker.runs} == {"weak", "ceiling", "student"}
    assert {run.config["purpose"] for run in tracker.runs} == {"", "control"}  # the vanilla student failed


@pytest.mark.slow
def test_a_pool_is_followed_like_one_process(ran, keeping, tmp_path):
    alone, pooled = keeping("alone"), keeping("pooled")
    track(ran, tmp_path / "alone", "alone")
    study = parse_study({**ran.raw, "executor": {"kind": "local", "workers": 2}})
    outshine.run(study, store=tmp_path / "store", out=tmp_path / "out", allow_leaks=True, log=["pooled"])
    assert {run.id: run.points for run in alone.runs} == {run.id: run.points for run in pooled.runs}
    assert {run.id: run.final for run in alone.runs} == {run.id: run.final for run in pooled.runs}


def test_an_unknown_tracker_is_refused_before_anything_is_computed(ran, tmp_path):
    with pytest.raises(OutshineError, match="unknown tracker 'wanbd'; did you mean 'wandb'"):
        outshine.run(parse_study(ran.raw), store=tmp_path / "store", out=tmp_path, log=["wanbd"])
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb"])
def test_a_package_that_is_missing_is_told_in_one_line(name, tmp_path, monkeypatch):
    for module in (name, "torch.utils.tensorboard"):
        monkeypatch.setitem(__import__("sys").modules, module, None)  # what makes an import fail
    with pytest.raises(SettingsError) as refused:
        trackers.start([name], tmp_path)
    assert f"--log {name} needs a package that cannot be imported" in str(refused.value)
    assert f"pip install 'outshine[{name}]'" in str(refused.value)
