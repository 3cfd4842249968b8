"""The user's own files: rows, labels and weak labels, and what is said about each that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from outshine.data.label_spellings import class_labels
from outshine.data.recipes.file import FileDataset, dataset_from_path
from outshine.data.schema import recipes
from outshine.data.splits import PreparedSplits, SplitSettings, prepare
from outshine.data.user_tables import read_rows
from outshine.data.weak_label_file import id_spellings, join_weak_labels, read_weak_labels
from outshine.engine.errors import DataError

ROWS = [{"text": f"Row number {i}.", "label": i % 2, "id": f"r{i}", "group": f"g{i // 4}"} for i in range(80)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


def prepared_from(path: Path, **settings: Any) -> PreparedSplits:
    recipe = FileDataset(path=str(path), **settings)
    return prepare(recipe, recipe.identify(), SplitSettings())


def frames_equal(one: PreparedSplits, other: PreparedSplits) -> bool:
    return one.texts.equals(other.texts) and one.truth.equals(other.truth)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_every_format_gives_the_same_dataset(tmp_path: Path, suffix: str) -> None:
    reference = prepared_from(write(tmp_path / "mine.jsonl", ROWS))
    assert frames_equal(prepared_from(write(tmp_path / f"other{suffix}", ROWS)), reference)


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    forwards = prepared_from(write(tmp_path / "mine.jsonl", ROWS))
    backwards = prepared_from(write(tmp_path / "backwards.jsonl", ROWS[::-1]))
    assert frames_equal(forwards, backwards)


@pytest.mark.parametrize(
    "labels",
    [
        (0, 1),
        (False, True),
        ("0", "1"),
        ("false", "true"),
        ("False", "TRUE "),
        (0.0, 1.0),
        ("0.0", "1.0"),
        ("no", "Yes"),
        ("n", "y"),
        ("Negative", "positive "),
        ("neg", "POS"),
    ],
)
def test_labels_may_be_written_in_many_ways(tmp_path: Path, labels: tuple[Any, Any]) -> None:
    reference = prepared_from(write(tmp_path / "mine.jsonl", ROWS))
    rows = [{**row, "label": labels[row["label"]]} for row in ROWS]
    assert frames_equal(prepared_from(write(tmp_path / "again.jsonl", rows)), reference)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("ham", "spam"), {"positive": "spam"}),
        (("spam", "ham"), {"negative": "SPAM"}),
        ((1, 5), {"positive": "4,5", "negative": [1, 2.0]}),
    ],
)
def test_classes_may_be_named(tmp_path: Path, labels: tuple[Any, Any], words: dict[str, Any]) -> None:
    extra = [{"text": f"Other {value}.", "label": value, "id": f"x{value}"} for value in (2, 4)]
    extra = extra if labels == (1, 5) else []
    reference = [*ROWS, *({**row, "label": int(row["label"] == 4)} for row in extra)]
    rows = [*({**row, "label": labels[row["label"]]} for row in ROWS), *extra]
    named = prepared_from(write(tmp_path / "again.csv", rows), **words)
    assert frames_equal(named, prepared_from(write(tmp_path / "mine.csv", reference)))


@pytest.mark.parametrize("nothing", [None, "", "n/a", "NULL", " none", float("nan"), "unsure"])
def test_rows_without_a_label_are_left_out_and_counted(tmp_path: Path, nothing: Any) -> None:
    rows = [*ROWS, *({"text": f"Unlabelled {i}", "label": nothing, "id": f"u{i}"} for i in range(3))]
    prepared = prepared_from(write(tmp_path / "mine.jsonl", rows), missing="unsure")
    assert frames_equal(prepared, prepared_from(write(tmp_path / "without.jsonl", ROWS)))
    assert "3 rows without a label in the column 'label' left out." in prepared.notes
    with pytest.raises(DataError, match=r"no row of .* has a label in the column 'label'"):
        prepared_from(write(tmp_path / "mine.jsonl", rows[-3:]), missing="unsure")


def test_a_draw_of_some_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", ROWS)
    recipe = FileDataset(path=str(path))
    drawn = {n: prepare(recipe, recipe.identify(), SplitSettings(limit=n)) for n in (70, 80, None)}
    assert drawn[70].report["drawn_rows"] == {"train": 70}
    assert "A random draw (limit): 70 of 80 training rows." in drawn[70].notes
    assert frames_equal(drawn[80], drawn[None])
    assert not [note for note in drawn[80].notes if "limit" in note]
    assert set(drawn[70].texts["text"]) < {row["text"] for row in ROWS}


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    names = {"text": "Satz", "label": "gold", "id": "key", "group": "author"}
    rows = [{names[name]: value for name, value in row.items()} for row in ROWS]
    settings = {f"{name}_column": other for name, other in names.items()}
    renamed = prepared_from(write(tmp_path / "other.jsonl", rows), **settings)
    assert frames_equal(renamed, prepared_from(write(tmp_path / "mine.jsonl", ROWS)))


def test_identity_is_the_bytes_and_not_the_path(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.jsonl", ROWS), write(tmp_path / "two.jsonl", ROWS)
    assert dataset_from_path(one).identify() == dataset_from_path(two).identify()
    assert dataset_from_path(one).name == "one"
    assert frames_equal(prepared_from(one), prepared_from(two))
    write(two, ROWS[1:])
    assert dataset_from_path(one).identify() != dataset_from_path(two).identify()


def test_a_file_that_changes_in_use_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", ROWS)
    recipe = dataset_from_path(path)
    identity = recipe.identify()
    write(path, ROWS[:-1])
    with pytest.raises(DataError, match="changed while it was in use"):
        recipe.open(identity)


def test_a_test_file_of_its_own(tmp_path: Path) -> None:
    train, test = write(tmp_path / "train.csv", ROWS), [{**row, "id": f"t{row['id']}"} for row in ROWS[:20]]
    fresh = [{**row, "text": f"Fresh {row['text']}", "group": f"f{row['group']}"} for row in test]
    prepared = prepared_from(train, test_path=str(write(tmp_path / "test.csv", fresh)))
    in_test = prepared.texts[prepared.texts["split"] == "test"]
    assert len(in_test) == 20
    assert in_test["text"].str.startswith("Fresh").all()
    assert not prepared.texts[prepared.texts["split"] != "test"]["text"].str.startswith("Fresh").any()


def test_groups_are_kept_together_and_rows_without_one_stand_alone(tmp_path: Path) -> None:
    rows = [{**row, "group": row["group"] if i % 8 < 4 else None} for i, row in enumerate(ROWS)]
    prepared = prepared_from(write(tmp_path / "mine.jsonl", rows))
    assert (prepared.texts.groupby("group")["split"].nunique() == 1).all()
    sizes = prepared.texts.groupby("group").size()
    assert sizes.max() <= 4
    assert (sizes == 1).any()


def test_empty_texts_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = [*ROWS, *({"text": text, "label": 1, "id": f"e{i}"} for i, text in enumerate(["", "  \n", None]))]
    prepared = prepared_from(write(tmp_path / "mine.jsonl", rows))
    assert prepared.report["dropped"]["train"]["empty text"] == 3
    assert "3 empty text" in " ".join(prepared.notes)


def test_the_row_that_is_named_has_the_value_that_is_quoted(tmp_path: Path) -> None:
    rows = [{**row, "label": "ba"[i % 2]} for i, row in enumerate(ROWS)]
    with pytest.raises(DataError, match=r"row 1 of .* has b in the column 'label'; it holds a, b"):
        prepared_from(write(tmp_path / "mine.jsonl", rows))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"label": 2}, r"row 4 of '.*mine.jsonl' has 2 in the column 'label', which is no class .*--missing 2"),
        ({"label": "spam"}, "row 4 of .* has spam"),
        ({"label": [1]}, r'row 4 of .* has "\[1\]"'),
        ({"label": 10**400}, "row 4 of .* has inf"),
        ({"label": 0.7}, "row 4 of .* has 0.7 in the column 'label', which is not binary"),
        ({"text": 7}, "'text' of row 4 of .* is 7, not text"),
        ({"id": "r1"}, "row 4 of .* has the id 'r1', so has row 2"),
        ({"id": None}, "row 4 of .* has no id"),
    ],
)
def test_the_first_bad_row_is_named(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    rows = [*ROWS[:3], {**ROWS[3], **changed}, *ROWS[4:]]
    with pytest.raises(DataError, match=told) as caught:
        prepared_from(write(tmp_path / "mine.jsonl", rows))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("empty.jsonl", b"", "has no rows"),
        ("blank.jsonl", b"\n\n", "has no rows"),
        ("empty.csv", b"", "has no rows"),
        ("header.csv", b"text,label\n", "has no rows"),
        ("bad.jsonl", b'{"text": "a", "label": 0}\n\n{"text": \n', "line 3 of .* is no JSON"),
        ("list.jsonl", b"[1, 2]\n", "line 1 of .* is no JSON object"),
        ("half.jsonl", b'{"text": "\\ud800", "label": 0}\n', "line 1 of .* holds half a surrogate pair"),
        ("greek.jsonl", '{"text": "αβγδ"}'.encode("iso-8859-7"), "is not UTF-8 text"),
        ("bytes.csv", b"text,label\n\x81\x8d,1\n", "is not UTF-8 text"),
        ("columns.csv", b"sentence,gold\na,1\n", "has no column 'text' or 'label'; it has: sentence, gold"),
        ("long.csv", b"text,label\na,1\nb,0,7\n", "is no well-formed CSV"),
        ("longer.csv", b"text,label\na,1,7\nb,0,7\n", "is no well-formed CSV"),
        ("quote.csv", b'text,label\n"a,1\n', "is no well-formed CSV"),
        ("broken.parquet", b"PAR1 or not", "is no readable Parquet file"),
        ("notes.txt", b"hello\nyou", "has no column 'text' or 'label'; it has: hello"),
        ("notes.doc", b"hello", "is none of .jsonl, .ndjson, .json, .csv, .tsv"),
    ],
)
def test_unusable_files_are_told_in_one_line(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=told) as caught:
        prepared_from(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read '.*none.csv': No such file"):
        dataset_from_path(tmp_path / "none.csv").identify()
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"cannot read .*folder.csv"):
        read_rows(tmp_path / "folder.csv", [])
    with pytest.raises(DataError, match="is none of"):
        dataset_from_path("sst2")


def test_a_byte_order_mark_and_quoted_newlines_are_read(tmp_path: Path) -> None:
    (tmp_path / "excel.csv").write_bytes(b'\xef\xbb\xbftext,label\n"two\nlines, one comma",1\nNA,0\n')
    rows = read_rows(tmp_path / "excel.csv", ["text", "label"])
    assert rows == [{"text": "two\nlines, one comma", "label": "1"}, {"text": "NA", "label": "0"}]


def test_is_registered_under_file() -> None:
    assert recipes.parse({"kind": "file", "path": "x.csv"}) == FileDataset(path="x.csv")


def test_labels_that_python_takes_for_numbers_are_not_mistaken() -> None:
    assert class_labels([True, "01"], ["here", "there"], "label").tolist() == [1, 1]
    with pytest.raises(DataError, match=r"there has 0\.001 .* not binary"):
        class_labels([True, "1e-3"], ["here", "there"], "label")


# --- weak labels -------------------------------------------------------------------------------------------


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedSplits:
    return prepared_from(write(tmp_path / "mine.jsonl", ROWS))


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("key", ["id", "text"])
def test_weak_labels_are_joined_by_id_or_text(tmp_path: Path, prepared: PreparedSplits, suffix: str, key: str) -> None:
    weak = [{key: row[key], "p_weak": i / 80} for i, row in enumerate(ROWS)]
    joined = join_weak_labels(read_weak_labels(write(tmp_path / f"weak{suffix}", weak[::-1])), prepared.texts)
    by_text = {row["text"]: i / 80 for i, row in enumerate(ROWS)}
    assert joined["id"].tolist() == prepared.texts["id"].tolist()
    assert joined["p"].tolist() == [by_text[text] for text in prepared.texts["text"]]


def test_weak_labels_may_use_the_ids_of_prepared_texts(tmp_path: Path, prepared: PreparedSplits) -> None:
    weak = [{"id": name, "p_weak": 0.25} for name in prepared.texts["id"]]
    joined = join_weak_labels(read_weak_labels(write(tmp_path / "weak.csv", weak)), prepared.texts)
    assert joined["p"].tolist() == [0.25] * len(prepared.texts)


def test_numbers_as_ids_are_the_same_in_every_format(tmp_path: Path) -> None:
    rows = [{**row, "id": i} for i, row in enumerate(ROWS)]
    texts = prepared_from(write(tmp_path / "mine.jsonl", rows)).texts
    weak = write(tmp_path / "weak.parquet", [{"id": float(i), "p_weak": 0.5} for i in range(80)])
    assert len(join_weak_labels(read_weak_labels(weak), texts)) == len(texts)


@pytest.mark.parametrize("own", ["{}", "{}.0"])
@pytest.mark.parametrize("other", ["{}", "{}.0", "{}.00"])
def test_ids_with_a_point_are_the_same(tmp_path: Path, own: str, other: str) -> None:
    texts = prepared_from(
        write(tmp_path / "mine.csv", [{**row, "id": own.format(i)} for i, row in enumerate(ROWS)])
    ).texts
    weak = write(tmp_path / "weak.csv", [{"id": other.format(i), "p_weak": i / 80} for i in range(80)])
    joined = join_weak_labels(read_weak_labels(weak), texts)
    by_text = {row["text"]: i / 80 for i, row in enumerate(ROWS)}
    assert joined["p"].tolist() == [by_text[text] for text in texts["text"]]


def test_other_texts_that_look_like_numbers_are_ids_of_their_own() -> None:
    assert [id_spellings(name) for name in ("7", "7.0")] == [("7", "7.0"), ("7.0", "7")]
    for name in ("007", "1e3", "7.5", "07.0", "-0", "x7", ""):
        assert id_spellings(name) == (name,)


def test_an_id_as_it_stands_there_goes_before_one_that_is_like_it(tmp_path: Path) -> None:
    rows = [{**row, "id": f"{i // 2}.0" if i % 2 else str(i // 2)} for i, row in enumerate(ROWS)]
    texts = prepared_from(write(tmp_path / "mine.csv", rows)).texts
    weak = write(tmp_path / "weak.csv", [{"id": row["id"], "p_weak": i / 80} for i, row in enumerate(rows)])
    by_text = {row["text"]: i / 80 for i, row in enumerate(ROWS)}
    assert join_weak_labels(read_weak_labels(weak), texts)["p"].tolist() == [by_text[text] for text in texts["text"]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda text: text.replace("\n", "\r\n"),
            r"\\nnumber .* there is 'Row\\r\\nnumber .*one text but for line ends",
        ),
        (lambda text: text.replace("é", "e\u0301"), r"\\xe9.* there is .*e\\u0301.*one text but for line ends"),
        (lambda text: f" {text} ", "there is ' Row.*one text but for"),
        (lambda text: text.upper(), "there is, for example, 'ROW"),
        (lambda text: f"\x1b{text}", r"there is, for example, '\\x1bRow"),
    ],
)
def test_texts_that_differ_are_shown(tmp_path: Path, change: Any, told: str) -> None:
    rows = [{"text": f"Row\nnumber {i} é.", "label": i % 2} for i in range(80)]
    texts = prepared_from(write(tmp_path / "mine.csv", rows)).texts
    weak = write(tmp_path / "weak.csv", [{"text": change(row["text"]), "p_weak": 0.5} for row in rows])
    with pytest.raises(DataError, match=f"Looked for 'Row.*{told}"):
        join_weak_labels(read_weak_labels(weak), texts)


def test_ids_of_which_none_is_known_are_told(tmp_path: Path, prepared: PreparedSplits) -> None:
    weak = write(tmp_path / "weak.csv", [{"id": f"x{i}", "p_weak": 0.5} for i in range(80)])
    with pytest.raises(DataError, match=r"No id there, such as 'x0', is one of the dataset's; .* join by text"):
        join_weak_labels(read_weak_labels(weak), prepared.texts)


def test_weak_labels_are_spelled_as_other_labels(tmp_path: Path, prepared: PreparedSplits) -> None:
    values = ["85%", "0,85", 0.85, "0.85"]
    weak = [{"text": text, "p_weak": values[i % 4]} for i, text in enumerate(prepared.texts["text"])]
    joined = join_weak_labels(read_weak_labels(write(tmp_path / "weak.csv", weak)), prepared.texts)
    assert joined["p"].tolist() == [0.85] * len(prepared.texts)
    hard = [{"text": text, "p_weak": ("yes", "no")[i % 2]} for i, text in enumerate(prepared.texts["text"])]
    joined = join_weak_labels(read_weak_labels(write(tmp_path / "hard.csv", hard)), prepared.texts)
    assert joined["p"].tolist() == [1 - i % 2 for i in range(len(prepared.texts))]


def test_test_rows_need_no_weak_label_but_student_rows_do(tmp_path: Path, prepared: PreparedSplits) -> None:
    texts = prepared.texts
    needed = texts[texts["split"].isin(["strong_train", "val"])]
    weak = needed[["text"]].assign(p=0.5)
    assert join_weak_labels(weak, texts)["id"].tolist() == needed["id"].tolist()
    num_train, num_val = (int((texts["split"] == split).sum()) for split in ("strong_train", "val"))
    told = rf"\(joined by text\) lack {num_train - 1} of {num_train} rows of strong_train and {num_val} of"
    with pytest.raises(DataError, match=told):
        join_weak_labels(weak[needed["split"].eq("strong_train")].head(1), texts)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"id": "a", "p_weak": 0.5}, {"id": "b", "p_weak": 1.5}], "p_weak of row 2 of .* is 1.5"),
        ([{"id": "a", "p_weak": -0.1}], "p_weak of row 1 of .* is -0.1; expected a probability from 0 to 1"),
        ([{"id": "a", "p_weak": float("nan")}], "p_weak of row 1 of .* is nan"),
        ([{"id": "a", "p_weak": None}], "p_weak of row 1 of .* is None"),
        ([{"id": "a", "p_weak": "high"}], "is 'high'"),
        ([{"id": None, "p_weak": 0.5}], "row 1 of .* has no id"),
        ([{"id": "a", "p_weak": 0.5}, {"id": "a", "p_weak": 0.6}], "row 2 .* gives id 'a' the weak label 0.6"),
        ([{"id": "a", "score": 0.5}], "has no column 'p_weak'; it has: id, score"),
        ([{"name": "a", "p_weak": 0.5}], "has no column 'id' or 'text' to join by; it has: name, p_weak"),
    ],
)
def test_bad_weak_labels_are_told(tmp_path: Path, rows: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_weak_labels(write(tmp_path / "weak.jsonl", rows))


def test_saying_the_same_twice_is_no_conflict(tmp_path: Path) -> None:
    path = write(tmp_path / "weak.jsonl", [{"id": "a", "p_weak": 0.5}] * 2)
    assert read_weak_labels(path).to_dict("records") == [{"id": "a", "p": 0.5}]
