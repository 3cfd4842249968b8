"""Every method from the graph that it wires to a whole run on the tiny models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from outshine.engine.errors import OutshineError, SettingsError
from outshine.engine.progress import Silent
from outshine.engine.stage import in_order
from outshine.engine.store.store import Store
from outshine.learn.filters.probe_disagreement import ProbeDisagreement
from outshine.learn.filters.topofilter import TopoFilter
from outshine.learn.losses.xent import Xent
from outshine.learn.probes.knn import KNN
from outshine.learn.probes.logistic import Logistic
from outshine.results.finished import run_study
from outshine.results.trajectories import strong_train_gain
from outshine.w2s.lab import Lab, TrainableModel
from outshine.w2s.methods import methods
from outshine.w2s.methods.filtered import FilteredMethod
from outshine.w2s.methods.probe import ProbeMethod
from outshine.w2s.plan import plan_study
from outshine.w2s.stages.finetune import Student, Supervised
from outshine.w2s.stages.labels import GroundTruth
from outshine.w2s.stages.prepare import tokenized
from outshine.w2s.stages.probing import Probing
from outshine.w2s.study_file import parse_study

pytestmark = pytest.mark.slow  # every method is run

METHODS = [
    "vanilla",
    "strong_to_strong",
    {"kind": "probe", "probe": {"kind": "knn", "k": 20}},
    {"kind": "probe", "probe": "logistic", "layer": "last"},
    {"kind": "probe_to_strong", "cross_fit": 3},
    {"kind": "filtered", "filter": {"kind": "topofilter", "k": 20}, "loss": {"kind": "logconf"}},
    {"kind": "filtered", "filter": {"kind": "knn", "k": 20}, "filter_val": True, "loss": "window", "drop": 0.25},
    {"kind": "vanilla", "loss": {"kind": "entropy", "alpha": 0.7}},
    {"kind": "control", "labels": "noise_matched"},
    "weak_to_weak",
    {"kind": "truth_probe", "layer": "last"},
]

CONTROLS = ("control", "truth_probe")  # these are given ground truth, and say so


def study(chosen, **settings):
    raw = {
        "datasets": ["tiny-home"],
        "weak": "tiny/weak",
        "strong": "tiny/strong",
        "loss": "xent",
        "compute_dtype": "float32",
        "splits": {"n_train": 160, "n_val": 60, "n_test": 60},
        "training": {"epochs": 1},
        "runtime": {"threads": 1},
        "methods": chosen,
    }
    return parse_study(raw | settings)


class Ran:
    """The methods above, run once."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.progress = Silent()
        self.finished = run_study(study(METHODS), self.store, self.progress)
        self.experiments = self.finished.experiments
        self.scores = self.finished.results.scores

    def of(self, kind: str, number: int = 0):
        return [run for run in self.experiments if run.method.kind == kind][number]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    return Ran(tmp_path_factory.mktemp("methods") / "store")


def test_every_registered_method_is_run_here():
    named = {one if isinstance(one, str) else one["kind"] for one in METHODS}
    assert named == set(methods.names())


def test_every_round_of_every_method_is_scored_on_all_splits(ran):
    students = ran.scores[ran.scores["role"] == "student"]
    rounds = sum(len(run.students) for run in ran.experiments)
    assert rounds == len(METHODS) + 2
    rounds -= 1  # round 0 of strong-to-strong training is the vanilla student, which is there already
    assert len(students) == 3 * rounds
    assert np.isfinite(students["auroc"]).all()
    assert students["variant"].nunique() > 5
    summary = ran.finished.results.summary
    assert len(summary) == rounds
    assert (summary["defined"] | (summary["reason"] != "")).all()


def test_scores_of_a_probe_are_scikit_learns(ran):
    run = ran.of("probe")
    frame = run.students[0].predictions(ran.store).set_index("id")
    truth = run.truth.read_labels(ran.store)
    test = frame[frame["split"] == "test"]
    row = ran.scores[(ran.scores["key"] == run.students[0].key) & (ran.scores["split"] == "test")].iloc[0]
    assert row["auroc"] == pytest.approx(roc_auc_score(truth.loc[test.index], test["p"]), abs=1e-12)
    assert row["loss"] == ""
    assert row["variant"] == "probe=knn(k=20)"


