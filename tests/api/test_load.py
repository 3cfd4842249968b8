"""`outshine.load`: what a store holds predicts again what it predicted, here and in other people's tools."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score

import outshine
from outshine.engine.errors import DataError, ModelError, StoreError
from outshine.engine.files import sha256_of
from outshine.learn.saved_models import find_base
from outshine.learn.spec import ModelRef
from outshine.learn.tiny_models import TINY_MODELS
from outshine.w2s.study_file import parse_study
from small_study import TINY, Ran, small_study

PREDICTED = ("strong_train", "val", "test")
QUIET_PEFT = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return small_study(tmp_path_factory.getbasetemp())


def key_of(everything: Ran, asked: str) -> str:
    test = everything.results.scores.query("split == 'test' and dataset == 'tiny-pet' and seed == 1")
    return test.query(asked)["key"].iloc[0]


WHO = {
    "supervisor": "role == 'weak'",
    "ceiling": "role == 'ceiling'",
    "student": "method == 'vanilla' and loss == 'logconf'",
    "strong to strong": "method == 'strong_to_strong' and round == 1",
    "filtered": "method == 'filtered' and variant.str.contains('topofilter')",
    "probe to strong": "method == 'probe_to_strong'",
    "control": "method == 'control' and variant.str.contains('noise_matched')",
    "weak to weak": "method == 'weak_to_weak'",
}


def check_predicts_what_it_predicted(loaded: outshine.Loaded) -> None:
    stored = loaded.predictions.set_index("id")
    texts = loaded.texts[loaded.texts["split"].isin(PREDICTED)]
    assert set(texts["id"]) == set(stored.index)
    again = loaded.predict_proba(texts)
    assert (again.dtype, again.shape) == (np.float64, (len(texts),))
    np.testing.assert_allclose(again, stored.loc[texts["id"], "p"], rtol=0, atol=1e-5)
    assert np.ptp(again) > 0


@pytest.mark.parametrize("who", WHO)
def test_given_the_stored_texts_it_predicts_what_is_stored(everything, who):
    loaded = outshine.load(key_of(everything, WHO[who])[:16], store=everything.store)
    check_predicts_what_it_predicted(loaded)


def test_the_record_the_predictions_and_the_texts(everything):
    key = key_of(everything, WHO["student"])
    loaded = outshine.load(key[:12].upper(), store=everything.store)
    assert loaded.key == key
    assert loaded.record["stage"] == "student"
    assert loaded.record["fields"]["loss"]["kind"] == "logconf"
    assert list(loaded.predictions.columns) == ["id", "split", "log_odds", "p"]
    assert list(loaded.texts.columns) == ["id", "split", "text", "group", "cut_start", "cut_end"]
    assert repr(loaded) == f"<student {key[:12]}: {loaded.record['label']}>"
    spec = loaded.spec
    assert (spec.name, spec.tuning.kind, spec.compute_dtype) == ("tiny/strong", "lora", "float32")


def test_texts_may_be_a_list_a_series_or_a_frame(everything):
    loaded = outshine.load(key_of(everything, WHO["student"]), store=everything.store)
    frame = loaded.texts.head(5)
    once = loaded.predict_proba(frame)
    np.testing.assert_allclose(loaded.predict_proba(frame["text"].tolist()), once, atol=1e-6)
    np.testing.assert_allclose(loaded.predict_proba(frame["text"]), once, atol=1e-6)
    np.testing.assert_allclose(loaded.predict_proba(frame[["text"]]), once, atol=1e-6)
    np.testing.assert_allclose(loaded.predict_log_odds(frame), np.log(once / (1 - once)), atol=1e-4)
    assert loaded.predict_proba([]).shape == (0,)
    other = loaded.predict_proba(["The cat sat on the mat."])
    assert other.shape == (1,)
    assert 0 < other[0] < 1


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ("one text", "one text was given; a list of texts is expected"),
        ([1, 2], r"texts are expected, given 1 \(int\)"),
        (["a", None], r"texts are expected, given None \(NoneType\)"),
        (pd.DataFrame({"prompt": ["a"]}), "the frame has no column 'text'; there are prompt"),
    ],
)
def test_what_is_no_text_is_told(everything, texts, words):
    loaded = outshine.load(key_of(everything, WHO["student"]), store=everything.store)
    with pytest.raises(DataError, match=words):
        loaded.predict_proba(texts)


def pooled_log_odds(backbone: torch.nn.Module, folder: Path, base: Path, texts: list[str]) -> np.ndarray:
    """One text at a time, without padding: the state of the last token times the head, with other tools than outshine."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    head = load_file(folder / "head.safetensors")["weight"]
    found = []
    with torch.no_grad():
        for text in texts:
            state = backbone.eval()(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, -1]
            logits = head @ state
            found.append(float(logits[1] - logits[0]))
    return np.array(found)


