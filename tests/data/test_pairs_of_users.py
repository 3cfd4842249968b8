"""Files of preferences: their labels, groups, and what is one pair written twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from outshine.data.audit.audit import audit
from outshine.data.recipes.pairs import PairsDataset, pairs_from_path
from outshine.data.splits import PreparedSplits, SplitSettings, prepare
from outshine.data.weak_label_file import join_weak_labels, read_weak_labels
from outshine.engine.errors import DataError, SettingsError
from outshine.w2s.study_file import with_columns

SIZES = SplitSettings(n_train=120, n_val=30, n_test=60)
WORDS = ("river", "stone", "cloud", "lamp", "clock", "bridge", "garden", "window", "paper", "silver")


def arguments(folder: Path, num_rows: int = 300, **changed: Any) -> Path:
    """Rows of a prompt and two answers; the better one is first in every second row."""
    rows = pd.DataFrame(
        {
            "prompt": [f"Question {i // 3} about a {WORDS[i // 3 % 10]}?" for i in range(num_rows)],
            "a": [f"The first answer is {WORDS[i % 10]} {i}." for i in range(num_rows)],
            "b": [f"The other answer is {WORDS[(i + 3) % 10]} {i}." for i in range(num_rows)],
            "label": ["a" if i % 2 else "b" for i in range(num_rows)],
        }
    ).assign(**changed)
    path = folder / "arguments.jsonl"
    rows.to_json(path, orient="records", lines=True)
    return path


def prepared(path: Path, **fields: Any) -> PreparedSplits:
    recipe = PairsDataset(path=str(path), **fields)
    return prepare(recipe, recipe.identify(), SIZES)


def test_texts_are_prompt_and_answer_and_labels_what_the_file_says(tmp_path: Path) -> None:
    path = arguments(tmp_path)
    splits = prepared(path)
    source = pd.read_json(path, lines=True)
    by_text = {f"{row.prompt}\n\n{row.a}": row for row in source.itertuples()}
    rows = splits.texts.merge(splits.truth, on="id")
    for row in rows.itertuples():
        own = by_text[str(row.text)]
        assert row.text_b == f"{own.prompt}\n\n{own.b}"
        assert row.label == (own.label == "a")
    assert (splits.texts.groupby("group")["split"].nunique() == 1).all()
    assert splits.texts["group"].nunique() < len(splits.texts)


@pytest.mark.parametrize(
    ("first", "second", "tie"),
    [("A", "B", "tie"), (1, 0, 0.5), ("model_a", "model_b", "tie (bothbad)"), ("1.0", "0.0", ""), (0.8, 0.3, None)],
)
def test_spellings_of_preferences_and_ties_are_left_out(tmp_path: Path, first: Any, second: Any, tie: Any) -> None:
    labels = [tie if i % 10 == 0 else first if i % 2 else second for i in range(300)]
    splits = prepared(arguments(tmp_path, label=labels))
    assert any("30 rows of" in note and "a tie, or without a label" in note for note in splits.notes)
    assert splits.report["splits"]["test"]["positive_share"] == 0.5


def test_the_better_one_first_is_shown_in_a_drawn_order(tmp_path: Path) -> None:
    path = arguments(tmp_path)
    source = pd.read_json(path, lines=True).rename(columns={"a": "chosen", "b": "rejected"}).drop(columns="label")
    source.to_json(path, orient="records", lines=True)
    splits = prepared(path, a_column="chosen", b_column="rejected", label_column=None)
    rows = splits.texts.merge(splits.truth, on="id")
    better = rows["text"].where(rows["label"] == 1, rows["text_b"])
    assert better.str.contains("first answer").all()
    assert 0.3 < rows["label"].mean() < 0.7
    pd.testing.assert_frame_equal(
        splits.texts, prepared(path, a_column="chosen", b_column="rejected", label_column=None).texts
    )


def test_one_pair_written_twice_counts_once_and_contradictions_go(tmp_path: Path) -> None:
    source = pd.read_json(arguments(tmp_path), lines=True)
    turned = source.head(20).rename(columns={"a": "b", "b": "a"})
    same = turned.assign(label=["b" if i % 2 else "a" for i in range(20)])  # the same preference, the other way round
    against = turned.head(6)  # the opposite one
    path = tmp_path / "twice.jsonl"
    pd.concat([source, same.tail(14), against]).to_json(path, orient="records", lines=True)
    splits = prepared(path)
    note = next(note for note in splits.notes if note.startswith("Rows left out"))
    assert "12 conflicting labels" in note
    assert "14 duplicate" in note


def test_chosen_and_rejected_are_known_in_either_order() -> None:
    assert pairs_from_path("x.jsonl", "rejected", "chosen") == pairs_from_path("x.jsonl", "chosen", "rejected")
    assert pairs_from_path("x.jsonl", "rejected", "chosen").label_column is None


def test_two_equal_texts_are_left_out(tmp_path: Path) -> None:
    source = pd.read_json(arguments(tmp_path), lines=True)
    source.loc[:9, "b"] = source.loc[:9, "a"]
    path = tmp_path / "equal.jsonl"
    source.to_json(path, orient="records", lines=True)
    assert any("10 two equal texts" in note for note in prepared(path).notes)


@pytest.mark.parametrize(
    ("changed", "fields", "message"),
    [
        ({"label": "best"}, {}, r"row 1 of .* has the label 'best'; expected a or b, 1 .* or tie"),
        ({"label": 3}, {}, r"has the label '3'; expected a or b"),
        ({"label": "tie"}, {}, r"no row of .* says which text is the better one"),
        ({"label": "a"}, {}, r"all \d+ usable training rows .* are labelled 1"),
        ({"a": 7}, {}, r"'a' of row 1 of .* is 7, not text"),
        ({"id": "same"}, {}, r"has the id 'same', so has row 1"),
        ({}, {"a_column": "left"}, r"no column 'left'"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    tmp_path: Path, changed: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as raised:
        prepared(arguments(tmp_path, **changed), **fields)
    assert "\n" not in str(raised.value)


def test_weak_labels_are_joined_by_id_only(tmp_path: Path) -> None:
    splits = prepared(arguments(tmp_path, id=[f"row{i}" for i in range(300)]))
    task = PairsDataset.task
    weak = tmp_path / "weak.csv"
    weak.write_text("id,p_weak\n" + "".join(f"row{i},0.{i % 10}\n" for i in range(300)))
    joined = join_weak_labels(read_weak_labels(weak, task), splits.texts, task)
    assert joined["id"].tolist() == splits.texts["id"].tolist()
    assert joined["p"].between(0, 0.9).all()
    by_text = tmp_path / "by_text.csv"
    by_text.write_text("text,p_weak\nx,0.5\n")
    with pytest.raises(DataError, match="joined by id"):
        join_weak_labels(read_weak_labels(by_text, task), splits.texts, task)


def test_the_audit_stops_where_the_longer_text_is_always_the_better_one(tmp_path: Path) -> None:
    first = [f"An answer {i}" + " indeed" * (6 if i % 2 else 1) for i in range(300)]
    second = [f"A reply {i}" + " indeed" * (1 if i % 2 else 6) for i in range(300)]
    path = arguments(tmp_path, a=first, b=second)
    recipe = PairsDataset(path=str(path))
    found = {finding.check: finding for finding in audit(prepared(path), recipe)}
    assert found["length of pairs"].severity == "warning"  # of a user's own file; a recipe's is a leak
    assert found["length of pairs"].value == 1.0
    assert "longer" in found["length of pairs"].message
    fair = {finding.check: finding for finding in audit(prepared(arguments(tmp_path)), recipe)}
    assert fair["length of pairs"].severity in ("passed", "cue")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"pair": "a,b"}, {"a_column": "a", "b_column": "b"}),
        (
            {"pair": "chosen, rejected", "text": "question"},
            {"a_column": "chosen", "b_column": "rejected", "label_column": None, "prompt_column": "question"},
        ),
        (
            {"pair": "chosen,rejected", "label": "winner", "group": "topic"},
            {"a_column": "chosen", "b_column": "rejected", "label_column": "winner", "group_column": "topic"},
        ),
    ],
)
def test_options_make_a_file_one_of_pairs(columns: dict[str, str], expected: dict[str, Any]) -> None:
    raw = with_columns({"datasets": "mine.csv"}, columns)
    assert raw["datasets"] == [{"kind": "pairs", "path": "mine.csv", **expected}]


@pytest.mark.parametrize(
    ("dataset", "columns", "message"),
    [
        ("mine.csv", {"pair": "a"}, "two columns are expected"),
        ("mine.csv", {"pair": "a,b", "positive": "x"}, "--positive is not for pairs"),
        ("owner/name", {"pair": "a,b"}, "--pair is for files"),
    ],
)
def test_options_that_do_not_fit_pairs(dataset: str, columns: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        with_columns({"datasets": dataset}, columns)
