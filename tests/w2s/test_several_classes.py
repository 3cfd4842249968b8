"""A study of four classes from preparation to the page, its numbers derived once more with scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score

import outshine
from outshine.data.recipes.file import FileDataset
from outshine.data.recipes.tiny import TinyInstrumentFamily, TinyJob
from outshine.engine.errors import DataError, SettingsError
from outshine.engine.store.store import Store
from outshine.results.results import Results
from outshine.w2s.expand import Experiment, expand, resolve_study
from outshine.w2s.stages.activations import _shown
from outshine.w2s.stages.labels import CombinedLabels
from small_study import TINY

pytestmark = pytest.mark.slow

NAMES = TinyInstrumentFamily.task.class_names
STUDY: dict[str, Any] = {
    **TINY,
    "name": "families",
    "datasets": ["tiny-instrument-family"],
    "methods": [
        *({"kind": "vanilla", "loss": loss} for loss in ("xent", "logconf", "entropy", "window")),
        {"kind": "strong_to_strong", "rounds": 1},
        {"kind": "probe", "probe": {"kind": "knn", "k": 20}},
        {"kind": "probe_to_strong", "probe": "logistic", "cross_fit": 3},
        {"kind": "filtered", "filter": {"kind": "topofilter", "k": 20}},
        {"kind": "filtered", "filter": {"kind": "knn", "k": 20}},
    ],
    "controls": True,
    "trajectories": True,
    "metrics": ["accuracy", "balanced_accuracy", "log_loss"],
}


class Ran(NamedTuple):
    out: Path
    store: Store
    results: Results
    experiments: list[Experiment]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("classes")
    study, store = outshine.Study(**STUDY), Store(folder / "store")
    results = outshine.run(study, store=store.root, out=folder / "out")
    return Ran(folder / "out", store, results, expand(resolve_study(study), store))


def truth_and_p(run: Experiment, stage: Any, store: Store, split: str) -> tuple[np.ndarray, np.ndarray]:
    """True classes and probabilities of a split as they lie in the files."""
    truth = pd.read_parquet(store.file(run.prepare.key, "truth.parquet")).set_index("id")["label"]
    predicted = pd.read_parquet(store.file(stage.key, "predictions.parquet")).set_index("id")
    predicted = predicted[predicted["split"] == split]
    p = predicted[[f"p_{k}" for k in range(4)]].to_numpy()
    logits = predicted[[f"log_p_{k}" for k in range(4)]].to_numpy()
    np.testing.assert_allclose(np.exp(logits).sum(1), 1, atol=1e-9)
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-9)
    return truth[predicted.index].to_numpy(), p


def test_scores_are_scikit_learns(ran: Ran) -> None:
    table = ran.results.scores.set_index(["key", "split"])
    checked = 0
    for run in ran.experiments:
        for stage in (run.labels, run.ceiling, *run.students):
            for split in ("strong_train", "val", "test"):
                y, p = truth_and_p(run, stage, ran.store, split)
                row = table.loc[[(stage.key, split)]].iloc[0]
                assert row["auroc"] == pytest.approx(roc_auc_score(y, p, multi_class="ovr"), abs=1e-12)
                assert row["accuracy"] == pytest.approx(accuracy_score(y, p.argmax(1)), abs=1e-12)
                assert row["auroc_low"] <= row["auroc"] <= row["auroc_high"]
                checked += 1
    assert checked > 60


def test_tables_of_metrics_and_pgr_follow_from_the_roles(ran: Ran) -> None:
    run = ran.experiments[0]
    values = {}
    for role, stage in {"weak": run.labels, "student": run.students[-1], "ceiling": run.ceiling}.items():
        y, p = truth_and_p(run, stage, ran.store, "test")
        values[role] = {
            "macro_auroc": roc_auc_score(y, p, multi_class="ovr"),
            "accuracy": accuracy_score(y, p.argmax(1)),
            "balanced_accuracy": balanced_accuracy_score(y, p.argmax(1)),
            "log_loss": -log_loss(y, p, labels=range(4)),
        }
    first = ran.results.summary.iloc[0]
    assert first["pgr"] == pytest.approx(
        (values["student"]["macro_auroc"] - values["weak"]["macro_auroc"])
        / (values["ceiling"]["macro_auroc"] - values["weak"]["macro_auroc"]),
        abs=1e-9,
    )
    table = ran.results.metrics[ran.results.metrics["method_id"] == first["method_id"]].set_index("metric")
    for metric in ("accuracy", "balanced_accuracy", "log_loss"):
        for role in values:
            assert table.loc[metric, f"{role}_value"] == pytest.approx(values[role][metric], abs=1e-9)


def test_diagnostics_by_hand(ran: Ran) -> None:
    run = ran.experiments[0]
    y, weak = truth_and_p(run, run.labels, ran.store, "test")
    _, student = truth_and_p(run, run.students[0], ran.store, "test")
    row = ran.results.diagnostics.iloc[0]
    onehot = np.eye(4)[y]
    assert row["student_brier"] == pytest.approx(((student - onehot) ** 2).sum(1).mean() / 2)
    assert row["misfit"] == pytest.approx(((student - weak) ** 2).sum(1).mean() / 2)
    wrong = weak.argmax(1) != y
    assert row["num_weak_wrong"] == wrong.sum()
    assert row["imitation_wrong"] == pytest.approx((student.argmax(1) == weak.argmax(1))[wrong].mean())
    right = [float(p[np.arange(len(y)), y].mean()) for p in (weak, student)]
    expected = right[0] * right[1] + (1 - right[0]) * (1 - right[1]) / 3
    observed = (weak * student).sum(1).mean()
    assert row["capa_weak_student"] == pytest.approx((observed - expected) / (1 - expected))


def test_students_learn_from_what_the_supervisor_says(ran: Ran) -> None:
    run = ran.experiments[0]
    labels = run.students[0].label_source().read_labels(ran.store)  # pyright: ignore[reportAttributeAccessIssue]
    predicted = pd.read_parquet(ran.store.file(run.labels.key, "predictions.parquet")).set_index("id")  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_array_equal(labels.to_numpy(), predicted.loc[labels.index, [f"p_{k}" for k in range(4)]])


def test_controls_keep_what_they_say(ran: Ran) -> None:
    controls = {run.method.labels: run for run in ran.experiments if run.method.kind == "control"}  # pyright: ignore[reportAttributeAccessIssue]
    weak = controls["constant"].labels.read_labels(ran.store)
    truth = controls["constant"].truth.read_labels(ran.store).to_numpy().argmax(1)
    rows = pd.read_parquet(ran.store.file(controls["constant"].prepare.key, "texts.parquet")).set_index("id")
    train = rows.index[rows["split"] == "strong_train"]
    of_train = pd.Series(truth, index=controls["constant"].truth.read_labels(ran.store).index)[train]

    def labels(name: str) -> pd.DataFrame:
        return controls[name].students[0].label_source().read_labels(ran.store).loc[train]  # pyright: ignore[reportAttributeAccessIssue]

    def rows_of(frame: pd.DataFrame) -> list[list[float]]:
        return sorted(frame.to_numpy().tolist())

    assert rows_of(labels("shuffled")) == rows_of(weak.loc[train])
    assert not np.array_equal(labels("shuffled").to_numpy(), weak.loc[train].to_numpy())
    np.testing.assert_allclose(labels("constant").to_numpy(), np.tile(weak.loc[train].mean(), (len(train), 1)))
    matched = labels("noise_matched")
    for number in range(4):
        own = of_train.index[of_train == number]
        assert rows_of(matched.loc[own]) == rows_of(weak.loc[own])
    coins = labels("random").to_numpy()
    np.testing.assert_array_equal(np.sort(coins, axis=1), np.tile([0, 0, 0, 1], (len(train), 1)))
    assert (coins.mean(0) > 0.1).all()


def test_a_committee_averages_probabilities_or_their_logarithms(ran: Ran) -> None:
    run = ran.experiments[0]
    tables = [stage.read_labels(ran.store) for stage in (run.labels, run.students[0])]
    mean = CombinedLabels(of=(run.labels, run.students[0])).read_labels(ran.store)
    np.testing.assert_allclose(mean, (tables[0] + tables[1].loc[tables[0].index]) / 2, atol=1e-12)
    geometric = CombinedLabels(of=(run.labels, run.students[0]), mean="log_odds").read_labels(ran.store)
    expected = np.sqrt(tables[0].to_numpy() * tables[1].loc[tables[0].index].to_numpy())
    np.testing.assert_allclose(geometric, expected / expected.sum(1, keepdims=True), atol=1e-9)


def test_the_page_names_the_classes_and_says_what_an_auroc_is(ran: Ran) -> None:
    page = (ran.out / "report.html").read_text(encoding="utf-8")
    assert "means over its 4 classes, each against the rest" in page
    assert all(name in page for name in NAMES)
    assert f"Classes: {', '.join(NAMES)}." in page
    assert "Positive means" not in page
    assert not ran.results.trajectories.empty


def test_a_student_is_read_back_and_predicts(ran: Ran) -> None:
    student = ran.experiments[0].students[0]
    loaded = outshine.load(student.key, store=ran.store.root)
    texts = loaded.texts[loaded.texts["split"] == "test"].head(12)
    p = loaded.predict_proba(texts)
    assert p.shape == (12, 4)
    stored = loaded.predictions.set_index("id").loc[texts["id"], [f"p_{k}" for k in range(4)]]
    np.testing.assert_allclose(p, stored, atol=1e-5)
    assert loaded.predict_proba([]).shape == (0, 4)


def test_select_is_refused_in_one_line(ran: Ran) -> None:
    with pytest.raises(DataError, match="two classes; tiny-instrument-family"):
        outshine.select(outshine.Study(**STUDY), store=ran.store.root)


def test_two_named_classes_give_the_results_of_a_binary_label(tmp_path: Path) -> None:
    """The same file by `classes` and by `positive`: the same stages, but for the preparation."""
    job = TinyJob()
    rows = job.open(job.identify()).train.take(range(500))
    frame = pd.DataFrame({"text": [row["text"] for row in rows]})
    frame["label"] = ["warm" if row["positive"] else "cold" for row in rows]
    path = tmp_path / "things.csv"
    frame.to_csv(path, index=False)
    small = {**TINY, "methods": ["vanilla", {"kind": "probe", "probe": {"kind": "knn", "k": 9}}], "loss": "xent"}
    tables = []
    for words_of in ({"classes": ["cold", "warm"]}, {"positive": "warm"}):
        study = outshine.Study(**small, datasets=[{"kind": "file", "path": str(path), **words_of}])
        tables.append(outshine.run(study, store=tmp_path / "store").summary)
    pd.testing.assert_frame_equal(*tables)


def test_a_hundred_classes_are_written_without_a_warning(tmp_path: Path) -> None:
    """pandas warns of tables to which many columns are added one by one."""
    frame = pd.DataFrame(
        [{"text": f"the {i}th of kind {k}", "label": f"kind {k}"} for k in range(100) for i in range(6)]
    )
    frame.to_csv(tmp_path / "kinds.csv", index=False)
    splits = {"n_train": 240, "n_val": 100, "n_test": 100}
    study = {**TINY, "methods": ["vanilla"], "loss": "xent", "splits": splits, "trajectories": True}
    dataset = {"kind": "file", "path": str(tmp_path / "kinds.csv"), "classes": "all"}
    results = outshine.run(outshine.Study(**study, datasets=[dataset]), store=tmp_path / "store", out=tmp_path / "out")
    assert results.failed.empty
    key = results.scores.query("role == 'student' and method == 'vanilla'")["key"].iloc[0]
    (path,) = (tmp_path / "store").rglob(f"{key}/predictions.parquet")
    assert len(pd.read_parquet(path).columns) == 2 + 200


def test_what_labels_mean_is_told_by_classes_where_there_are_more_than_two() -> None:
    names = [f"kind {number}" for number in range(40)]
    file = FileDataset(path="kinds.csv", classes=names)
    assert file.meaning == f"classes: {', '.join(names[:12])} … (40 in all)"
    assert TinyInstrumentFamily().meaning == f"classes: {', '.join(NAMES)}"
    assert TinyJob().meaning == f"positive means: {TinyJob.positive_means}"


def test_a_label_of_many_classes_is_shown_by_its_first_few() -> None:
    assert _shown(np.full(4, 0.25)) == "0.25 0.25 0.25 0.25"
    assert _shown(np.full(100, 0.01)) == " ".join(["0.01"] * 8) + " … (100 in all)"


def test_a_loss_for_one_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from outshine.learn.losses.window import Window

    monkeypatch.setattr(Window, "outcomes", ("binary",))
    with pytest.raises(SettingsError, match="'window' works with binary labels only"):
        outshine.Study(**{**STUDY, "methods": ["vanilla"], "loss": "window"})


def exported(ran: Ran, columns: list[str]) -> pd.DataFrame:
    """The test rows of the first method, with the scores of all roles in columns such as `student_2`."""
    run = ran.experiments[0]
    texts = pd.read_parquet(ran.store.file(run.prepare.key, "texts.parquet")).set_index("id")
    truth = pd.read_parquet(ran.store.file(run.prepare.key, "truth.parquet")).set_index("id")["label"]
    test = texts.index[texts["split"] == "test"]
    frame = pd.DataFrame({"id": test, "group": texts.loc[test, "group"], "label": truth[test]})
    for role, stage in {"weak": run.labels, "student": run.students[-1], "ceiling": run.ceiling}.items():
        predicted = pd.read_parquet(ran.store.file(stage.key, "predictions.parquet")).set_index("id")  # pyright: ignore
        for number, column in enumerate(columns):
            frame[f"{role}_{number}"] = predicted.loc[test, column]
    return frame


def test_exported_predictions_score_as_the_tables_say(ran: Ran, tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    exported(ran, [f"log_p_{k}" for k in range(4)]).to_parquet(path, index=False)
    metrics = ["macro_auroc", "accuracy", "balanced_accuracy", "log_loss"]
    scored = outshine.score(path, metric=metrics, values="log-odds").summary.set_index("metric")
    summary = ran.results.summary.iloc[0]
    others = ran.results.metrics[ran.results.metrics["method_id"] == summary["method_id"]].set_index("metric")
    for metric in metrics:
        own, value = (summary, "auroc") if metric == "macro_auroc" else (others.loc[metric], "value")
        for role in ("weak", "student", "ceiling"):
            expected = [own[f"{role}_{end}"] for end in (value, "low", "high")]
            found = [scored.loc[metric, f"{role}_{end}"] for end in ("value", "low", "high")]
            np.testing.assert_allclose(np.array(found, dtype=float), expected, rtol=0, atol=1e-12)
        same = ["pgr", "pgr_low", "pgr_high"]
        found = scored.loc[metric, same].to_numpy(dtype=float)
        np.testing.assert_allclose(found, own[same].to_numpy(dtype=float), rtol=1e-9, atol=1e-12)