def test_what_all_methods_share_is_computed_once(ran):
    assert len({run.ceiling.key for run in ran.experiments}) == 1
    assert len({run.study_labels for run in ran.experiments}) == 1
    assert ran.of("strong_to_strong").students[0].key == ran.of("vanilla").students[0].key
    again = plan_study(study(METHODS), ran.store, Silent())
    assert again.missing == []
    kinds = [stage.stage for stage in again.stages]
    assert kinds.count("activations") == 2  # layer 1 for all, and the last for one probe
    assert kinds.count("keep") == 2


def test_no_predictor_depends_on_ground_truth_but_the_supervisors(ran):
    for run in ran.experiments:
        if run.method.kind in CONTROLS:
            continue
        for stage in in_order(list(run.students)):
            if isinstance(stage, Supervised):
                assert stage in run.wiring.supervisors
                assert stage.train_split == "weak_train"
            else:
                assert not any(isinstance(getattr(stage, name), GroundTruth) for name in type(stage).model_fields)


def test_strong_to_strong_trains_each_student_on_the_one_before(ran):
    first, second, third = ran.of("strong_to_strong").students
    assert second.labels == first
    assert third.labels == second
    assert {student.seed for student in (first, second, third)} == {0}
    rounds = methods.parse({"kind": "strong_to_strong", "rounds": 1})
    assert rounds.rounds == 1
    scores = ran.scores[(ran.scores["method"] == "strong_to_strong") & (ran.scores["split"] == "test")]
    assert sorted(scores["round"]) == [1, 2]


def test_round_0_of_strong_to_strong_is_told_for_what_it_is(tmp_path):
    """The vanilla student, once, wherever it stands among the methods; pooled once."""
    for several in (["strong_to_strong"], ["vanilla", "strong_to_strong"], ["strong_to_strong", "vanilla"]):
        found = run_study(study(several), Store(tmp_path / "store"), Silent()).results
        for table in (found.summary, found.pgr, found.diagnostics, found.scores[found.scores["split"] == "test"]):
            told = [(row["method"], row["round"]) for row in table.to_dict("records") if row["method"]]
            assert sorted(told) == [("strong_to_strong", 1), ("strong_to_strong", 2), ("vanilla", 0)]
        assert {(one.method, one.round, one.pooled.num_datasets) for one in found.pooled} == {
            *(("strong_to_strong", 1, 1), ("strong_to_strong", 2, 1), ("vanilla", 0, 1)),
        }


def test_the_sign_of_student_minus_weak_on_strong_train(ran):
    gain = strong_train_gain(ran.scores)
    assert len(gain) == len(METHODS) + 1
    run = ran.of("strong_to_strong")
    truth = run.truth.read_labels(ran.store)
    for number, student in enumerate(run.students):
        aucs = []
        for stage in (student, run.labels):
            frame = stage.predictions(ran.store)
            frame = frame[frame["split"] == "strong_train"]
            aucs.append(roc_auc_score(truth.loc[frame["id"]], frame["log_odds"]))
        method = "strong_to_strong" if number else "vanilla"
        row = gain[(gain["method"] == method) & (gain["round"] == number)].iloc[0]
        assert row["student_minus_weak"] == pytest.approx(aucs[0] - aucs[1], abs=1e-12)
        assert row["sign"] == np.sign(aucs[0] - aucs[1])


def test_a_student_of_kept_rows_trains_on_them_and_predicts_all(ran):
    texts = ran.experiments[0].texts.read(ran.store)
    sizes = texts["split"].value_counts()
    for number, drop in ((0, 0.1), (1, 0.25)):
        (student,) = ran.of("filtered", number).students
        summary = student.keep.summary(ran.store)["strong_train"]
        assert summary["rows"] == sizes["strong_train"]
        assert summary["dropped"] >= round(drop * sizes["strong_train"])
        assert student.summary(ran.store)["train_rows"] == sizes["strong_train"] - summary["dropped"]
        predictions = student.predictions(ran.store)
        assert (predictions["split"] == "strong_train").sum() == sizes["strong_train"]


