"""Cheap labels as people write them, trusted rows, and what is said about each that cannot be used."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from outshine.data.label_spellings import Words, parse_weak_labels
from outshine.data.user_datasets import file_sha256
from outshine.engine.errors import DataError
from outshine.labelling.files import write_with
from outshine.labelling.rows import Columns, read_labelled, read_trusted

COLUMNS = Columns(text="review", label="cheap")


def labels(*values: Any, **words: Any):
    return parse_weak_labels(values, [f"row {i + 1}" for i in range(len(values))], "cheap", Words(**words))


def jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ((0, 1, 1), ("0", "1")),
        ((False, True, True), ("0", "1")),
        (("0", "1.0", " 1 "), ("0", "1")),
        (("False", "TRUE", "true"), ("0", "1")),
        (("No", "yes", "YES"), ("no", "yes")),
        (("negative", "positive", "Positive "), ("negative", "positive")),
        (("N", " y ", "Y"), ("n", "y")),
        (("neg", "pos", "POS"), ("neg", "pos")),
        (("0.0", "1.0", "1.00"), ("0", "1")),
        (("0%", "100 %", "100%"), ("0", "1")),
        (("no", "positive", "positive"), ("no", "positive")),
        ((0, "yes", 1.0), ("0", "yes")),
        (("negative", "True", "1"), ("negative", "1")),
        (("No.", "**Yes**", '"yes"'), ("no.", "**yes**")),
        (("`false`", "True.", "1"), ("`false`", "true.")),
        ((np.int64(0), np.float32(1), np.bool_(True)), ("0", "1")),
    ],
)
def test_hard_labels(values: tuple, names: tuple[str, str]) -> None:
    found = labels(*values)
    assert found.p.tolist() == [0, 1, 1]
    assert found.hard
    assert found.names == names


@pytest.mark.parametrize("values", [(0.2, "0.9", 1), ("20%", "90 %", "100.0%"), ("0,2", "0,90", "1"), ("20 %", 0.9, 1)])
def test_probabilities_are_soft_labels(values: tuple) -> None:
    found = labels(*values)
    assert found.p.tolist() == [0.2, 0.9, 1.0]
    assert not found.hard
    assert found.names is None


def test_missing_labels_stay_missing() -> None:
    given = (1, None, "", float("nan"), "nan", " ", "n/a", "NA", "NULL", "None", "<NA>", 0)
    assert np.isnan(labels(*given).p).tolist() == [False, *[True] * (len(given) - 2), False]
    assert np.isnan(labels("yes", "Unsure", "n/a", "no", "?", missing="unsure,skip").p).tolist() == [
        False,
        True,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("values", "positive", "p"),
    [
        (("spam", "ham", "Spam"), "spam", [1, 0, 1]),
        (("spam", "ham", "Spam"), "HAM", [0, 1, 0]),
        ((1, 2, 2), "2", [0, 1, 1]),
        ((-1, 1, -1), "-1", [1, 0, 1]),
        (("yes", "no", "no"), "no", [0, 1, 1]),
        ((0, 1, 0), "0", [1, 0, 1]),
        (("good", "bad", "great"), "good,great", [1, 0, 1]),
        (("yes, sure", "no", "yes, sure"), "yes, sure", [1, 0, 1]),
        (("none", "toxic", "none"), "toxic", [0, 1, 0]),
        (("yes", "no", "sure"), "sure", [1, 0, 1]),
    ],
)
def test_which_of_two_is_class_1_can_be_said(values: tuple, positive: str, p: list[int]) -> None:
    assert labels(*values, positive=positive).p.tolist() == p


@pytest.mark.parametrize(
    ("words", "p"),
    [
        ({"positive": "4,5", "negative": "1,2", "missing": "3"}, [0, 0, math.nan, 1, 1]),
        ({"positive": ("4", "5"), "negative": ("1", "2"), "missing": ("3",)}, [0, 0, math.nan, 1, 1]),
        ({"negative": "1,2,3,4"}, [0, 0, 0, 0, 1]),
        ({"positive": "1", "missing": "2,3,4"}, [1, math.nan, math.nan, math.nan, 0]),
    ],
)
def test_many_values_can_be_sorted_into_classes(words: dict[str, Any], p: list[float]) -> None:
    assert np.array_equal(labels("1", 2, "3.0", 4.0, "5", **words).p, p, equal_nan=True)


@pytest.mark.parametrize(
    ("values", "positive", "told"),
    [
        ((0, 2, 1), None, "row 2 has 2 in the column 'cheap', which is no class that is known; .*--missing 2"),
        ((0, -0.1, 1), None, "row 2 has -0.1 in the column 'cheap'; expected 0/1, .* probability .*, such as 85%"),
        ((0, math.inf, 1), None, "row 2 has inf"),
        ((85, 0.2, 1), None, "row 1 has 85 .*percentage with its sign"),
        (
            ("yes", "unsure", "no"),
            None,
            "row 2 has unsure .*--missing unsure .no label., --positive unsure or --negative",
        ),
        (("yes", "x y", "no", "b"), None, 'row 2 has "x y" .*one of 2 values .*--missing b,"x y"'),
        ((1, 2, 5, 4, 3), None, r"holds 5 different values \(1, 2, 3, 4, 5\) .*--positive … --negative …"),
        (tuple(range(3, 40)), None, "row 1 has 3 .*percentage"),
        ([f"text {i}" for i in range(40)], None, "40 different values in all; .* is it the column of the labels"),
        (("yes", 0.5, "no"), None, r"mixes probabilities \(row 2\) and names \(row 1\)"),
        (
            ("toxic", "none"),
            None,
            "toxic .*the only value; .*--positive toxic or .*; none counts as no label: if it is a",
        ),
        (("yes", "none", "yes"), None, "all 2 .* are 1: .*none counts as no label"),
        (("no", "yes", "y"), "no", "with --positive no .* must hold one other value; .*--negative"),
        (("yes", "no", "good", "bad"), "good", "with --positive good .* say what the others mean: .*--missing bad"),
        (("spam", "ham"), None, "it holds ham, spam: say which is class 1: --positive spam"),
        (("a", "b", "c"), None, r"holds 3 different values \(a, b, c\)"),
        (("yes", "yes"), None, "all 2 cheap labels in the column 'cheap' are 1"),
        ((1, 1.0, True), None, "all 3 cheap labels in the column 'cheap' are 1"),
        ((0.5, None, 0.5), None, "all 2 cheap labels .* are 0.5"),
        ((None, ""), None, "no row has a cheap label in the column 'cheap'"),
        (("spam", "ham"), "eggs", "with --positive eggs .* it holds ham, spam"),
        ((0, 1, 2), "1", "with --positive 1 .* it holds 0, 1, 2"),
        (("spam", "spam"), "spam", "with --positive spam"),
    ],
)
def test_what_is_no_label_is_told(values: tuple, positive: str | None, told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        labels(*values, positive=positive)
    assert "\n" not in str(caught.value)


ROWS = [{"review": f"text {i}", "cheap": i % 2, "id": f"r{i}", "group": f"g{i // 3}"} for i in range(9)]


def test_a_table(tmp_path: Path) -> None:
    frame = read_labelled(jsonl(tmp_path / "mine.jsonl", ROWS), COLUMNS).frame
    assert frame["text"].tolist() == [row["review"] for row in ROWS]
    assert frame["p"].tolist() == [row["cheap"] for row in ROWS]
    assert frame["id"].tolist() == [row["id"] for row in ROWS]
    assert frame["group"].tolist() == [row["group"] for row in ROWS]


@pytest.mark.parametrize(
    ("changed", "columns", "told"),
    [
        ({"review": 7}, {}, "'review' of row 4 of .* is 7, not text"),
        ({"id": "r1"}, {}, "row 4 of .* has the id 'r1', so has row 2"),
        ({"id": None}, {}, "row 4 of .* has no id"),
        ({"cheap": 3}, {}, "row 4 of .* has 3 in the column 'cheap'"),
        ({}, {"label": "cheep"}, "has no column 'cheep'; it has: review, cheap, id, group"),
        ({}, {"id": "key"}, "has no column 'key'"),
        ({}, {"group": "author"}, "has no column 'author'"),
    ],
)
def test_the_first_bad_row_is_named(tmp_path: Path, changed: dict, columns: dict, told: str) -> None:
    path = jsonl(tmp_path / "mine.jsonl", [*ROWS[:3], {**ROWS[3], **changed}, *ROWS[4:]])
    with pytest.raises(DataError, match=told):
        read_labelled(path, COLUMNS.model_copy(update=columns))


def trusted(tmp_path: Path, rows: list[dict], own: list[dict] = ROWS, **columns: Any):
    table = read_labelled(jsonl(tmp_path / "mine.jsonl", own), COLUMNS)
    path = jsonl(tmp_path / "trusted.jsonl", rows)
    return read_trusted(path, COLUMNS.model_copy(update=columns), table)


def test_trusted_rows_are_found_by_id_or_text(tmp_path: Path) -> None:
    rows = [
        {"id": "r4", "label": 1},
        {"review": "text 2", "label": 0},
        {"review": "a new one", "label": "true"},
        {"id": "x", "review": "another", "label": False},
    ]
    frame = trusted(tmp_path, rows).frame
    assert frame["row"].tolist() == [4, 2, -1, -1]
    assert frame["truth"].tolist() == [True, False, True, False]
    assert frame["p"].isna().all()
    assert trusted(tmp_path, rows).new["text"].tolist() == ["a new one", "another"]


def test_trusted_rows_may_bring_their_own_cheap_labels_and_names(tmp_path: Path) -> None:
    own = [{**row, "cheap": "yes" if row["cheap"] else "no"} for row in ROWS]
    rows = [{"review": "new", "label": "Yes", "cheap": "no"}, {"review": "newer", "label": 0}]
    frame = trusted(tmp_path, rows, own).frame
    assert frame["truth"].tolist() == [True, False]
    assert frame["p"].tolist()[0] == 0
    assert math.isnan(frame["p"].tolist()[1])


def test_truth_is_written_as_the_cheap_labels_are(tmp_path: Path) -> None:
    own = [{**row, "cheap": 1 + row["cheap"]} for row in ROWS]
    table = read_labelled(jsonl(tmp_path / "mine.jsonl", own), COLUMNS.model_copy(update={"positive": "1"}))
    path = jsonl(tmp_path / "trusted.jsonl", [{"id": "r0", "label": 1}, {"id": "r1", "label": 2}])
    assert read_trusted(path, COLUMNS, table).frame["truth"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("cheap", "positive", "foreign"), [((1, 2), "2", 0), (("yes", "no"), "no", "true"), ((1, 0), "0", "positive")]
)
def test_truth_in_another_spelling_is_refused_where_classes_are_turned(
    tmp_path: Path, cheap: tuple, positive: str, foreign: Any
) -> None:
    """Of 1 and 2, 2 is class 1: a trusted file of 0 and 1 would have nothing but class 0."""
    own = [{**row, "cheap": cheap[row["cheap"]]} for row in ROWS]
    table = read_labelled(jsonl(tmp_path / "mine.jsonl", own), COLUMNS.model_copy(update={"positive": positive}))
    rows = [{"id": "r0", "label": cheap[0]}, {"id": "r1", "label": cheap[1]}]
    assert read_trusted(jsonl(tmp_path / "t.jsonl", rows), COLUMNS, table).frame["truth"].tolist() == [False, True]
    path = jsonl(tmp_path / "trusted.jsonl", [*rows, {"id": "r2", "label": foreign}])
    told = f"row 3 of .* is {foreign!r}; expected {cheap[0]} or {cheap[1]}, as the cheap labels are written"
    with pytest.raises(DataError, match=told):
        read_trusted(path, COLUMNS, table)


def test_a_row_trusted_twice_counts_once(tmp_path: Path) -> None:
    rows = [
        {"id": "r1", "label": 1},
        {"review": "text 1", "label": 1},
        {"review": "n", "label": 0},
        {"review": "n", "label": 0},
    ]
    assert trusted(tmp_path, rows).frame["number"].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"id": "r1", "label": None}], "row 1 of .*trusted.jsonl' has no true label"),
        ([{"id": "r1", "label": 0.5}], "true label of row 1 of .* is 0.5; expected 0/1"),
        ([{"id": "r1", "label": "spam"}], "true label of row 1 of .* is 'spam'"),
        ([{"id": "r1", "label": 1, "review": "text 2"}], "row 1 of .* has the id 'r1' of a row with another text"),
        (
            [{"id": "r99", "label": 1}],
            "row 1 of .* is no row of the labelled file and has no text in the column 'review'",
        ),
        ([{"id": "r1", "label": 1}, {"id": "r1", "label": 0}], "row 2 of .* and row 1 of .* are one row"),
        ([{"id": "r1"}], "has no column 'label'"),
        ([{"review": "n", "label": 1, "cheap": 5}], "cheap label of row 1 of .* is '5'; the labelled file has 0 and 1"),
    ],
)
def test_a_bad_trusted_row_is_named(tmp_path: Path, rows: list[dict], told: str) -> None:
    with pytest.raises(DataError, match=told):
        trusted(tmp_path, rows)


def test_ids_of_tables_with_gaps_are_the_same(tmp_path: Path) -> None:
    own = [{**row, "id": str(i) if i else "007"} for i, row in enumerate(ROWS)]
    rows = [{"id": "4.0", "label": 1}, {"id": 2.0, "label": 0}, {"id": "007.0", "label": 0, "review": "new"}]
    assert trusted(tmp_path, rows, own).frame["row"].tolist() == [4, 2, -1]


def test_trusted_rows_whose_ids_the_file_lacks_are_found_by_their_texts(tmp_path: Path) -> None:
    """A table program makes 7 of 0007, and the rows are none of the file's by their ids."""
    own = [{**row, "id": f"{i:04d}"} for i, row in enumerate(ROWS)]
    rows = [{"id": i, "label": 1, "review": own[i]["review"]} for i in (3, 1)]
    found = trusted(tmp_path, [*rows, {"id": 5, "label": 0, "review": "new"}], own)
    assert found.frame["row"].tolist() == [3, 1, -1]
    assert found.notes == ("2 trusted rows found by text, since the file lacks the id",)
    with pytest.raises(
        DataError, match="has no text in the column 'review'; its id is '3', and the file has such as '0000'"
    ):
        trusted(tmp_path, [{"id": 3, "label": 1}], own)


