"""A user's table with new columns: in the same format, with the user's own values as they were."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from outshine.engine.errors import DataError
from outshine.labelling.files import check_free, write_with

NEW = {"p": [0.25, None, 0.5], "rank": [2, None, 1], "suspect": [True, None, False]}


def test_json_lines_keep_their_values(tmp_path: Path) -> None:
    lines = [
        '{"text": "Tür \\u2028", "n": 12345678901234567890, "deep": {"a": [1, 2.5]}}',
        "",
        '{"text": "=1+1"}',
        '{"x": null}',
    ]
    source, target = tmp_path / "mine.jsonl", tmp_path / "new.jsonl"
    source.write_text("\n".join(lines), encoding="utf-8")
    write_with(str(source), NEW, target)
    written = [json.loads(line) for line in target.read_text(encoding="utf-8").split("\n") if line]
    assert written == [
        {
            "text": "Tür \u2028",
            "n": 12345678901234567890,
            "deep": {"a": [1, 2.5]},
            "p": 0.25,
            "rank": 2,
            "suspect": True,
        },
        {"text": "=1+1", "p": None, "rank": None, "suspect": None},
        {"x": None, "p": 0.5, "rank": 1, "suspect": False},
    ]


def test_csv_keeps_its_texts(tmp_path: Path) -> None:
    source, target = tmp_path / "mine.csv", tmp_path / "new.csv"
    source.write_text('text,code,empty\n"a, ""quoted""\nline",007,\nNA,1e5,\nnull,0.10,\n', encoding="utf-8")
    write_with(str(source), NEW, target)
    before, after = (pd.read_csv(path, dtype=str, keep_default_na=False) for path in (source, target))
    assert after[["text", "code", "empty"]].equals(before)
    assert after["p"].tolist() == ["0.25", "", "0.5"]
    assert after["rank"].tolist() == ["2", "", "1"]
    assert after["suspect"].tolist() == ["True", "", "False"]


def test_parquet_keeps_its_types_and_metadata(tmp_path: Path) -> None:
    source, target = tmp_path / "mine.parquet", tmp_path / "new.parquet"
    table = pa.table({"text": ["a", "b", "c"], "n": pa.array([1, 2, 3], pa.int8()), "deep": [[1], [], None]})
    table = table.replace_schema_metadata({"made by": "me"})
    pq.write_table(table, source)
    write_with(str(source), NEW, target)
    written = pq.read_table(target)
    assert written.select(["text", "n", "deep"]).equals(pq.read_table(source), check_metadata=True)
    assert {name: written[name].to_pylist() for name in NEW} == NEW


def test_columns_that_are_there_already_are_told(tmp_path: Path) -> None:
    source = tmp_path / "mine.jsonl"
    source.write_text('{"text": "a"}\n{"text": "b", "p": 1}\n')
    check_free(str(source), ["q"], "--prefix")
    with pytest.raises(DataError, match="has a column 'p' already; choose other names for the new ones: --prefix"):
        check_free(str(source), ["p", "q"], "--prefix")


def test_other_numbers_of_values_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "mine.jsonl"
    source.write_text('{"text": "a"}\n')
    with pytest.raises(DataError, match="'p' has 3 values for the 1 rows"):
        write_with(str(source), NEW, tmp_path / "new.jsonl")
