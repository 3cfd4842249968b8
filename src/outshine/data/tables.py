"""A user's table written again with more columns: a CSV stays a CSV, JSON lines and Parquet likewise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from outshine.core.errors import DataError
from outshine.core.files import user_path
from outshine.data.reading import (
    CsvTable,
    file_format,
    read_csv_table,
    read_table,
    write_csv_table,
    write_json_rows,
)


def check_free(path: str, names: Sequence[str], option: str) -> None:
    """Raises DataError where the table at `path` has one of these columns already. `option` names the way out."""
    taken = set(read_table(path).columns) & set(names)
    if taken:
        raise DataError(f"'{path}' has a column '{min(taken)}' already; choose other names for the new ones: {option}")


def write_with(path: str, new: Mapping[str, Sequence[Any]], target: Path) -> None:
    """Write the rows of the table at `path` with the columns `new` after its own, in the format of `path`.

    `new`: name -> a value for each row, in the file's order; None and NaN: nothing. The user's own names and values
    stay what they are, also those that a spreadsheet would compute: header, texts, separator and encoding of a CSV, the
    JSON values of each line, the types and metadata of Parquet. Raises DataError where `path` cannot be read, and where
    a column has another number of values than the file has rows.
    """
    kind = file_format(path)
    table = read_csv_table(user_path(path)) if kind == "csv" else read_table(path)
    num_rows = len(table.frame if isinstance(table, CsvTable) else table.rows)
    for name, values in new.items():
        if len(values) != num_rows:
            raise DataError(f"the column '{name}' has {len(values)} values for the {num_rows} rows of '{path}'")
    columns = {name: [_plain(value) for value in values] for name, values in new.items()}
    if isinstance(table, CsvTable):
        added = [pd.Series(values, dtype=object) for values in columns.values()]  # whole numbers stay whole
        write_csv_table(
            table._replace(header=[*table.header, *columns], frame=pd.concat([table.frame, *added], axis=1)), target
        )
    elif kind == "jsonl":
        rows = [
            {**row, **dict(zip(columns, values, strict=True))}
            for row, values in zip(table.rows, zip(*columns.values(), strict=True), strict=True)
        ]
        write_json_rows(path, rows, target)
    else:
        _write_parquet(path, columns, target)


def _write_parquet(path: str, columns: Mapping[str, list[Any]], target: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with user_path(path).open("rb") as file:
        table = pq.read_table(file)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    pq.write_table(table, target)


def _plain(value: Any) -> Any:
    """A value that JSON and Parquet know."""
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and math.isnan(plain) else plain