def test_dropped_rows_do_not_touch_the_student(ran):
    """The same student on labels that differ in dropped rows only would be trained on the very same rows."""
    (student,) = ran.of("filtered").students
    spec = student.classifier
    frame = tokenized(student.texts, spec.model, spec.max_length, ran.store, {}).frame
    train, val, _ = student.rows(frame, ran.store)
    dropped = student.keep.dropped(ran.store)
    assert dropped
    assert not dropped & set(train.ids)
    assert len(train.ids) + len(dropped) == (frame["split"] == "strong_train").sum()
    assert len(val.tokens) == (frame["split"] == "val").sum()
    p_weak = student.labels.read_labels(ran.store)
    pd.testing.assert_series_equal(
        pd.Series(train.y, index=train.ids), p_weak.loc[train.ids], check_names=False, check_index_type=False
    )


def test_probe_to_strong_relabels_strong_train_only(ran):
    (student,) = ran.of("probe_to_strong").students
    labels = student.labels.read_labels(ran.store)
    probing = student.labels.by
    assert probing.cross_fit == 3
    weak = ran.experiments[0].labels.read_labels(ran.store)
    texts = ran.experiments[0].texts.read(ran.store).set_index("id")["split"]
    train, val = texts.index[texts == "strong_train"], texts.index[texts == "val"]
    probe = probing.predictions(ran.store).set_index("id")["p"]
    assert np.array_equal(labels.loc[train], probe.loc[train])
    assert np.array_equal(labels.loc[val], weak.loc[val])


def test_methods_compose_with_any_loss(ran):
    losses = {
        (run.method.kind, run.students[-1].loss.kind)
        for run in ran.experiments
        if isinstance(run.students[-1], Student)
    }
    assert {("filtered", "logconf"), ("filtered", "window"), ("vanilla", "entropy"), ("vanilla", "xent")} <= losses
    assert any("alpha = 0.7 is above .5" in note for note in ran.progress.notes)


def test_a_probe_trains_no_student(ran):
    assert isinstance(ran.of("probe").students[0], Probing)
    with pytest.raises(OutshineError, match="takes no loss"):
        parse_study({"datasets": ["tiny-home"], "methods": [{"kind": "probe", "loss": "xent"}]})


def test_a_filter_may_be_named_by_a_probe():
    assert FilteredMethod(filter="knn").filter == ProbeDisagreement(probe=KNN())
    assert FilteredMethod(filter={"kind": "logistic", "penalty": 0.5}).filter == ProbeDisagreement(
        probe=Logistic(penalty=0.5)
    )
    assert FilteredMethod(filter={"kind": "topofilter", "k": 9}).filter == TopoFilter(k=9)
    assert FilteredMethod().filter == TopoFilter()
    with pytest.raises(OutshineError, match="unknown filter 'topo'; did you mean 'topofilter'"):
        methods.parse({"kind": "filtered", "filter": "topo"})


@pytest.mark.parametrize(
    ("layer", "blocks"),
    [("1/4", {2: 1, 32: 8}), ("1/2", {2: 1, 32: 16}), ("3/4", {2: 1, 32: 24}), ("last", {2: 2, 32: 32}), (0, {2: 0})],
)
def test_layers_by_number_or_share(layer, blocks, ran):
    run = ran.experiments[0]
    for whole, expected in blocks.items():
        spec = run.ceiling.classifier.model_copy(update={"num_layers": whole})
        lab = Lab(run.texts, run.truth, None, TrainableModel(spec, 1e-3), run.ceiling.training, Xent(), 0)
        assert ProbeMethod(layer=layer).layer_of(lab) == expected


def test_a_layer_that_does_not_exist_is_told_before_anything_is_trained(ran):
    with pytest.raises(SettingsError, match=r"layer 9 does not exist: tiny/strong has 2 blocks; give 0 .* to 2"):
        run_study(study([{"kind": "probe", "layer": 9}], training={"epochs": 2}), ran.store, Silent())


@pytest.mark.parametrize(
    "method",
    [{"kind": "probe", "layer": -1}, {"kind": "probe", "layer": "half"}, {"kind": "filtered", "drop": 1.0}, {"kind": "filtered", "drop": -0.1},
     {"kind": "strong_to_strong", "rounds": 0}, {"kind": "probe_to_strong", "cross_fit": -1}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(method):
    with pytest.raises((OutshineError, ValidationError)):
        methods.parse(method)
