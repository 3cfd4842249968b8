"""The model that a labelling leaves behind: what it says of new texts, and what happens where it is not whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax
from test_label_classes import run as run_classes
from test_label_classes import table as table_of_classes

import outshine
from outshine.data.recipes.tiny import TinyHome
from outshine.engine.errors import DataError, ModelError, StoreError
from outshine.engine.store.store import Store
from outshine.labelling.files import write_labelled
from outshine.labelling.options import BY_NAME, Designs, Scores
from outshine.labelling.probe import principal_axes, principal_columns, read_embeddings
from outshine.labelling.run import LabelRun, parse_label_settings, probe_of, run_label
from outshine.labelling.saved_student import LinearStudent
from outshine.labelling.trusted_sample import Trusted

FITTED = ("student_recalibrated", "trusted_only", "combined", "together")


def run(folder: Path, num_trusted: int = 40) -> LabelRun:
    recipe = TinyHome()
    rows = recipe.open(recipe.identify()).train.take(range(150))
    wrong = np.random.default_rng(0).random(150) < 0.2
    folder.mkdir(exist_ok=True)
    path, trusted = folder / "mine.jsonl", folder / "trusted.jsonl"
    cheap = ["yes" if row["positive"] != bad else "no" for row, bad in zip(rows, wrong, strict=True)]
    path.write_text("".join(json.dumps({"text": row["text"], "cheap": one}) + "\n" for row, one in
                            zip(rows, cheap, strict=True)))  # fmt: skip
    chosen = np.random.default_rng(1).choice(150, num_trusted, replace=False)
    trusted.write_text(
        "".join(json.dumps({"text": rows[i]["text"], "label": int(rows[i]["positive"])}) + "\n" for i in chosen)
    )
    raw: dict[str, Any] = {"path": str(path), "columns": {"label": "cheap"}, "strong": "tiny/strong", "folds": 3}
    if num_trusted:
        raw["trusted"] = str(trusted)
    settings = parse_label_settings({**raw, "runtime": {"threads": 1}, "compute_dtype": "float32"})
    return run_label(settings, Store(folder / "store"))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", FITTED)
def test_its_head_is_what_the_way_says_of_a_text_without_a_label(tmp_path: Path, name: str, several: bool) -> None:
    """Its score is that of a row whose student is the mean of all probes and whose cheap label is missing."""
    done = run_classes(tmp_path / "a", 0) if several else run(tmp_path / "a", 0)
    assert done.resolution is not None
    store = Store(tmp_path / "store" if several else tmp_path / "a/store")
    probe = probe_of(done.resolution, store)
    ids, acts = read_embeddings(probe.activations, store)
    axes = principal_axes(acts)
    weight, bias = probe.mean_probe(store)
    z = acts.double().numpy() @ weight + bias
    rows = done.resolution.plan.read(store).set_index("id").loc[ids]
    label = probe.plan.task.labels_in(rows).to_numpy(dtype=float).copy()
    label[:5] = np.nan
    student = np.log(softmax(z, axis=1)) if several else z
    rng = np.random.default_rng(0)
    chosen = np.arange(5, 65)
    truth = rng.integers(4 if several else 2, size=60)
    trusted = Trusted(chosen, truth, np.ones(60), chosen.astype(str))
    designs = Designs(Scores(student, label, principal_columns(acts, axes)))
    wanted = designs.log_odds(BY_NAME[name], trusted, np.arange(5))
    names = [f"class {number}" for number in range(4 if several else 2)]
    of_text = designs.of_text(BY_NAME[name], trusted)
    head = LinearStudent.of(probe, axes, of_text, names, name, store)
    found = acts[:5].double().numpy() @ head.weight + head.bias
    if several:
        found, wanted = softmax(found, axis=1), np.exp(wanted)
    assert found == pytest.approx(wanted, abs=1e-6)


def test_a_folder_predicts_new_texts(tmp_path: Path) -> None:
    done = run(tmp_path / "a")
    paths = write_labelled(done, tmp_path / "out")
    assert tmp_path / "out/student" in paths
    student = outshine.load(str(tmp_path / "out/student"))
    assert student.way == done.labelling.ladder.recommended  # type: ignore[union-attr]
    assert student.classes == ("no", "yes")
    store = Store(tmp_path / "a/store")
    assert done.resolution is not None
    assert done.student is not None
    ids, acts = read_embeddings(probe_of(done.resolution, store).activations, store)
    texts = done.resolution.plan.read(store).set_index("id").loc[ids, "text"].tolist()
    p = student.predict_proba(texts)
    assert p == pytest.approx(expit(acts.double().numpy() @ done.student.weight + done.student.bias), abs=1e-4)
    assert student.predict(texts[:20]) == [student.classes[int(one > 0.5)] for one in p[:20]]
    assert student.predict_proba([]).shape == (0,)
    assert student.predict_proba(["", "an unheard of question"]).shape == (2,)


def test_label_classes_likewise(tmp_path: Path) -> None:
    done = run_classes(tmp_path / "a")
    write_labelled(done, tmp_path / "out")
    student = outshine.load(str(tmp_path / "out/student"))
    rows, truths = table_of_classes()
    p = student.predict_proba([row["text"] for row in rows])
    assert p.shape == (len(rows), 4)
    assert p.sum(axis=1) == pytest.approx(1)
    right = np.mean(
        [own == truth for own, truth in zip(student.predict([r["text"] for r in rows]), truths, strict=True)]
    )
    assert right > 0.5
    assert student.predict_proba([]).shape == (0, 4)


def test_without_trusted_rows_it_is_the_student(tmp_path: Path) -> None:
    done = run(tmp_path / "a", 0)
    assert done.student is not None
    assert done.student.way == "student"


@pytest.mark.parametrize("more", [False, True])
def test_an_earlier_runs_model_does_not_stay_beside_labels_that_it_does_not_know(tmp_path: Path, more: bool) -> None:
    done = run(tmp_path / "a", 0)
    folder, notes = tmp_path / "out/student", tmp_path / "out/student/notes.txt"
    write_labelled(done, tmp_path / "out")
    assert folder.is_dir()
    if more:
        notes.write_text("mine")
    assert folder not in write_labelled(done._replace(student=None), tmp_path / "out")
    assert folder.is_dir() == notes.exists() == more  # a user's own file stays
    if more:
        assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    write_labelled(done._replace(student=None), tmp_path / "out")


def test_what_is_not_whole_is_refused_in_one_line(tmp_path: Path) -> None:
    write_labelled(run(tmp_path / "a"), tmp_path / "out")
    folder = tmp_path / "out/student"
    with pytest.raises(DataError, match="a list of texts is expected"):
        outshine.load(str(folder)).predict("one text")  # type: ignore[union-attr]
    head = folder / "head.safetensors"
    whole = head.read_bytes()
    head.write_bytes(whole[:40])
    with pytest.raises(StoreError, match=r"head\.safetensors is damaged"):
        outshine.load(str(folder)).predict(["a text"])  # type: ignore[union-attr]
    head.write_bytes(whole)
    spec = json.loads((folder / "classifier.json").read_text())
    spec["model"]["identity"] = "sha256:" + 64 * "0"
    (folder / "classifier.json").write_text(json.dumps(spec))
    with pytest.raises(ModelError, match="its files are not those of revision sha256:0000"):
        outshine.load(str(folder)).predict(["a text"])  # type: ignore[union-attr]
    (folder / "labels.json").write_text("{")
    with pytest.raises(StoreError, match="holds no model of a labelling"):
        outshine.load(str(folder))