def test_trusted_labels_are_spelled_in_any_known_way(tmp_path: Path) -> None:
    own = [{**row, "cheap": ("spam", "ham")[row["cheap"]]} for row in ROWS]
    table = read_labelled(jsonl(tmp_path / "mine.jsonl", own), COLUMNS.model_copy(update={"positive": "spam"}))
    labels = ["SPAM", "ham ", "1.0", "No", "positive", True]
    path = jsonl(tmp_path / "trusted.jsonl", [{"id": f"r{i}", "label": one} for i, one in enumerate(labels)])
    assert read_trusted(path, COLUMNS, table).frame["truth"].tolist() == [True, False, True, False, True, True]


def test_only_a_random_draw_of_rows_may_be_used(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "mine.jsonl", ROWS)
    drawn = {limit: set(np.flatnonzero(read_labelled(path, COLUMNS, limit).frame["drawn"])) for limit in (3, 5, 99)}
    assert [len(one) for one in drawn.values()] == [3, 5, 9]
    assert drawn[3] < drawn[5]
    assert read_labelled(path, COLUMNS).frame["drawn"].all()
    left, kept = min(set(range(9)) - drawn[5]), min(drawn[5])
    rows = [{"id": f"r{left}", "label": 1}, {"id": f"r{kept}", "label": 0}]
    found = read_trusted(jsonl(tmp_path / "trusted.jsonl", rows), COLUMNS, read_labelled(path, COLUMNS, 5)).frame
    assert found["row"].tolist() == [-1, kept]
    assert found.loc[0, ["text", "p", "group"]].tolist() == [f"text {left}", left % 2, f"g{left // 3}"]