@QUIET_PEFT
@pytest.mark.parametrize("who", ["supervisor", "student", "ceiling"])
def test_an_adapter_loads_in_peft(everything, tmp_path, who):
    from peft import PeftModel
    from transformers import AutoModel

    loaded = outshine.load(key_of(everything, WHO[who]), store=everything.store)
    folder = loaded.save_pretrained(tmp_path / "mine")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("adapter_config.json", "adapter_model.safetensors", "classifier.json", "head.safetensors")
    ]
    adapted = PeftModel.from_pretrained(AutoModel.from_pretrained(loaded.base), str(folder))
    rows = loaded.texts.set_index("id").loc[loaded.predictions["id"].head(12), "text"]
    found = pooled_log_odds(adapted, folder, loaded.base, rows.tolist())
    np.testing.assert_allclose(found, loaded.predictions["log_odds"].head(12), rtol=0, atol=1e-4)
    loaded.save_pretrained(folder)  # again


def test_predictions_are_ordinary_parquet(everything):
    """pyarrow and pandas alone, from the store's folders; the AUROC by scikit-learn is that of the tables."""
    key = key_of(everything, WHO["student"])
    path = everything.store / "artefacts" / key[:2] / key / "predictions.parquet"
    table = pq.read_table(path)
    assert {name: str(table.schema.field(name).type) for name in ("log_odds", "p")} == dict.fromkeys(
        ("log_odds", "p"), "double"
    )
    frame = pd.read_parquet(path)
    pd.testing.assert_frame_equal(table.to_pandas(), frame)
    truth = pd.concat(map(pd.read_parquet, everything.store.glob("artefacts/*/*/truth.parquet"))).set_index("id")[
        "label"
    ]
    test = frame[frame["split"] == "test"]
    (auroc,) = everything.results.scores.query("key == @key and split == 'test'")["auroc"].unique()
    assert roc_auc_score(truth.loc[test["id"]], test["log_odds"]) == pytest.approx(auroc)


def one_study(tmp_path: Path, strong: dict, weak: str = "tiny/weak") -> tuple[Path, pd.DataFrame]:
    raw = {**TINY, "datasets": "tiny-home", "weak": weak, "strong": strong, "methods": "vanilla", "loss": "xent"}
    raw["splits"] = {"n_train": 64, "n_val": 24, "n_test": 24}
    return tmp_path / "store", outshine.run(parse_study(raw), store=tmp_path / "store").scores


@pytest.mark.parametrize(
    "strong",
    [
        {"model": "tiny/strong", "tuning": "full", "num_layers": 2},
        {"model": "tiny/strong", "tuning": "head", "pooling": "mean"},
        {"model": "tiny/strong", "lora": {"rank": 2, "alpha": 4}, "max_length": 9},
    ],
    ids=["full", "head", "short"],
)
def test_every_way_of_tuning_loads_again(tmp_path, strong):
    from transformers import AutoModel

    store, scores = one_study(tmp_path, strong)
    loaded = outshine.load(scores.query("role == 'student'")["key"].iloc[0], store=store)
    check_predicts_what_it_predicted(loaded)
    folder = loaded.save_pretrained(tmp_path / "mine")
    names = {path.name for path in folder.iterdir()} - {"classifier.json", "head.safetensors"}
    if strong.get("tuning") == "full":
        assert names == {"config.json", "model.safetensors"}
        whole = AutoModel.from_pretrained(folder)
        rows = loaded.texts.set_index("id").loc[loaded.predictions["id"].head(6), "text"]
        found = pooled_log_odds(whole, folder, loaded.base, rows.tolist())
        np.testing.assert_allclose(found, loaded.predictions["log_odds"].head(6), rtol=0, atol=1e-4)
    elif strong.get("tuning") == "head":
        assert names == set()
    else:
        assert len(loaded.texts.query("split != 'weak_train'")) == len(loaded.predictions)
        assert loaded.spec.max_length == 9


def test_a_base_in_a_folder_that_has_moved(tmp_path):
    home = tmp_path / "models" / "mine"
    shutil.copytree(TINY_MODELS["tiny/strong"], home)
    store, scores = one_study(tmp_path, {"model": str(home)})
    key = scores.query("role == 'student'")["key"].iloc[0]
    check_predicts_what_it_predicted(outshine.load(key, store=store))
    moved = home.rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=r"was the folder '.*mine', which is not there; .* model=FOLDER"):
        outshine.load(key, store=store).predict_proba(["a"])
    check_predicts_what_it_predicted(outshine.load(key, store=store, model=str(moved)))
    with pytest.raises(ModelError, match="its files are not those of revision"):
        outshine.load(key, store=store, model="tiny/middle").predict_proba(["a"])


