"""A study of preference pairs from preparation to tables; scores that change their sign where two texts change places."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import outshine
from outshine.engine.store.store import Store
from outshine.results.results import Results
from outshine.w2s.expand import Experiment, expand, resolve_study
from small_study import TINY

pytestmark = pytest.mark.slow

STUDY: dict[str, Any] = {
    **TINY,
    "name": "answers",
    "datasets": ["tiny-food-answers"],
    "methods": [
        {"kind": "vanilla", "loss": "xent"},
        {"kind": "vanilla", "loss": "logconf"},
        {"kind": "probe", "probe": {"kind": "knn", "k": 20}},
        {"kind": "probe_to_strong", "probe": "logistic", "cross_fit": 3},
        {"kind": "filtered", "filter": {"kind": "topofilter", "k": 20}},
    ],
    "controls": True,
    "trajectories": True,
    "metrics": ["accuracy", "pair_accuracy"],
}


class Ran(NamedTuple):
    out: Path
    store: Store
    results: Results
    experiments: list[Experiment]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("pairs")
    study, store = outshine.Study(**STUDY), Store(folder / "store")
    results = outshine.run(study, store=store.root, out=folder / "out")
    return Ran(folder / "out", store, results, expand(resolve_study(study), store))


def test_scores_are_scikit_learns(ran: Ran) -> None:
    table = ran.results.scores.set_index(["key", "split"])
    for run in ran.experiments:
        truth = pd.read_parquet(ran.store.file(run.prepare.key, "truth.parquet")).set_index("id")["label"]
        for stage in (run.labels, run.ceiling, *run.students):
            predicted = pd.read_parquet(ran.store.file(stage.key, "predictions.parquet"))  # pyright: ignore[reportAttributeAccessIssue]
            test = predicted[predicted["split"] == "test"]
            row = table.loc[[(stage.key, "test")]].iloc[0]  # pyright: ignore[reportAttributeAccessIssue]
            y = truth[test["id"]].to_numpy()
            assert row["auroc"] == pytest.approx(roc_auc_score(y, test["log_odds"]), abs=1e-12)
            assert row["accuracy"] == pytest.approx(((test["log_odds"] > 0) == y).mean(), abs=1e-12)


def test_two_texts_that_change_places_change_the_sign_to_the_bit(ran: Ran) -> None:
    for stage in (ran.experiments[0].students[0], ran.experiments[0].ceiling):
        loaded = outshine.load(stage.key, store=ran.store.root)
        texts = loaded.texts[loaded.texts["split"] == "test"].head(33)
        pairs = list(zip(texts["text"], texts["text_b"], strict=True))
        scores = loaded.predict_log_odds(pairs)
        turned = loaded.predict_log_odds([(b, a) for a, b in pairs])
        np.testing.assert_array_equal(scores, -turned)
        some = loaded.predict_log_odds([(b, a) if i % 2 else (a, b) for i, (a, b) in enumerate(pairs)])
        np.testing.assert_array_equal(some, np.where(np.arange(33) % 2, -scores, scores))
        assert np.abs(scores).min() > 0
        stored = loaded.predictions.set_index("id").loc[texts["id"], "log_odds"]
        np.testing.assert_allclose(loaded.predict_log_odds(texts), stored, atol=1e-5)
        np.testing.assert_array_equal(loaded.predict_log_odds([(pairs[0][0], pairs[0][0])]), [0.0])


def test_a_probe_favours_neither_side(ran: Ran) -> None:
    """The logistic probe has no offset: the mean log-odds of pairs and of the same pairs turned round is 0."""
    from outshine.learn.probes.logistic import FittedLogistic, Logistic
    from outshine.w2s.stages.activations import labelled
    from outshine.w2s.stages.probing import mirrored

    probe = next(run for run in ran.experiments if run.method.kind == "truth_probe").students[0]
    train, _ = labelled(probe.activations, probe.labels, "strong_train", ran.store)  # pyright: ignore
    fitted = Logistic().fit(mirrored(train))
    assert isinstance(fitted, FittedLogistic)
    acts = train.acts
    np.testing.assert_allclose(fitted.predict(acts).log_odds, -fitted.predict(-acts).log_odds, atol=1e-6)


def test_activations_are_differences(ran: Ran) -> None:
    probe = next(run for run in ran.experiments if run.method.kind == "truth_probe").students[0]
    ids, acts = probe.activations.read(ran.store, "test")  # pyright: ignore
    assert acts.float().std() > 0
    assert abs(float(acts.float().mean())) < float(acts.float().std())
    assert ids == sorted(ids)


def test_the_page_shows_both_texts(ran: Ran) -> None:
    page = (ran.out / "report.html").read_text(encoding="utf-8")
    assert "a: what does" in page
    assert "b: what does" in page
    assert "a is better" in page


def test_the_head_has_one_output(ran: Ran) -> None:
    from safetensors.torch import load_file

    head = load_file(ran.store.file(ran.experiments[0].students[0].key, "head.safetensors"))["weight"]
    assert head.shape[0] == 1


def test_exported_predictions_score_as_the_tables_say(ran: Ran, tmp_path: Path) -> None:
    run = ran.experiments[0]
    texts = pd.read_parquet(ran.store.file(run.prepare.key, "texts.parquet")).set_index("id")
    truth = pd.read_parquet(ran.store.file(run.prepare.key, "truth.parquet")).set_index("id")["label"]
    test = texts.index[texts["split"] == "test"]
    frame = pd.DataFrame({"id": test, "group": texts.loc[test, "group"], "label": truth[test]})
    for role, stage in {"weak": run.labels, "student": run.students[-1], "ceiling": run.ceiling}.items():
        predicted = pd.read_parquet(ran.store.file(stage.key, "predictions.parquet")).set_index("id")  # pyright: ignore
        frame[role] = predicted.loc[test, "log_odds"]
    path = tmp_path / "predictions.csv"
    frame.to_csv(path, index=False)
    scored = outshine.score(path, metric=["auroc", "pair_accuracy"], pairs=True, values="log-odds")
    table = scored.summary.set_index("metric")
    summary = ran.results.summary.iloc[0]
    other = ran.results.metrics[ran.results.metrics["method_id"] == summary["method_id"]].set_index("metric")
    for metric, own, value in (("auroc", summary, "auroc"), ("pair_accuracy", other.loc["pair_accuracy"], "value")):
        for role in ("weak", "student", "ceiling"):
            expected = [own[f"{role}_{end}"] for end in (value, "low", "high")]
            found = [table.loc[metric, f"{role}_{end}"] for end in ("value", "low", "high")]
            np.testing.assert_allclose(np.array(found, dtype=float), expected, rtol=0, atol=1e-12)
