"""The user's own file as a dataset: jsonl, csv or parquet with columns text and label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from outshine.core.errors import DataError
from outshine.core.files import absolute_path
from outshine.core.settings import NotInKey
from outshine.data.local import FILE_KIND, file_sha256, parse_label, plain_id, read_rows
from outshine.data.rows import ListRows
from outshine.data.schema import Draw, Example, Pools, Recipe, Row, recipes


@recipes.register(FILE_KIND)
class FileDataset(Recipe):
    """Rows of a local file, used as they are.

    The text is what the model reads. Rows with one `group` (a passage, an author) stay in one split; without
    that column, and where it is empty, a row stands alone. A row's `id`, where given, is its identity for
    joins with weak labels; otherwise its text is. The file is known by its bytes, not by its path.
    """

    title = "a file of your own"
    positive_means = "label 1"

    path: Annotated[str, NotInKey()]
    test_path: Annotated[str | None, NotInKey()] = None
    text_column: str = "text"
    label_column: str = "label"
    id_column: str = "id"
    group_column: str = "group"

    @property
    def name(self) -> str:
        """The file's name without folder and suffix."""
        return Path(self.path).stem

    def located(self) -> FileDataset:
        paths = {name: getattr(self, name) for name in ("path", "test_path")}
        found = {name: str(absolute_path(path)) for name, path in paths.items() if path}
        return self.model_copy(update=found)

    def identify(self) -> str:
        """`sha256:<digest>` of the file's bytes, and that of the test file after a `+`."""
        paths = [self.path, *([self.test_path] if self.test_path else [])]
        return "sha256:" + "+".join(file_sha256(path) for path in paths)

    def open(self, identity: str) -> Pools:
        """The rows, checked. Raises DataError for unusable files and for files that have changed since."""
        if self.identify() != identity:
            raise DataError(f"'{self.path}' or its test file has changed while it was in use; run again")
        rows = [self._read(path) for path in (self.path, self.test_path) if path]
        self._check_ids([row for pool in rows for row in pool])
        return Pools(ListRows(rows[0]), ListRows(rows[1]) if len(rows) > 1 else None)

    def format(self, row: Row, draw: Draw) -> Example | None:
        text, group, identity = (row.get(name) for name in (self.text_column, self.group_column, self.id_column))
        label = parse_label(row.get(self.label_column), row.get(_WHERE, "a row"))
        return Example(
            text=text or "",
            label=label,
            group=str(group) if _is_given(group) else None,
            id=plain_id(identity, "a row") if _is_given(identity) else None,
        )

    def _read(self, path: str) -> list[Row]:
        rows = read_rows(path, [self.text_column, self.label_column])
        placed = []
        for number, row in enumerate(rows, start=1):
            where = f"row {number} of '{path}'"
            text = row.get(self.text_column)
            if not (text is None or isinstance(text, str)):
                raise DataError(f"'{self.text_column}' of {where} is {text!r}, not text")
            placed.append({**row, _WHERE: where})
        return placed

    def _check_ids(self, rows: list[Row]) -> None:
        """Ids are given for all rows or for none, and never twice."""
        seen: dict[str, str] = {}
        if not any(_is_given(row.get(self.id_column)) for row in rows):
            return
        for row in rows:
            name = plain_id(row.get(self.id_column), row[_WHERE])
            if name in seen:
                raise DataError(f"{row[_WHERE]} has the id {name!r}, so has {seen[name]}; ids must be unique")
            seen[name] = row[_WHERE]


_WHERE = "\0where"  # the key under which a row carries its place, which no column can be called


def _is_given(value: Any) -> bool:
    return value is not None and value != "" and value == value