def test_a_probe_has_predictions_and_no_weights(everything):
    loaded = outshine.load(
        key_of(everything, "method == 'probe' and variant.str.contains('logistic')"), store=everything.store
    )
    assert len(loaded.predictions) == len(loaded.texts.query("split != 'weak_train'"))
    for ask in (lambda: loaded.predict_proba(["a"]), lambda: loaded.save_pretrained("x"), lambda: loaded.spec):
        with pytest.raises(ModelError, match=r"is a probe: the store keeps its predictions .* not its weights"):
            ask()


def test_what_is_no_model_is_told(everything):
    (prepared,) = {path.parent.name for path in everything.store.glob("artefacts/*/*/texts.parquet")} & {
        json.loads(path.read_text())["key"]
        for path in everything.store.glob("artefacts/*/*/DONE.json")
        if "tiny-food" in path.read_text() and '"stage": "prepare"' in path.read_text()
    }
    with pytest.raises(StoreError, match=r"is 'prepare tiny-food'; a supervisor, ceiling, .* is expected"):
        outshine.load(prepared, store=everything.store)
    with pytest.raises(StoreError, match="no artefact has a key beginning with 'nothing'"):
        outshine.load("nothing", store=everything.store)
    with pytest.raises(StoreError, match=r"\d+ artefacts have a key beginning with ''"):
        outshine.load("", store=everything.store)


def test_code_of_a_stranger_is_run_for_nobody_who_does_not_name_the_repository_it_comes_from():
    """An archive of another person says that its base is trusted, and calls it by another name."""
    forged = ModelRef(identity=f"hub:evil/model@{'a' * 40}", name="good/model", trust_remote_code=True)
    for consent in (None, "good/model"):
        with pytest.raises(ModelError, match="model 'evil/model' runs code from its own repository"):
            find_base(forged, trust_remote_code=consent)


def copy_of(everything: Ran, key: str, tmp_path: Path) -> Path:
    """A store with this artefact alone; returns the artefact's folder."""
    target = tmp_path / "store" / "artefacts" / key[:2] / key
    shutil.copytree(everything.store / "artefacts" / key[:2] / key, target)
    return target


def resized(folder: Path, name: str) -> None:
    """Have DONE.json fit what a file holds now: a stranger's artefact, which sizes and hashes do not show."""
    record = json.loads((folder / "DONE.json").read_text())
    facts = {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
    record["files"][name] = facts
    record.pop("sha256", None)  # of the record itself: older ones have none
    (folder / "DONE.json").write_text(json.dumps(record))


def test_files_that_do_not_belong_together_are_told(everything, tmp_path):
    key = key_of(everything, WHO["student"])
    folder = copy_of(everything, key, tmp_path)
    load = lambda: outshine.load(key, store=tmp_path / "store")  # noqa: E731
    with pytest.raises(StoreError, match=r"the texts of .* are not in"):
        load().texts  # noqa: B018
    adapter = "adapter/adapter_model.safetensors"
    tensors = load_file(folder / adapter)
    first = next(iter(tensors))
    save_file({name: tensor for name, tensor in tensors.items() if name != first}, folder / adapter)
    resized(folder, adapter)
    with pytest.raises(StoreError, match=r"the adapter has \d+ tensors, \d+ of the \d+ that its base needs"):
        load().predict_proba(["a"])
    save_file({**tensors, first: tensors[first][:, :1].contiguous()}, folder / adapter)
    resized(folder, adapter)
    with pytest.raises(StoreError, match=f"tensor {first} is of shape"):
        load().predict_proba(["a"])
    (folder / adapter).write_bytes(b"\xff" * 64)
    resized(folder, adapter)
    with pytest.raises(StoreError, match=r"adapter_model.safetensors is damaged"):
        load().predict_proba(["a"])
    described = json.loads((folder / "classifier.json").read_text())
    (folder / "classifier.json").write_text(json.dumps({**described, "pooling": "mean"}))
    resized(folder, "classifier.json")
    with pytest.raises(StoreError, match="is not that of its record"):
        load().predict_proba(["a"])
    (folder / "classifier.json").write_text("{}")
    resized(folder, "classifier.json")
    with pytest.raises(StoreError, match=r"classifier.json of .*'model' is missing"):
        load().predict_proba(["a"])


def test_a_folder_that_cannot_be_written_is_told(everything, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"cannot write tiny/strong to the folder .*file"):
        outshine.load(key_of(everything, WHO["student"]), store=everything.store).save_pretrained(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