def test_trusted_texts_that_are_written_differently_are_told(tmp_path: Path) -> None:
    own = [{**row, "review": f"{row['review']}\ntwo é"} for row in ROWS]
    rows = [{"review": "text 1\r\ntwo é", "label": 1}, {"review": "text 2\ntwo e\u0301 ", "label": 1}]
    found = trusted(tmp_path, [*rows, {"review": "another", "label": 1}, {"review": own[3]["review"], "label": 1}], own)
    assert found.frame["row"].tolist() == [-1, -1, -1, 3]
    assert ["2 trusted rows differ from a row of the file by line ends" in note for note in found.notes] == [True]
    assert not trusted(tmp_path, [{"review": "another", "label": 1}], own).notes


def test_a_list_of_rows_to_judge_may_be_filled_in_part(tmp_path: Path) -> None:
    rows = [
        {"outshine_row": 5, "review": "'text  4", "label": "1"},
        {"outshine_row": "2", "review": "text 1", "label": " "},
        {"outshine_row": 3.0, "review": "text 2", "label": "'0"},
        {"outshine_row": 4, "review": "text 3", "label": None},
    ]
    found = trusted(tmp_path, rows)
    assert found.listed
    assert found.frame["row"].tolist() == [4, 2]
    assert found.frame["truth"].tolist() == [True, False]
    assert not trusted(tmp_path, [{"id": "r4", "label": 1}]).listed
    with pytest.raises(DataError, match=r"no row of .* has a true label yet"):
        trusted(tmp_path, rows[1:2])
    for wrong in ({"outshine_row": 4}, {"outshine_row": 99}, {"outshine_row": "x"}, {"outshine_row": 0}):
        with pytest.raises(DataError, match=r"row 1 of .* which is another text, or none"):
            trusted(tmp_path, [{**rows[0], **wrong}])


