"""Random access to rows: in memory for a user's file, in Parquet shards on disk for a dataset of the hub."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from outshine.engine.errors import DataError

Row = Mapping[str, Any]
"""One row of a source as plain Python values (str, int, bool, float, list, dict)."""


class RowReader(Protocol):
    """Random access to the rows of one source split; big ones stay on disk."""

    def __len__(self) -> int: ...

    def take(self, indices: Sequence[int]) -> list[Row]:
        """The rows of these numbers, in this order."""
        ...


class Pools(NamedTuple):
    """The rows that training and validation are cut from, and those that test is cut from.

    `test` None: test rows are held out of `train`, by group (`test_size` of them where the source says so).
    `notes`: what a reader should know about how the source was read, in sentences.
    """

    train: RowReader
    test: RowReader | None
    test_size: int | None = None
    notes: tuple[str, ...] = ()


class Hub(NamedTuple):
    """Where a dataset lies on the hub, in the layout of its Parquet export: `<config>/<split>/*.parquet`.

    Attributes:
        repo: The repository, `owner/name`.
        config: The configuration.
        train: The split that training and validation rows come from.
        test: The split that test rows come from.
        pooled: Splits that form one pool, from which test rows are held out by group; empty: `train` and `test` are
            used.
        test_size: How many test rows are held out; None: the study says.
        revision: The revision of the export.
    """

    repo: str
    config: str = "default"
    train: str = "train"
    test: str = "test"
    pooled: tuple[str, ...] = ()
    test_size: int | None = None
    revision: str = "refs/convert/parquet"


class ListRows:
    """Rows that fit into memory."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, indices: Sequence[int]) -> list[Row]:
        """The rows of these numbers, in this order."""
        return [self._rows[index] for index in indices]


class ParquetRows:
    """The rows of Parquet files read one after the other as if they were one.

    Only the files' footers are read at once. `take` reads the row groups that hold a wanted row, one at a
    time, so that a few thousand of millions of rows cost the memory of one row group.
    Raises DataError for a file that is no Parquet.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._groups: list[tuple[Path, int]] = []
        sizes = []
        for path in paths:
            for number, num_rows in enumerate(_row_group_sizes(path)):
                self._groups.append((path, number))
                sizes.append(num_rows)
        self._ends = list(accumulate(sizes))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def column(self, name: str) -> list[Any]:
        """All values of one column, which must be there."""
        import pyarrow.parquet as pq

        values: list[Any] = []
        for path in dict.fromkeys(path for path, _ in self._groups):
            with pq.ParquetFile(path) as file:
                values += file.read(columns=[name])[name].to_pylist()
        return values

    def head(self, num_rows: int = 200) -> list[Row]:
        """The first rows, for a look at what the columns hold."""
        return self.take(range(min(num_rows, len(self))))

    def take(self, indices: Sequence[int]) -> list[Row]:
        """The rows of these numbers, in this order."""
        import pyarrow.parquet as pq

        wanted: dict[Path, dict[int, list[int]]] = {}
        for index in sorted(set(indices)):
            if not 0 <= index < len(self):
                raise IndexError(f"row {index} of {len(self)}")
            group = bisect_right(self._ends, index)
            wanted.setdefault(self._groups[group][0], {}).setdefault(group, []).append(index)
        rows: dict[int, Row] = {}
        for path, groups in wanted.items():
            with pq.ParquetFile(path) as file:  # opened once: its footer grows with the number of row groups
                for group, members in groups.items():
                    start = self._ends[group - 1] if group else 0
                    table = file.read_row_group(self._groups[group][1]).take([index - start for index in members])
                    rows.update(zip(members, table.to_pylist(), strict=True))
        return [rows[index] for index in indices]


def _row_group_sizes(path: Path) -> list[int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            footer = file.metadata
            return [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is no Parquet file ({error}); delete it and fetch or write it again") from error
