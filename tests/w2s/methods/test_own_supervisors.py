"""A method whose labels come from other supervisors than the study's is measured against these."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from outshine.engine.errors import SettingsError
from outshine.engine.key import digest
from outshine.engine.progress import Silent as SilentProgress
from outshine.engine.store.store import Store
from outshine.learn.spec import ModelSettings
from outshine.results.controls import against
from outshine.results.finished import run_study
from outshine.results.pairing import pair
from outshine.results.trajectories import strong_train_gain
from outshine.stats.supervisor_agreement import capa
from outshine.w2s.lab import Lab, Wiring
from outshine.w2s.methods.base import Method, methods
from outshine.w2s.plan import plan_study
from outshine.w2s.stages.labels import CombinedLabels, WeakLabelSource
from outshine.w2s.study_file import parse_study
from small_study import TINY

pytestmark = pytest.mark.slow  # whole studies


class TwoSupervisors(Method):
    """A student of the mean of two supervisors: the study's model, and another one with another seed."""

    kind = "two_supervisors"
    other: ModelSettings = ModelSettings(model="tiny/middle")

    def wire(self, lab: Lab) -> Wiring:
        other = lab.other_supervisor(lab.tuned(self.other), seed=lab.seed + 100)
        labels = CombinedLabels(of=(lab.other_supervisor(), other))
        return lab.wiring(lab.student(labels, self.loss), labels=labels)


class AnotherSupervisor(Method):
    """A student of a single supervisor of another seed."""

    kind = "another_supervisor"

    def wire(self, lab: Lab) -> Wiring:
        labels = lab.other_supervisor(seed=lab.seed + 7)
        return lab.wiring(lab.student(labels, self.loss), labels=labels)


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
            {**TINY, "datasets": ["tiny-home"], "methods": ["two_supervisors", "vanilla", "another_supervisor"]}
        )
        store = Store(tmp_path_factory.mktemp("own") / "store")
        yield run_study(study, store), store


def _auroc(p: pd.Series, rows: pd.DataFrame, split: str) -> float:
    part = rows[rows["split"] == split]
    return float(roc_auc_score(part["y"] > 0.5, p.loc[part.index]))


def _of_labels(scores: pd.DataFrame, split: str) -> pd.Series:
    """By method: the AUROC of the labels that it is measured from, without the rows of the models that made them."""
    weak = scores[(scores["role"] == "weak") & (scores["split"] == split)]
    return weak[~weak["variant"].str.contains("supervisor=")].set_index("method")["auroc"]


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
    weak = _of_labels(scores, "test")
    assert sorted(weak.index) == ["", "another_supervisor", "two_supervisors"]
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


def test_each_supervisor_of_a_committee_has_a_row_beside_the_one_of_their_labels(finished):
    done, store = finished
    scores, training = done.results.scores, done.results.training
    weak = scores[(scores["role"] == "weak") & (scores["method"] == "two_supervisors")]
    (own,) = set(scores.loc[(scores["role"] == "student") & (scores["method"] == "two_supervisors"), "variant"])
    rows = weak[weak["split"] == "test"].set_index("variant")
    one, other = f"{own}, supervisor=tiny/weak", f"{own}, supervisor=tiny/middle"
    assert list(rows.index) == [own, one, other]
    assert len(weak) == 3 * 3
    assert rows["method_id"].nunique() == 1
    (run,) = [run for run in done.experiments if run.method.kind == "two_supervisors"]
    truth = run.truth.read_labels(store)
    truths = run.texts.read(store).set_index("id")[["split"]].assign(y=truth)
    first, second = run.wiring.supervisors
    assert (first.classifier.name, second.classifier.name) == ("tiny/weak", "tiny/middle")
    for supervisor, words in ((first, one), (second, other)):
        p = supervisor.predictions(store).set_index("id")["log_odds"]
        assert rows.loc[words, "key"] == supervisor.key
        assert rows.loc[words, "auroc"] == pytest.approx(_auroc(p, truths, "test"), abs=1e-12)
    both = (first.read_labels(store) + second.read_labels(store)) / 2
    assert rows.loc[own, "key"] == ""
    assert rows.loc[own, "auroc"] == pytest.approx(_auroc(both, truths, "test"), abs=1e-12)
    trained = training[training["method"] == "two_supervisors"].set_index("key")["variant"]
    assert trained[second.key] == other
    assert first.key in set(training.loc[training["method"] == "", "key"])  # the study's, which vanilla has as well


