"""Tables as other programs write them: separators, encodings, headers, and the column that is meant."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pandas as pd
import pytest

from outshine.data.user_tables import file_format, plain_name, read_rows, read_table
from outshine.engine.errors import DataError
from outshine.labelling.files import write_with

ROWS = [
    {"Review Body": "good, warm; and bright", "sent": "yes"},
    {"Review Body": 'the "best"\none', "sent": "no"},
    {"Review Body": "naïve | señor\tTür", "sent": "n/a"},
]


def as_csv(separator: str = ",", line_end: str = "\n") -> str:
    """The rows as Python's own writer has them."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, ["Review Body", "sent"], delimiter=separator, lineterminator=line_end)
    writer.writeheader()
    writer.writerows(ROWS)
    return file.getvalue()


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(tmp_path: Path, separator: str, line_end: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(as_csv(separator, line_end).encode())
    assert read_rows(path) == ROWS
    path.write_bytes(f"sep={separator}{line_end}{as_csv(separator, line_end)}".encode())
    assert read_rows(path) == ROWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["mine.csv", "mine.CSV", "mine.tsv", "mine.txt", "mine.csv.gz"])
def test_endings_and_encodings_that_a_mark_tells(tmp_path: Path, name: str, encoding: str) -> None:
    data = as_csv("\t").encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    table = read_table(tmp_path / name)
    assert table.rows == ROWS
    assert not table.notes
    assert file_format(name) == "csv"
    assert plain_name(tmp_path / name) == "mine"


@pytest.mark.parametrize("name", ["mine.csv", "mine.jsonl"])
def test_western_european_text_is_read_and_told(tmp_path: Path, name: str) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    (tmp_path / name).write_bytes((as_csv(";") if name.endswith("csv") else lines).encode("cp1252"))
    table = read_table(tmp_path / name)
    assert table.rows == ROWS
    assert ["read as Windows-1252" in note for note in table.notes] == [True]


@pytest.mark.parametrize(
    ("encoding", "text"), [("cp1251", "хороший добрый отзыв"), ("shift_jis", "良い本です"), ("gbk", "很好的书")]
)
def test_other_scripts_are_not_taken_for_it(tmp_path: Path, encoding: str, text: str) -> None:
    (tmp_path / "mine.csv").write_bytes(f"text,label\n{text},1\n{text} {text},0\n".encode(encoding))
    with pytest.raises(DataError, match=r"is not UTF-8 text .*; save it as UTF-8"):
        read_table(tmp_path / "mine.csv")


