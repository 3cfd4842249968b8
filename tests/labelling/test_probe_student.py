"""The probe on frozen embeddings: cross-fitted as scikit-learn would, blind to the labels that it predicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from outshine.data.recipes.tiny import TinyHome
from outshine.engine.store.store import Store
from outshine.labelling.folds import EVERY
from outshine.labelling.probe import PENALTIES, ProbeStudent, principal_axes, principal_columns, read_embeddings
from outshine.labelling.run import LabelResolution, LabelRun, parse_label_settings, probe_of, run_label

NUM = 150


def rows(seed: int = 0) -> list[dict[str, Any]]:
    recipe = TinyHome()
    found = recipe.open(recipe.identify()).train.take(range(NUM))
    wrong = np.random.default_rng(seed).random(NUM) < 0.15
    return [
        {"id": f"r{i}", "text": row["text"], "cheap": int(row["positive"] != bad)}
        for i, (row, bad) in enumerate(zip(found, wrong, strict=True))
    ]


def resolved(done: LabelRun) -> LabelResolution:
    assert done.resolution is not None
    return done.resolution


def run(folder: Path, table: list[dict[str, Any]], **settings: Any) -> tuple[LabelRun, ProbeStudent, Store]:
    folder.mkdir(exist_ok=True)
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in table))
    raw = {"path": str(path), "columns": {"label": "cheap"}, "strong": "tiny/strong", "folds": 3, **settings}
    store = Store(folder.parent / "store")
    done = run_label(parse_label_settings({**raw, "runtime": {"threads": 1}, "compute_dtype": "float32"}), store)
    return done, probe_of(resolved(done), store), store


def test_each_fold_is_predicted_as_sklearn_does_from_the_others(tmp_path: Path) -> None:
    done, probe, store = run(tmp_path / "a", rows())
    ids, acts = read_embeddings(probe.activations, store)
    plan = resolved(done).plan.read(store).set_index("id").loc[ids]
    penalties = store.document(probe.key, "summary.json", lambda document: document)["penalties"]
    z = probe.scores(store).loc[ids].to_numpy()
    x = acts.double().numpy()
    for number in range(3):
        train = (plan["fold"] != number).to_numpy()
        assert penalties[number] in PENALTIES
        mean, scale = x[train].mean(0), x[train].std(0)
        scaled = (x - mean) / np.where(scale > 0, scale, 1)
        c = 1 / (2 * train.sum() * penalties[number] * x.shape[1])
        other = LogisticRegression(C=c, tol=1e-9, max_iter=5000).fit(scaled[train], plan["p"][train] > 0.5)
        assert z[~train] == pytest.approx(other.decision_function(scaled[~train]), abs=2e-3)


def test_a_label_has_no_say_in_its_own_prediction_or_penalty(tmp_path: Path) -> None:
    done, probe, store = run(tmp_path / "a", rows())
    plan = resolved(done).plan.read(store)
    ours = set(plan.loc[plan["fold"] == 1, "text"])
    turned = [{**row, "cheap": 1 - row["cheap"]} if row["text"] in ours else row for row in rows()]
    _, other, _ = run(tmp_path / "b", turned)
    before, after = probe.scores(store), other.scores(store)
    own = plan.loc[plan["fold"] == 1, "id"]
    assert before[own].tolist() == after[own].tolist()
    rest = plan.loc[plan["fold"] != 1, "id"]
    assert not np.allclose(before[rest], after[rest])
    assert other.activations.key == probe.activations.key  # new labels of the same texts: nothing is read anew


def test_rows_without_labels_teach_nothing_and_new_ones_have_the_mean(tmp_path: Path) -> None:
    table = rows()
    table[3]["cheap"] = None  # type: ignore[assignment]
    trusted = tmp_path / "trusted.jsonl"
    trusted.write_text(json.dumps({"text": "an unheard of question", "label": 1}) + "\n")
    done, probe, store = run(tmp_path / "a", table, trusted=str(trusted))
    plan = resolved(done).plan.read(store)
    assert (plan["fold"] == EVERY).sum() == 1
    assert np.isfinite(probe.scores(store)).all()
    assert np.isfinite(done.labelling.rows["p"]).all()
    assert pd.isna(done.labelling.rows["disagrees"][3])
    assert done.labelling.rows["best_label"].notna().all()


def test_without_trusted_rows_no_label_is_turned(tmp_path: Path) -> None:
    done, _, _ = run(tmp_path / "a", rows())
    found = done.labelling
    assert found.ladder is None
    assert found.student == "probe"
    assert found.rows["best_label"].tolist() == found.rows["label"].astype(int).tolist()
    assert found.rows["best_p"].tolist() == found.rows["p"].tolist()


def test_principal_columns_keep_what_a_ridge_regression_sees() -> None:
    acts = torch.randn(90, 12, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 13)
    acts[:, 3] = 2.0
    found = principal_columns(acts, principal_axes(acts))
    assert found.shape == (90, 12)
    scaled = (acts - acts.mean(0)) / torch.where(acts.std(0) > 0, acts.std(0), 1) / 12**0.5
    assert found @ found.T == pytest.approx((scaled @ scaled.T).numpy(), abs=1e-4)
    wide = torch.randn(60, 200, generator=torch.Generator().manual_seed(1))
    few = principal_columns(wide, principal_axes(wide, most=20))
    sizes = np.linalg.svd((wide - wide.mean(0)) / wide.std(0) / 200**0.5, compute_uv=False)
    assert few.shape == (60, 20)
    assert np.sum(few**2) == pytest.approx(np.sum(sizes[:20] ** 2), rel=0.1)
