"""Random access to rows on disk."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outshine.data.rows import ListRows, ParquetRows
from outshine.engine.errors import DataError


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Rows 0..24 in three files of row groups of four; one file is empty."""
    folder = tmp_path_factory.mktemp("shards")
    paths = []
    for number, rows in enumerate([range(10), range(0), range(10, 25)]):
        paths.append(folder / f"{number}.parquet")
        table = pa.table({"n": pa.array(rows, pa.int64()), "parts": [[str(n), None] for n in rows]})
        pq.write_table(table, paths[-1], row_group_size=4)
    return paths


@given(st.lists(st.integers(0, 24)))
def test_takes_any_rows_in_any_order(shards: list[Path], indices: list[int]) -> None:
    reader = ParquetRows(shards)
    assert len(reader) == 25
    assert reader.take(indices) == [{"n": n, "parts": [str(n), None]} for n in indices]


def test_reads_only_the_row_groups_it_needs(shards: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ParquetRows(shards)
    read: list[int] = []
    original = pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda self, i: (read.append(i), original(self, i))[1])
    reader.take([0, 3, 24])
    assert read == [0, 3]


@pytest.mark.parametrize("index", [-1, 25])
def test_refuses_rows_that_are_not_there(shards: list[Path], index: int) -> None:
    with pytest.raises(IndexError):
        ParquetRows(shards).take([index])


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"not parquet at all")
    with pytest.raises(DataError, match=r"broken.parquet is no Parquet file"):
        ParquetRows([path])


def test_rows_in_memory() -> None:
    reader = ListRows([{"n": 0}, {"n": 1}])
    assert len(reader) == 2
    assert reader.take([1, 0, 1]) == [{"n": 1}, {"n": 0}, {"n": 1}]
