"""Several cheap columns in place of one, and probabilities that the user brings, from the file to what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from outshine.engine.errors import DataError, SettingsError
from outshine.engine.store.store import Store
from outshine.labelling.files import evidence_document, issues_table, write_labelled
from outshine.labelling.results import LabelResults
from outshine.labelling.rows import Columns, read_labelled
from outshine.labelling.run import LabelRun, parse_label_settings, run_label
from outshine.labelling.text import voter_rows
from outshine.labelling.votes import dawid_skene, majority

NUM = 300


def rows() -> tuple[list[dict[str, Any]], np.ndarray]:
    """Three annotators, one of whom mostly abstains, and the probabilities of a model."""
    rng = np.random.default_rng(0)
    truth = rng.random(NUM) < 0.5
    words = [f"w{i}" for i in range(3000)]
    names = np.array(["ham", "spam"])
    table = []
    for i in range(NUM):
        said = [names[int(truth[i] ^ (rng.random() < wrong))] for wrong in (0.1, 0.3, 0.2)]
        table.append(
            {
                "text": " ".join(rng.choice(words, 10)),
                "id": f"r{i}",
                "ann": said[0],
                "ben": said[1],
                "rule": said[2] if rng.random() < 0.3 else "",
                "model": float(np.clip(0.5 + 0.2 * (2 * truth[i] - 1) + 0.2 * rng.normal(), 0.01, 0.99)),
            }
        )
    return table, truth


def write(path: Path, table: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in table))
    return str(path)


def run(folder: Path, num_trusted: int = 60, **columns: Any) -> LabelRun:
    table, truth = rows()
    chosen = np.random.default_rng(1).choice(NUM, num_trusted, replace=False)
    trusted = [{"id": f"r{i}", "label": ("ham", "spam")[int(truth[i])]} for i in chosen]
    raw = {
        "path": write(folder / "mine.jsonl", table),
        "trusted": write(folder / "trusted.jsonl", trusted),
        "columns": {"probs": "model", "positive": "spam", **columns},
        "folds": 3,
    }
    return run_label(parse_label_settings(raw), Store(folder / "store"))


def votes() -> np.ndarray:
    table, _ = rows()
    number = {"ham": 0, "spam": 1, "": -1}
    return np.array([[number[row[name]] for name in ("ann", "ben", "rule")] for row in table])


@pytest.mark.parametrize("combine", ["dawid_skene", "majority"])
def test_several_columns_become_one_label(tmp_path: Path, combine: str) -> None:
    columns = Columns(votes=("ann", "ben", "rule"), positive="spam", combine=combine)  # type: ignore[arg-type]
    table = read_labelled(write(tmp_path / "mine.jsonl", rows()[0]), columns)
    expected = dawid_skene(votes(), 2).p if combine == "dawid_skene" else majority(votes(), 2)
    assert table.frame["p"].to_numpy() == pytest.approx(expected[:, 1])
    assert not table.labels.hard
    assert table.spelling == ("ham", "spam")
    assert table.votes is not None
    assert table.votes.tolist() == votes().tolist()


def test_a_rule_that_knows_one_class_is_understood(tmp_path: Path) -> None:
    table = [{"text": f"t{i}", "a": ("no", "yes")[i % 2], "b": "yes" if i % 3 else None} for i in range(12)]
    found = read_labelled(write(tmp_path / "mine.jsonl", table), Columns(votes=("a", "b")))
    assert found.votes is not None
    assert set(found.votes[:, 1]) == {-1, 1}


def test_each_column_is_judged(tmp_path: Path) -> None:
    found = run(tmp_path, votes=["ann", "ben", "rule"]).labelling
    _, truth = rows()
    chosen = np.random.default_rng(1).choice(NUM, 60, replace=False)
    for voter, cast in zip(found.voters, votes().T, strict=True):
        judged = cast[chosen] >= 0
        assert voter.num_votes == int((cast >= 0).sum())
        assert voter.accuracy is not None
        assert voter.accuracy.value == pytest.approx(np.mean(cast[chosen][judged] == truth[chosen][judged]))
    assert [row[0] for row in voter_rows(found)] == ["ann", "ben", "rule"]
    assert evidence_document(found)["voters"][0]["name"] == "ann"


def test_probabilities_of_the_users_own_need_no_model(tmp_path: Path) -> None:
    done = run(tmp_path, label="ann")
    found: LabelResults = done.labelling
    table, _ = rows()
    assert found.student == "given"
    assert found.rows["p"].to_numpy() == pytest.approx([row["model"] for row in table])
    assert found.ladder is not None
    assert [option.name for option in found.ladder.options] == [
        *("labels", "labels_recalibrated", "student", "student_recalibrated", "combined")
    ]
    written = write_labelled(done, tmp_path / "out") if (tmp_path / "out").mkdir() is None else []
    assert "issues.csv" in [path.name for path in written]
    lines = [json.loads(line) for line in (tmp_path / "out" / "mine.jsonl").read_text().splitlines()]
    assert {line["outshine_label"] for line in lines} == {"ham", "spam"}
    trusted = json.loads((tmp_path / "trusted.jsonl").read_text().splitlines()[0])
    assert lines[int(trusted["id"][1:])]["outshine_label"] == trusted["label"]


def test_the_issues_table_is_what_cleanlab_gives(tmp_path: Path) -> None:
    """Confident learning's rows off the diagonal whose likelier class is not the given one; by loops, eq. 1."""
    found = run(tmp_path, label="ann").labelling
    issues = issues_table(found)
    assert list(issues.columns) == [*("row", "id", "is_label_issue", "label_quality", "given_label", "predicted_label")]
    p, given = found.rows["p"].to_numpy(), found.rows["label"].to_numpy().astype(int)
    pred = np.stack([1 - p, p], axis=1)
    threshold = [np.mean([row[k] for row, y in zip(pred, given, strict=True) if y == k]) for k in (0, 1)]
    for i, (row, label) in enumerate(zip(pred, given, strict=True)):
        sure = [k for k in (0, 1) if row[k] >= threshold[k]]
        guess = max(sure, key=lambda k: row[k]) if sure else label
        assert issues["is_label_issue"][i] == (guess != label and int(np.argmax(row)) != label)
        assert issues["label_quality"][i] == pytest.approx(row[label])
        assert issues["given_label"][i] == ("ham", "spam")[label]
        assert issues["predicted_label"][i] == ("ham", "spam")[int(np.argmax(row))]
    assert issues["is_label_issue"].sum() > 5


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (
            {"label": "ann", "probs": None},
            r"a student is needed: a model's \(--strong MODEL\)",
        ),
        ({"label": "ann", "probs": "modle"}, "has no column 'modle'"),
        ({"label": "ann", "probs": "ben"}, "'ben' of row 1 of .* expected P"),
        ({"votes": ["model", "ann"]}, "mixes probabilities|must hold"),
        ({"votes": ["ann", "bob"]}, "has no column 'bob'"),
        ({"votes": ["ann"], "combine": "mean"}, "combine"),
        ({"label": "ann", "group": "ann"}, "groups of different texts.* one value of 'ann' too.*--group"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, columns: dict[str, Any], told: str) -> None:
    with pytest.raises((DataError, SettingsError), match=told):
        run(tmp_path, **columns)