def test_two_supervisors_of_one_model_are_told_apart_and_a_label_made_of_a_student_has_its_own_row(
    tmp_path, monkeypatch
):
    class TwoSeeds(Method):
        kind = "two_seeds"

        def wire(self, lab):
            first, second = lab.other_supervisor(seed=1), lab.other_supervisor(seed=2)
            labels = lab.student(CombinedLabels(of=(first, second), mean="log_odds"), model=lab.weak)
            return lab.wiring(lab.student(labels, self.loss), labels=labels)

    _register(monkeypatch, TwoSeeds)
    study = parse_study({**TINY, "datasets": ["tiny-home"], "controls": ["two_seeds"], "methods": ["vanilla"]})
    done = run_study(study, Store(tmp_path / "store"))
    scores = done.results.scores[done.results.scores["split"] == "test"]
    weak = scores[(scores["role"] == "weak") & (scores["method"] == "two_seeds")].set_index("variant")
    assert list(weak.index) == ["", "supervisor=tiny/weak", "supervisor=tiny/weak (2)"]
    (run,) = [run for run in done.experiments if run.method.kind == "two_seeds"]
    assert list(weak["key"]) == [run.labels.key, *(one.key for one in run.wiring.supervisors)]
    student = scores[(scores["role"] == "student") & (scores["method"] == "two_seeds")]["auroc"].item()
    (control,) = against(done.results.scores).by_dataset.to_dict("records")
    assert control["weak_auroc"] == weak.loc["", "auroc"]
    assert control["minus_weak"] == pytest.approx(student - weak.loc["", "auroc"], abs=1e-11)


def test_round_gains_are_from_its_own_labels(finished):
    done, _ = finished
    scores = done.results.scores
    own = _of_labels(scores, "strong_train")
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
    p_weak, p_student = (
        source.read_labels(store).loc[test.index].to_numpy() for source in (run.labels, run.students[-1])
    )
    assert row["capa_weak_student"] == pytest.approx(capa(y, p_weak, p_student), abs=1e-12)
    of_first = capa(y, run.wiring.supervisors[0].read_labels(store).loc[test.index].to_numpy(), p_student)
    assert row["capa_weak_student"] != pytest.approx(of_first, abs=1e-6)


def test_supervisors_that_a_method_does_not_name_are_refused(tmp_path, monkeypatch):
    class Silent(AnotherSupervisor):
        kind = "silent"

        def wire(self, lab):
            return lab.wiring(lab.student(lab.other_supervisor(seed=lab.seed + 7), self.loss))

    class Knowing(Silent):
        kind = "knowing"

        def wire(self, lab):
            student = lab.student(lab.other_supervisor(seed=lab.seed + 7), self.loss)
            return lab.wiring(student, labels=lab.weak_labels)

    _register(monkeypatch, Silent, Knowing)
    raw = {**TINY, "datasets": ["tiny-home"]}
    with pytest.raises(
        SettingsError, match=r"a supervisor that is not the study's \(tiny/weak on tiny-home .* seed 7\)"
    ):
        plan_study(parse_study({**raw, "methods": ["silent"]}), Store(tmp_path / "store"), SilentProgress())
    plan_study(parse_study({**raw, "methods": ["knowing"]}), Store(tmp_path / "store"), SilentProgress())


def test_combined_labels_are_the_mean_of_p_or_of_log_odds_over_rows_that_all_label():
    class Given(WeakLabelSource):
        kind = "test.given"
        p: dict[str, float]

        def read_labels(self, store):
            return pd.Series(self.p)

    of = (Given(p={"a": 0.9, "b": 0.5, "c": 1.0}), Given(p={"c": 0.2, "a": 0.6, "d": 0.1}))
    store = Store.__new__(Store)
    p = CombinedLabels(of=of).read_labels(store)
    assert sorted(p.index) == ["a", "c"]
    assert p["a"] == pytest.approx(0.75)
    assert p["c"] == pytest.approx(0.6)
    p = CombinedLabels(of=of, mean="log_odds").read_labels(store)
    odds = np.sqrt(0.9 / 0.1 * 0.6 / 0.4)
    assert p["a"] == pytest.approx(odds / (1 + odds))
    odds = np.sqrt((1 - 1e-6) / 1e-6 * 0.2 / 0.8)
    assert p["c"] == pytest.approx(odds / (1 + odds))
    assert (
        len({digest(CombinedLabels(of=each, mean=mean)) for each in (of, of[::-1]) for mean in ("p", "log_odds")}) == 4
    )
    with pytest.raises(ValidationError):
        CombinedLabels(of=())


def test_its_models_are_pinned_when_the_study_is_resolved(finished):
    done, _ = finished
    (pinned,) = [one for one in done.resolution.study.methods if one.kind == "two_supervisors"]
    assert pinned.other.revision.startswith("sha256:")
    assert pinned.other.num_layers is not None
    assert {one.spec.model.name for one in done.resolution.models} == {"tiny/weak", "tiny/middle", "tiny/strong"}


def test_no_truth_of_the_students_rows_reaches_it_by_way_of_its_own_labels(tmp_path, monkeypatch):
    class Cheat(AnotherSupervisor):
        kind = "cheat"

        def wire(self, lab):
            return lab.wiring(lab.student(CombinedLabels(of=(lab.other_supervisor(), lab.ceiling))))

    _register(monkeypatch, Cheat)
    study = parse_study({**TINY, "datasets": ["tiny-home"], "methods": ["cheat"]})
    with pytest.raises(ValueError, match="trained on the ground truth of strong_train itself"):
        run_study(study, Store(tmp_path / "store"))
