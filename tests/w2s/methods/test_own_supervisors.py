"""A method whose labels come from other supervisors than the study's is measured against these."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import SerializeAsAny
from sklearn.metrics import roc_auc_score

from outshine.engine.store.store import Store
from outshine.learn.spec import ModelSettings
from outshine.results.finished import run_study
from outshine.results.pairing import pair
from outshine.results.trajectories import strong_train_gain
from outshine.w2s.methods.base import Lab, Method, methods
from outshine.w2s.stages.finetune import Student
from outshine.w2s.stages.labels import WeakLabelSource
from outshine.w2s.study_file import parse_study
from small_study import TINY


class MeanOf(WeakLabelSource):
    """The mean of several sources' p."""

    kind = "test.mean_of"
    of: tuple[SerializeAsAny[WeakLabelSource], ...]

    def read_labels(self, store: Store) -> pd.Series:
        return pd.concat([source.read_labels(store) for source in self.of], axis=1).mean(axis=1)


class TwoSupervisors(Method):
    """A student of the mean of two supervisors: the study's model, and another one with another seed."""

    kind = "two_supervisors"
    other: ModelSettings = ModelSettings(model="tiny/middle")

    def weak_labels(self, lab: Lab) -> MeanOf:
        return MeanOf(of=(lab.other_supervisor(), lab.other_supervisor(lab.tuned(self.other), seed=lab.seed + 100)))

    def predictors(self, lab: Lab) -> tuple[Student, ...]:
        return (lab.student(self.weak_labels(lab), self.loss),)


class AnotherSupervisor(Method):
    """A student of a single supervisor of another seed."""

    kind = "another_supervisor"

    def weak_labels(self, lab: Lab) -> WeakLabelSource:
        return lab.other_supervisor(seed=lab.seed + 7)

    def predictors(self, lab: Lab) -> tuple[Student, ...]:
        return (lab.student(self.weak_labels(lab), self.loss),)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    _register(monkeypatch, TwoSupervisors, AnotherSupervisor)


def _register(patch: pytest.MonkeyPatch, *classes: type[Method]) -> None:
    methods.names()
    patch.setattr(methods, "_classes", {**methods._classes, **{one.kind: one for one in classes}})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        _register(patch, TwoSupervisors, AnotherSupervisor)
        study = parse_study(
            {**TINY, "datasets": ["tiny-home"], "methods": ["vanilla", "two_supervisors", "another_supervisor"]}
        )
        store = Store(tmp_path_factory.mktemp("own") / "store")
        yield run_study(study, store), store


def _auroc(p: pd.Series, rows: pd.DataFrame, split: str) -> float:
    part = rows[rows["split"] == split]
    return float(roc_auc_score(part["y"] > 0.5, p.loc[part.index]))


def test_the_zero_of_pgr_is_the_auc_of_the_methods_own_labels(finished):
    done, store = finished
    for run in done.experiments:
        if run.purpose != "method":
            continue
        truth = run.truth.read_labels(store)
        rows = run.texts.read(store).set_index("id")[["split"]].assign(y=truth)
        supervisors = [
            stage for stage in run.stages() if stage.label and getattr(stage, "train_split", "") == "weak_train"
        ]
        p = pd.concat([stage.predictions(store).set_index("id")["p"] for stage in supervisors], axis=1).mean(axis=1)
        assert len(supervisors) == (2 if run.method.kind == "two_supervisors" else 1)
        summary = done.results.summary
        row = summary[summary["method"] == run.method.kind].iloc[0]
        weak, student, ceiling = (row[f"{role}_auroc"] for role in ("weak", "student", "ceiling"))
        assert weak == pytest.approx(_auroc(p, rows, "test"), abs=1e-12)
        assert row["pgr"] == pytest.approx((student - weak) / (ceiling - weak), abs=1e-9)
    assert done.results.summary["weak_auroc"].nunique() == 3  # three different supervisors


def test_tables_tell_its_supervisor_from_the_studys(finished):
    done, _ = finished
    scores = done.results.scores
    weak = scores[(scores["role"] == "weak") & (scores["split"] == "test")].set_index("method")["auroc"]
    assert set(weak.index) == {"", "two_supervisors", "another_supervisor"}
    summary = done.results.summary.set_index("method")["weak_auroc"]
    assert weak[""] == summary["vanilla"]
    for kind in ("two_supervisors", "another_supervisor"):
        assert weak[kind] == summary[kind]
    assert set(scores["weak"]) == {"tiny/weak"}  # the pair of the study, by which compare pairs
    paired = pair(scores, done.results.pgr, "vanilla")
    students = scores[(scores["role"] == "student") & (scores["split"] == "test")].set_index("method")["auroc"]
    found = {one.method.split()[0]: one.difference for one in paired.differences}
    for kind in ("two_supervisors", "another_supervisor"):
        assert found[kind] == pytest.approx(students[kind] - students["vanilla"], abs=1e-11)


def test_round_gains_are_from_its_own_labels(finished):
    done, _ = finished
    scores = done.results.scores
    own = scores[(scores["role"] == "weak") & (scores["split"] == "strong_train")].set_index("method")["auroc"]
    gain = strong_train_gain(scores).set_index("method")["weak_auroc"]
    assert gain["two_supervisors"] == own["two_supervisors"]
    assert gain["vanilla"] == own[""]


def test_repeated_errors_are_those_of_its_own_labels(finished):
    done, store = finished
    (run,) = [run for run in done.experiments if run.method.kind == "two_supervisors"]
    rows = run.texts.read(store).set_index("id")[["split"]].assign(y=run.truth.read_labels(store))
    test = rows[rows["split"] == "test"]
    y = (test["y"] > 0.5).to_numpy()
    weak = (run.labels.read_labels(store).loc[test.index] > 0.5).to_numpy()
    student = (run.students[-1].predictions(store).set_index("id")["p"].loc[test.index] > 0.5).to_numpy()
    wrong = weak != y
    row = done.results.diagnostics.set_index("method").loc["two_supervisors"]
    assert row["imitation_wrong"] == pytest.approx(np.mean(student[wrong] == weak[wrong]), abs=1e-12)


def test_its_models_are_pinned_when_the_study_is_resolved(finished):
    done, _ = finished
    (pinned,) = [one for one in done.resolution.study.methods if one.kind == "two_supervisors"]
    assert pinned.other.revision.startswith("sha256:")
    assert pinned.other.num_layers is not None
    assert {one.spec.model.name for one in done.resolution.models} == {"tiny/weak", "tiny/middle", "tiny/strong"}


def test_no_truth_of_the_students_rows_reaches_it_by_way_of_its_own_labels(tmp_path, monkeypatch):
    class Cheat(AnotherSupervisor):
        kind = "cheat"

        def weak_labels(self, lab):
            return MeanOf(of=(lab.other_supervisor(), lab.ceiling))

    _register(monkeypatch, Cheat)
    study = parse_study({**TINY, "datasets": ["tiny-home"], "methods": ["cheat"]})
    with pytest.raises(ValueError, match="trained on the ground truth of strong_train itself"):
        run_study(study, Store(tmp_path / "store"))
