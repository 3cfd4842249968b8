"""The user's own file as a dataset: one row a text, with a column of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from outshine.data.label_spellings import ALL_CLASSES, Spellings, Words, classes_found
from outshine.data.rows import ListRows, Pools, Row
from outshine.data.schema import Draw, Example, Recipe, recipes
from outshine.data.task import Task
from outshine.data.user_datasets import (
    FILE_KIND,
    OWN_LABELS,
    OwnColumns,
    check_words,
    example_from_columns,
    file_sha256,
    has_value,
    plain_id,
    task_by_words,
    with_labels,
)
from outshine.data.user_tables import endings, file_format, plain_name, read_table, refuse_repeated
from outshine.engine.errors import DataError
from outshine.engine.files import absolute_path
from outshine.engine.settings import NotInKey, NotInKeyAtDefault


@recipes.register(FILE_KIND)
class FileDataset(Recipe):
    """Rows of a local file, used as they are.

    The text is what the model reads. Rows with one `group` (a passage, an author) stay in one split; without
    that column, and where it is empty, a row stands alone. A row's `id`, where given, is its identity for
    joins with weak labels; otherwise its text is. Rows without a label are left out and counted. The file is known by
    its bytes, not by its path.
    """

    title = "a file of your own"
    positive_means = "label 1"

    path: Annotated[str, NotInKey()]
    test_path: Annotated[str | None, NotInKey()] = None
    text_column: str = "text"
    label_column: str = "label"
    id_column: str = "id"
    group_column: str = "group"
    positive: Annotated[Spellings, NotInKeyAtDefault()] = Field(default=None, description=OWN_LABELS["positive"])
    negative: Annotated[Spellings, NotInKeyAtDefault()] = Field(default=None, description=OWN_LABELS["negative"])
    classes: Annotated[Spellings, NotInKeyAtDefault()] = Field(default=None, description=OWN_LABELS["classes"])
    missing: Annotated[Spellings, NotInKeyAtDefault()] = Field(default=None, description=OWN_LABELS["missing"])

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_words(self._words)
        return self

    @property
    def task(self) -> Task:  # pyright: ignore[reportIncompatibleVariableOverride]  # by the settings, not by the class
        """Of two classes, or of those that `classes` names."""
        return task_by_words(self._words)

    @property
    def name(self) -> str:
        """The file's name without folder and ending."""
        return plain_name(self.path)

    def located(self) -> FileDataset:
        paths = {name: getattr(self, name) for name in ("path", "test_path")}
        absolute = {name: str(absolute_path(path)) for name, path in paths.items() if path}
        return self.model_copy(update=absolute)

    def identify(self) -> str:
        """`sha256:<digest>` of the file's bytes, and that of the test file after a `+`."""
        paths = [self.path, *([self.test_path] if self.test_path else [])]
        return "sha256:" + "+".join(file_sha256(path) for path in paths)

    def resolved(self, identity: str) -> FileDataset:
        """With the classes of the label column in place of `all`."""
        if self.classes != ALL_CLASSES:
            return self
        values = [row.get(self.label_column) for file, _ in self._read_all(identity) for row in file]
        return self.model_copy(update={"classes": classes_found(values, self.label_column, self._words)})

    def open(self, identity: str) -> Pools:
        """The rows that have a label, checked. Raises DataError for unusable files and those changed since."""
        read = self._read_all(identity)
        rows = [row for file, _ in read for row in file]
        self._check_ids(rows)
        values, where = [row.get(self.label_column) for row in rows], [row[_WHERE] for row in rows]
        readers = [ListRows(file) for file, _ in read]
        sides, notes = with_labels(readers, values, where, self.label_column, self._words, f"'{self.path}'")
        notes = [*(f"'{self.name}': {note}." for _, notes_of_file in read for note in notes_of_file), *notes]
        return Pools(sides[0], sides[1] if len(sides) > 1 else None, notes=tuple(notes))

    def format(self, row: Row, draw: Draw) -> Example | None:
        columns = OwnColumns(self.text_column, self.label_column, self.id_column, self.group_column)
        return example_from_columns(row, columns, self._words, row.get(_WHERE, "a row"))

    @property
    def _words(self) -> Words:
        return Words(self.positive, self.negative, self.missing, self.classes)

    def _read_all(self, identity: str) -> list[tuple[list[Row], list[str]]]:
        if self.identify() != identity:
            raise DataError(f"'{self.path}' or its test file has changed while it was in use; run again")
        return [self._read(path) for path in (self.path, self.test_path) if path]

    def _read(self, path: str) -> tuple[list[Row], list[str]]:
        needed = {self.text_column: "--text", self.label_column: "--label"}
        if path == self.path:  # columns that the user named; a test file may do without
            optional = {self.id_column: "--id", self.group_column: "--group"}
            needed |= {name: option for name, option in optional.items() if name not in ("id", "group")}
        return self._table(path, needed)

    def _table(self, path: str, needed: dict[str, str]) -> tuple[list[Row], list[str]]:
        """The rows of a file with their places, and notes on how it was read."""
        table = read_table(path, needed)
        refuse_repeated(path, table, (self.id_column, self.group_column))
        rows: list[Row] = []
        for number, row in enumerate(table.rows, start=1):
            rows.append({**row, _WHERE: f"row {number} of '{path}'"})
        return rows, table.notes

    def _check_ids(self, rows: list[Row]) -> None:
        """Ids are given for all rows or for none, and never twice."""
        seen: dict[str, str] = {}
        if not any(has_value(row.get(self.id_column)) for row in rows):
            return
        for row in rows:
            name = plain_id(row.get(self.id_column), row[_WHERE])
            if name in seen:
                raise DataError(f"{row[_WHERE]} has the id {name!r}, so has {seen[name]}; ids must be unique")
            seen[name] = row[_WHERE]


_WHERE = "\0where"  # the key under which a row carries its place, which no column can be called


def dataset_from_path(path: str | Path) -> FileDataset:
    """The dataset in a file, with the default column names. Raises DataError for what is no data file by its ending."""
    if file_format(path) is None:
        raise DataError(f"'{path}' is none of {endings()}; convert it, one row per example")
    return FileDataset(path=str(path))
