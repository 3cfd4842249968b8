"""A task that is not the usual one, from preparation through training to tables; and tasks that nothing can work with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

import outshine
from outshine.data.recipes.file import FileDataset
from outshine.data.recipes.tiny import TinyHome, TinyInstrumentFamily
from outshine.data.schema import recipes
from outshine.data.task import BINARY, EVERY_OUTCOME, Binary, CheckpointScore, MultiClass, Task, tasks
from outshine.engine.errors import SettingsError
from outshine.engine.store.store import Store
from outshine.learn.losses.logconf import LogConf
from outshine.stats.auroc import accuracy
from outshine.w2s.expand import expand, resolve_study
from outshine.w2s.methods.vanilla import Vanilla
from outshine.w2s.study import _plugins_in
from small_study import TINY


class OneLogit(Binary):
    """Binary labels, but a head of one output, labels above .3 positive, and accuracy wherever AUROC is usual."""

    kind = "tests.one_logit"
    metric: ClassVar[str] = "accuracy"
    threshold: float = 0.3

    @property
    def num_outputs(self) -> int:
        return 1

    def scores(self, logits: Any) -> Any:
        return logits[..., 0]

    def selection(self, labels: np.ndarray, is_truth: bool, metric: str) -> CheckpointScore:
        return CheckpointScore(lambda scores: accuracy(self.classes(labels), scores), "val: chosen by accuracy")


class Coast(TinyHome):
    kind = "tests-coast"
    task: ClassVar[Task] = OneLogit(class_names=("inland", "coastal"))


class Three(Coast):
    kind = "tests-three"

    class Classes(OneLogit):
        kind = "tests.classes"
        outcome: ClassVar[str] = "classes"

    task: ClassVar[Task] = Classes()


class Ranked(MultiClass):
    """Classes in an order: one output of the head, and an outcome that no plug-in of outshine knows by its name."""

    kind = "tests.ranked"
    outcome: ClassVar[str] = "ranked"
    special_case_of: ClassVar[tuple[str, ...]] = ("multiclass",)

    @property
    def num_outputs(self) -> int:
        return 1

    def scores(self, logits: Any) -> Any:
        steps = torch.arange(len(self.class_names), dtype=logits.dtype)
        return logits * steps - steps.square() / 2  # log p(k) up to a constant: classes are Gaussians in a row


class RankedFamilies(TinyInstrumentFamily):
    kind = "tests-ranked"
    task: ClassVar[Task] = Ranked(class_names=TinyInstrumentFamily.task.class_names)


class RankedFile(FileDataset):
    kind = "tests-ranked-file"

    @property
    def task(self) -> Task:  # pyright: ignore[reportIncompatibleVariableOverride]
        return Ranked(class_names=super().task.class_names)


STUDY: dict[str, Any] = {
    **TINY,
    "loss": "xent",
    "methods": [
        "vanilla",
        {"kind": "filtered", "filter": {"kind": "topofilter", "k": 20}},
        {"kind": "control", "labels": "noise_matched"},
    ],
}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes.names()
    for recipe in (Coast, Three, RankedFamilies, RankedFile):
        monkeypatch.setitem(recipes._classes, recipe.kind, recipe)
    tasks.names()
    monkeypatch.setitem(tasks._classes, Ranked.kind, Ranked)


@pytest.mark.slow
def test_a_task_of_its_own_is_asked_from_preparation_to_tables(tmp_path):
    study = outshine.Study(**STUDY, datasets=[Coast()])
    store = Store(tmp_path / "store")
    results = outshine.run(study, store=store.root, out=tmp_path / "out")
    experiments = expand(resolve_study(study), store)
    first = experiments[0]
    supervised = first.labels
    assert first.texts.task == Coast.task

    # the head has one output, and a label above .3 is positive wherever labels are hardened
    from safetensors.torch import load_file

    head = load_file(store.file(supervised.key, "head.safetensors"))["weight"]
    assert head.shape[0] == 1
    p = supervised.read_labels(store)
    np.testing.assert_array_equal(first.texts.task.classes(p.to_numpy()), p.to_numpy() > 0.3)

    # validation went by accuracy: what the curve says are shares of rows
    curve = supervised.read_curve(store)
    val = curve["val_auroc"].dropna().to_numpy()
    rows = first.prepare.report(store)["splits"]["val"]["rows"]
    np.testing.assert_allclose(val * rows, np.round(val * rows), atol=1e-9)
    assert "val: chosen by accuracy" in supervised.summary(store)["notes"]

    # results are told by accuracy; the table of scores measures both all the same
    scores = results.scores.query("split == 'test' and role == 'student' and method == 'vanilla'")
    summary = results.summary.query("method == 'vanilla'")
    assert summary["student_auroc"].tolist() == scores["accuracy"].tolist()

    # its words are on the page
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "coastal" in page
    assert "inland" in page
    assert pd.read_parquet(tmp_path / "out" / "summary.parquet")["student_auroc"].between(0, 1).all()


@pytest.mark.slow
def test_whatever_works_with_classes_works_with_a_special_case_of_them(tmp_path):
    """Every loss, probe, filter and control, another test set and the report, with a head of one output."""
    from sklearn.metrics import roc_auc_score

    losses = ("xent", "logconf", "entropy", "window", "confidence_weighted")
    study = outshine.Study(
        **{
            **TINY,
            "methods": [
                *({"kind": "vanilla", "loss": loss} for loss in losses),
                {"kind": "probe", "probe": {"kind": "knn", "k": 20}},
                {"kind": "probe_to_strong", "probe": "logistic", "loss": "xent"},
                {"kind": "filtered", "filter": {"kind": "topofilter", "k": 20}, "loss": "xent"},
            ],
            "controls": True,
            "metrics": ["accuracy", "log_loss"],
            "trajectories": True,
            "tests": {"other": RankedFamilies()},
        },
        datasets=[RankedFamilies()],
    )
    store = Store(tmp_path / "store")
    results = outshine.run(study, store=store.root, out=tmp_path / "out")
    assert results.failed.empty
    for run in expand(resolve_study(study), store):
        truth = run.truth.read_labels(store).to_numpy().argmax(1)
        y = pd.Series(truth, index=run.truth.read_labels(store).index)
        for stage in (run.labels, run.ceiling, *run.students):
            test = stage.predictions(store).query("split == 'test'").set_index("id")
            p = test[[f"p_{k}" for k in range(4)]].to_numpy()
            row = results.scores.query("key == @stage.key and split == 'test'").iloc[0]
            assert row["auroc"] == pytest.approx(roc_auc_score(y[test.index], p, multi_class="ovr"), abs=1e-9)
    assert results.diagnostics["student_brier"].between(0, 1).all()
    assert set(results.tests["test"]) == {"test", "other"}
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
    loaded = outshine.load(expand(resolve_study(study), store)[0].students[0].key, store=store.root)
    assert loaded.predict_proba(["Who plays the cello ?"]).shape == (1, 4)


@pytest.mark.slow
def test_a_file_has_the_task_that_a_recipe_of_it_says(tmp_path):
    job = TinyInstrumentFamily()
    rows = job.open(job.identify()).train.take(range(600))
    labels = [job.format(row, None).label for row in rows]  # pyright: ignore[reportArgumentType]
    table = pd.DataFrame({"text": [row["text"] for row in rows], "grade": [f"grade {label}" for label in labels]})
    table.to_csv(tmp_path / "graded.csv", index=False)
    dataset = RankedFile(path=str(tmp_path / "graded.csv"), label_column="grade", classes="all")
    study = outshine.Study(**{**STUDY, "methods": ["vanilla"]}, datasets=[dataset])
    store = Store(tmp_path / "store")
    results = outshine.run(study, store=store.root)
    assert len(results.summary) == 1
    (experiment,) = expand(resolve_study(study), store)
    assert experiment.texts.task == Ranked(class_names=tuple(f"grade {k}" for k in range(4)))


def test_a_task_says_what_it_is_a_special_case_of():
    ranked = RankedFamilies.task
    assert ranked.works_with(EVERY_OUTCOME)
    assert ranked.works_with(("ranked",))
    assert not ranked.works_with(("binary", "pairwise"))
    assert not MultiClass(class_names=("a", "b", "c")).works_with(("ranked",))
    with pytest.raises(SettingsError, match=r"'auroc' works with binary and pairwise labels only, .* are ranked"):
        outshine.Study(**{**STUDY, "methods": ["vanilla"], "metrics": ["auroc"]}, datasets=[RankedFamilies()])


def test_supervisor_and_ceiling_are_trained_with_a_loss_that_must_work_with_the_labels():
    class OwnLoss(LogConf):
        kind = "tests.own_loss"
        outcomes: ClassVar[tuple[str, ...]] = ("classes",)

    class OwnMethod(Vanilla):
        kind = "tests.own_method"
        outcomes: ClassVar[tuple[str, ...]] = ("classes",)

    with pytest.raises(SettingsError, match="'xent' works with"):
        outshine.Study(**{**STUDY, "methods": [OwnMethod(loss=OwnLoss())]}, datasets=[Three()])


def test_the_task_is_part_of_keys_unless_it_is_the_usual_one(tmp_path):
    def keys(recipe: TinyHome) -> list[str]:
        from outshine.engine.progress import Silent
        from outshine.engine.run.local import LocalExecutor
        from outshine.engine.runtime import Runtime

        store = Store(tmp_path / "keys")
        resolution = resolve_study(outshine.Study(**{**STUDY, "methods": ["vanilla"]}, datasets=[recipe]))
        LocalExecutor(store, Runtime(threads=1), Silent()).run([*resolution.prepares])
        (experiment,) = expand(resolution, store)
        return [experiment.prepare.key, experiment.ceiling.key, experiment.students[0].key]

    class Told(TinyHome):
        kind = "tiny-home"
        task: ClassVar[Task] = Binary(class_names=("inland", "coastal"))

    class Lower(TinyHome):
        kind = "tiny-home"
        task: ClassVar[Task] = Binary(threshold=0.3)

    usual = keys(TinyHome())
    assert keys(Told()) == usual
    assert set(keys(Lower())).isdisjoint(usual)


@pytest.mark.parametrize(
    ("more", "who"),
    [
        ({}, "'xent'"),
        ({"loss": LogConf()}, "'logconf'"),
        ({"methods": [{"kind": "vanilla", "loss": "window"}, {"kind": "vanilla", "loss": "xent"}]}, "'vanilla'"),
        ({"metrics": ["accuracy"]}, "'xent'"),
    ],
)
def test_what_cannot_work_with_the_labels_is_refused_in_one_line(more, who):
    with pytest.raises(SettingsError) as raised:
        outshine.Study(**{**STUDY, **more}, datasets=[Three()])
    assert str(raised.value).startswith(who)
    assert "labels only, and the labels of 'tests-three' are classes" in str(raised.value)


def test_plug_ins_are_found_inside_each_other():
    study = outshine.Study(**STUDY, datasets=["tiny-home"], sweeps=[{"kind": "probe", "probe": "knn"}])
    found = {plugin.kind for plugin in _plugins_in([*study.methods, *study.sweeps])}
    assert found == {"vanilla", "filtered", "topofilter", "control", "probe", "knn"}


def test_a_head_is_as_wide_as_the_task_asks():
    from outshine.learn.classifier import Classifier
    from outshine.learn.spec import ClassifierSpec, Head, ModelRef

    def backbone() -> torch.nn.Module:
        made = torch.nn.Linear(1, 1)
        made.config = SimpleNamespace(hidden_size=4)  # pyright: ignore[reportAttributeAccessIssue]
        return made

    model = ModelRef(identity="sha256:" + "0" * 64, name="none")
    spec = ClassifierSpec(
        model=model, num_layers=1, pooling="last", tuning=Head(), max_length=8, compute_dtype="float32"
    )
    two, one = (Classifier(backbone(), spec, 0, task) for task in (BINARY, OneLogit()))
    assert (two.head.shape, one.head.shape) == ((2, 4), (1, 4))
    pooled = torch.randn(3, 4)
    torch.testing.assert_close(one._judged(pooled), pooled @ one.head[0])
    torch.testing.assert_close(two._judged(pooled), pooled @ (two.head[1] - two.head[0]))