def test_a_list_of_rows_to_judge_may_have_columns_that_would_compute(tmp_path: Path) -> None:
    table = read_labelled(jsonl(tmp_path / "mine.jsonl", [{"=text": row["review"], **row} for row in ROWS]), COLUMNS)
    columns = COLUMNS.model_copy(update={"text": "=text", "trusted_label": "@truth"})
    path = jsonl(tmp_path / "to_judge.jsonl", [{"outshine_row": 5, "'=text": "text 4", "'@truth": "1"}])
    found = read_trusted(path, columns, table)
    assert found.frame["row"].tolist() == [4]
    assert found.frame["truth"].tolist() == [True]


def test_new_rows_have_groups_of_their_own(tmp_path: Path) -> None:
    frame = trusted(tmp_path, [{"review": "a new one", "label": 1, "group": "g7"}, {"id": "r4", "label": 1}]).frame
    assert frame["group"][0] == "g7"
    assert frame["group"].isna().tolist() == [False, True]


def test_classes_are_spelled_as_the_file_does_it_most_often(tmp_path: Path) -> None:
    own = [{**row, "cheap": "Yes" if row["cheap"] else "no"} for row in ROWS]
    own[1]["cheap"] = "YES"
    assert read_labelled(jsonl(tmp_path / "mine.jsonl", own), COLUMNS).spelling == ("no", "Yes")
    soft = [{**row, "cheap": 0.25 + row["cheap"] / 2} for row in ROWS]
    assert read_labelled(jsonl(tmp_path / "soft.jsonl", soft), COLUMNS).spelling == ("0", "1")


def test_what_save_to_disk_wrote_comes_back_as_parquet(tmp_path: Path) -> None:
    """The folder of one split is a file like any other; a column of ClassLabel numbers is read as names."""
    folder = tmp_path / "saved/train"
    folder.mkdir(parents=True)
    rows = pa.table(
        {"review": [f"text {i} of {'abcdefg'[i % 7]}" for i in range(40)], "cheap": [i % 2 for i in range(40)]}
    )
    with (
        pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as file,
        pa.ipc.new_stream(file, rows.schema) as out,
    ):
        out.write_table(rows)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": {"cheap": {"names": ["ham", "spam"]}}}))
    found = read_labelled(str(folder), Columns(text="review", label="cheap", positive="spam"))
    assert found.labels.names == ("ham", "spam")
    assert found.frame["p"].tolist() == [i % 2 for i in range(40)]
    write_with(str(folder), {"new": range(40)}, tmp_path / "train.parquet")
    back = pq.read_table(tmp_path / "train.parquet").to_pydict()
    assert back["cheap"] == ["ham", "spam"] * 20
    assert back["new"] == list(range(40))
    assert file_sha256(folder) != file_sha256(tmp_path / "train.parquet")