def test_json_in_one_list_and_in_zipped_lines(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(ROWS, indent=2))
    with gzip.open(tmp_path / "mine.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "lines.json").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name in ("mine.json", "mine.jsonl.gz", "lines.json"):
        assert read_rows(tmp_path / name) == ROWS


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("bad.csv.gz", b"text,label\na,1\n", "is no readable gzip file"),
        ("many.csv", b"text;label\na;1\nb;c;0\n", "separated by semicolons, row 3 has 3 fields and the rows before 2"),
        (
            "torn.csv",
            b'n,text,y\n1,"a film,1\n2,b,0\n3,a "good" film,1\n',
            r"a quotation mark in row 2 joins it with the next",
        ),
        ("open.csv", b'text,label\na,1\n"b,0\n', r"a quotation mark in row 3 joins it with the next"),
        ("list.json", b"[1, 2]", "item 1 of .* is no JSON object"),
        ("half.json", b'[{"text": 1}', "is no JSON"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=told):
        read_table(tmp_path / name)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("start", ["", "sep=;\r\n"])
def test_a_csv_is_written_as_it_was(tmp_path: Path, start: str, encoding: str) -> None:
    body = 'Review Body;;x;x\r\n"a; ""b""";1,0;=1+1;\r\nseñor;007;@x;"y\r\nz"\r\n'
    path, target = tmp_path / "mine.csv", tmp_path / "new.csv"
    path.write_bytes((start + body).encode(encoding))
    write_with(str(path), {"p": [0.5, None]}, target)
    expected = 'Review Body;;x;x;p\r\n"a; ""b""";1,0;=1+1;;0.5\r\nseñor;007;@x;"y\r\nz";\r\n'
    assert target.read_bytes() == (start + expected).encode(encoding)


def test_every_cell_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Also those with line ends of another kind than the file's, which a table program would take for the row's."""
    rows = [["n", "text"], ["1", "a\rb"], ["2", "a\nb"], ["3", "a\r\nb"], ["4", 'say ""'], ["5", "a,b;c\td"], ["6", ""]]
    for number, (separator, end) in enumerate((s, e) for s in ",;\t|" for e in ("\n", "\r\n", "\r")):
        path, target = tmp_path / f"{number}.csv", tmp_path / f"{number}-new.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
        write_with(str(path), {"p": [1, 2.5, None, True, "x", "=1"]}, target)
        text = target.read_bytes().decode()
        assert text.startswith(f"n{separator}text{separator}p{end}")
        read = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
        assert read == [[*row, p] for row, p in zip(rows, ["p", "1", "2.5", "", "True", "x", "=1"], strict=True)]
        assert read_table(path).rows == [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def test_quotation_marks_are_text_where_lines_are_whole_without_them(tmp_path: Path) -> None:
    """Tables separated by tabs often quote nothing: read as quoted, this one has two rows of five."""
    body = 'n\ttext\tlabel\n1\t"a film\t1\n2\tbad\t0\n3\t5" long\t1\n4\tthe end"\t0\n5\t"so" so\t1\n'
    path, target = tmp_path / "mine.tsv", tmp_path / "new.tsv"
    path.write_bytes(body.encode())
    assert [row["text"] for row in read_rows(path)] == ['"a film', "bad", '5" long', 'the end"', '"so" so']
    write_with(str(path), {"p": [0, 1, 0, 1, 0]}, target)
    expected = [f"{line}\t{p}" for line, p in zip(body.splitlines(), ["p", 0, 1, 0, 1, 0], strict=True)]
    assert target.read_text().splitlines() == expected
    quoted = 'n\ttext\n1\t"a\n2\tb"\n3\t"c ""d"""\n'
    (tmp_path / "quoted.tsv").write_bytes(quoted.replace("2\tb", "b").encode())
    assert [row["text"] for row in read_rows(tmp_path / "quoted.tsv")] == ["a\nb", 'c "d"']


def test_rows_that_lack_fields_are_told(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("n,text,label\n1,a good\nfilm,1\n2,b,0\n")
    table = read_table(tmp_path / "mine.csv")
    cells = [[row[name] for name in ("n", "text", "label")] for row in table.rows]
    assert cells == [["1", "a good", ""], ["film", "1", ""], ["2", "b", "0"]]
    (note,) = table.notes
    assert note.startswith("2 rows, the first of them row 1, have fewer fields than the header")
    (tmp_path / "one.csv").write_text("n,text,label\n1,a,0\n\n2,b\n")
    assert read_table(tmp_path / "one.csv").notes[0].startswith("row 2 has fewer fields than the header")


def test_a_zipped_csv_and_a_list_are_written_as_such(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "mine.csv.gz", "wt") as file:
        file.write("a\tb\n1\t2\n")
    write_with(str(tmp_path / "mine.csv.gz"), {"p": [0.5]}, tmp_path / "new.csv.gz")
    assert gzip.decompress((tmp_path / "new.csv.gz").read_bytes()) == b"a\tb\tp\n1\t2\t0.5\n"
    (tmp_path / "mine.json").write_text('[{"a": 1}]')
    write_with(str(tmp_path / "mine.json"), {"p": [0.5]}, tmp_path / "new.json")
    assert json.loads((tmp_path / "new.json").read_text()) == [{"a": 1, "p": 0.5}]


def test_letters_that_the_encoding_lacks_make_it_utf_8(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes("text,label\nseñor,1\n".encode("cp1252"))
    write_with(str(tmp_path / "mine.csv"), {"π": [0.5]}, tmp_path / "new.csv")
    assert pd.read_csv(tmp_path / "new.csv").columns.tolist() == ["text", "label", "π"]


def test_headers_are_not_renamed(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["a", "b"], "label": [0, 1]}).to_csv(tmp_path / "indexed.csv")
    assert read_table(tmp_path / "indexed.csv").columns == ["", "text", "label"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine.csv", "text,label,label\na,1,0\n"),
        ("mine.jsonl", '{"text": "a", "label": 1, "label": 0}\n'),
    ],
)
def test_a_column_that_is_there_twice_is_refused_or_told(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="two columns 'label': which is meant"):
        read_table(tmp_path / name, ["text", "label"])
    assert read_table(tmp_path / name, ["text"]).notes == ["two columns have the same name and are not used: 'label'"]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (["Review Body", "sent"], 'did you mean --text "Review Body" --label sent\\?'),
        (["Text ", "LABEL"], 'did you mean --text "Text " --label LABEL\\?'),
        (["text", "gold"], "did you mean --label gold\\?"),
        (["n", "id"], "say which column it is: --text COLUMN --label COLUMN"),
    ],
)
def test_columns_that_are_missing_are_guessed(tmp_path: Path, columns: list[str], told: str) -> None:
    numbers = columns == ["n", "id"]
    frame = pd.DataFrame({columns[0]: [f"{i}7" if numbers else f"a long text {i}" for i in range(30)]})
    frame[columns[1]] = [i if numbers else ("no", "yes", "n/a")[i % 3] for i in range(30)]
    frame.to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(DataError, match=f"has no column .*; it has: .*{told}$"):
        read_table(tmp_path / "mine.csv", {"text": "--text", "label": "--label"})


def test_options_with_several_columns_are_guessed_whole(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("a,b,lm_x\n1,2,3\n")
    for needed, told in [
        ({"a": "--pair", "B": "--pair"}, "did you mean --pair a,b\\?"),
        ({"a": "--votes", "nothing": "--votes"}, "say which column it is: --votes a,COLUMN"),
        ({"lm_x": "--probs", "lm_y": "--probs"}, "it has: a, b, lm_x"),
    ]:
        with pytest.raises(DataError, match=f"has no column .*{told}$"):
            read_table(tmp_path / "mine.csv", needed)
