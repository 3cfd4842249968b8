"""Studies on arrays of features, without any text: what is read, refused, learned, and what the rows are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import outshine
from outshine.engine.errors import ModelError, OutshineError, SettingsError
from outshine.engine.store.store import Store
from outshine.learn.arrays import FeatureTable, read_array
from outshine.learn.resolve import resolve
from outshine.learn.spec import ModelSettings
from outshine.w2s.expand import expand, resolve_study
from outshine.w2s.study_file import parse_study

NUM = 1200


def digits(folder: Path, **changed: Any) -> dict[str, Any]:
    """The settings of a study on scikit-learn's digits: averages of 2 × 2 pixels, and all pixels."""
    source = load_digits()
    images, labels = source.images[:NUM], source.target[:NUM]
    np.save(folder / "weak.npy", images.reshape(NUM, 4, 2, 4, 2).mean((2, 4)).reshape(NUM, -1))
    np.save(folder / "strong.npy", images)  # [n, 8, 8]: flattened where it is read
    pd.DataFrame({"id": np.arange(NUM), "label": labels}).to_csv(folder / "digits.csv", index=False)
    return {
        "datasets": [{"kind": "file", "path": str(folder / "digits.csv"), "classes": "all"}],
        "weak": str(folder / "weak.npy"),
        "strong": str(folder / "strong.npy"),
        "loss": "xent",
        "compute_dtype": "float32",
        "runtime": {"threads": 1},
        "splits": {"n_train": 600, "n_val": 100, "n_test": 300},
        "training": {"epochs": 2},
        **changed,
    }


@pytest.mark.slow
def test_a_study_on_digits(tmp_path: Path) -> None:
    raw = digits(tmp_path, methods=["vanilla", {"kind": "probe", "probe": "logistic"}], controls=["truth_probe"])
    study, store = parse_study(raw), Store(tmp_path / "store")
    results = outshine.run(study, store=store.root, out=tmp_path / "out")
    runs = expand(resolve_study(study), store)

    # the probe on ground truth is scikit-learn's regression on the same rows of the same array
    probe = next(run for run in runs if run.method.kind == "truth_probe").students[0]
    texts = pd.read_parquet(store.file(runs[0].prepare.key, "texts.parquet")).set_index("id")
    truth = pd.read_parquet(store.file(runs[0].prepare.key, "truth.parquet")).set_index("id")["label"]
    number = texts["text"].str.extract(r"row (\d+) of 1200")[0].astype(int)
    np.testing.assert_array_equal(truth, load_digits().target[number[truth.index]])
    x = read_array(str(tmp_path / "strong.npy")).astype(np.float64)
    x = np.nan_to_num((x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1))
    train = texts.index[texts["split"] == "strong_train"]
    model = LogisticRegression(C=1 / (4 * len(train) * 1e-2), tol=1e-10, max_iter=10_000)
    model.fit(x[number[train]], truth[train])
    test = texts.index[texts["split"] == "test"]
    predicted = pd.read_parquet(store.file(probe.key, "predictions.parquet")).set_index("id").loc[test]
    np.testing.assert_allclose(
        predicted[[f"p_{k}" for k in range(10)]], model.predict_proba(x[number[test]]), atol=1e-4
    )

    # and what the tables say of it follows from its predictions
    row = results.scores[(results.scores["key"] == probe.key) & (results.scores["split"] == "test")].iloc[0]
    expected = roc_auc_score(truth[test], predicted[[f"p_{k}" for k in range(10)]], multi_class="ovr")
    assert row["auroc"] == pytest.approx(expected, abs=1e-9)
    assert expected > 0.98
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_file_of_the_user_becomes_a_table_of_labels(tmp_path: Path) -> None:
    study = parse_study(digits(tmp_path))
    assert study.datasets[0].kind == "arrays"
    resolved = resolve_study(study).study
    assert resolved.weak is not None
    assert resolved.weak.revision.startswith("sha256:")
    assert resolve_study(resolved).prepares == resolve_study(study).prepares


@pytest.mark.slow
def test_full_tuning_trains_a_hidden_layer(tmp_path: Path) -> None:
    strong = {"model": str(tmp_path / "strong.npy"), "tuning": "full"}
    study = parse_study(digits(tmp_path, strong=strong, methods=["vanilla"], training={"epochs": 8}))
    store = Store(tmp_path / "store")
    results = outshine.run(study, store=store.root)
    ceiling = expand(resolve_study(study), store)[0].ceiling
    from safetensors.torch import load_file

    weights = load_file(store.file(ceiling.key, "model/model.safetensors"))
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == {
        "0.0.weight": (256, 65),
        "0.0.bias": (256,),
    }
    score = results.scores.query("role == 'ceiling' and split == 'test'").iloc[0]
    assert score["auroc"] > 0.97
    with pytest.raises(ModelError, match=r"is an array: what a student on features predicted is kept"):
        outshine.load(ceiling.key, store=store.root).predict_proba(["row 1 of 1200"])


def test_columns_have_mean_0_and_deviation_1_and_an_offset() -> None:
    features = torch.tensor([[1.0, 7.0], [3.0, 7.0], [5.0, 7.0]])
    table = FeatureTable(features, hidden=False)
    states = table(torch.tensor([[0], [2]])).last_hidden_state
    spread = 2 / np.sqrt(8 / 3)
    np.testing.assert_allclose(states[:, 0], [[-spread, 0, 1], [spread, 0, 1]], atol=1e-6)
    assert not any(parameter.requires_grad for parameter in table.requires_grad_(True).parameters())


def test_lists_in_a_column_of_parquet(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 3)), rng.normal(size=(50, 5))
    pd.DataFrame(
        {"a": a.tolist(), "b": b.tolist(), "c": [[1.0] * (i % 2 + 1) for i in range(50)], "d": range(50)}
    ).to_parquet(tmp_path / "rows.parquet")
    np.testing.assert_allclose(read_array(f"{tmp_path}/rows.parquet:b"), b, rtol=1e-6)
    assert resolve(ModelSettings(model=f"{tmp_path}/rows.parquet:a"), "float32").num_parameters == 3
    for column, message in (("c", "not lists of one length"), ("d", "not lists of one length"), ("e", "no column 'e'")):
        with pytest.raises(ModelError, match=message):
            read_array(f"{tmp_path}/rows.parquet:{column}")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.arange(5.0), r"has the shape \(5,\) of float64; numbers"),
        (np.array([["a", "b"]]), r"of <U1; numbers"),
        (np.zeros((0, 3)), r"has the shape \(0, 3\)"),
        (np.array([[1.0, np.nan], [0, 1]]), r"row 0 has a number that is not finite \(1 such rows\)"),
        (np.array([{"a": 1}], dtype=object), r"is none that can be read"),
    ],
)
def test_what_is_no_array_of_features(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(ModelError, match=message):
        read_array(str(tmp_path / "x.npy"))


def test_a_file_that_is_none_and_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"PK\x03\x04 not numbers")
    with pytest.raises(ModelError, match="is none that can be read"):
        read_array(str(tmp_path / "x.npy"))
    with pytest.raises(ModelError, match="cannot be read"):
        read_array(str(tmp_path / "y.npy"))


def test_rows_of_another_table_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    raw = digits(tmp_path, methods=["vanilla"])
    np.save(tmp_path / "weak.npy", np.load(tmp_path / "weak.npy")[:-1])
    with pytest.raises(OutshineError, match=r"has 1,199 rows and the dataset's file 1,200"):
        outshine.run(parse_study(raw), store=tmp_path / "store")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weak": "tiny/weak"}, "'tiny/weak' is no array, and the dataset 'digits' is of kind arrays"),
        ({"datasets": ["tiny-home"]}, r"weak.npy' is an array, and the dataset 'tiny-home' is of kind tiny-home"),
    ],
)
def test_arrays_and_texts_do_not_mix(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_study(digits(tmp_path, **changed))


def test_adapters_and_changed_arrays_are_refused(tmp_path: Path) -> None:
    digits(tmp_path)
    model = str(tmp_path / "weak.npy")
    with pytest.raises(SettingsError, match="is an array: tuning is head"):
        resolve(ModelSettings.model_validate({"model": model, "lora": {"rank": 4}}), "float32")
    pinned = resolve(ModelSettings(model=model), "float32").spec.model.identity
    np.save(tmp_path / "weak.npy", np.load(model) + 1)
    with pytest.raises(ModelError, match="has changed: it is not that of revision"):
        resolve(ModelSettings(model=model, revision=pinned), "float32")
