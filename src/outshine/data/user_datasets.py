"""Datasets of the user's choice, a file or one of the hub: what a name means, which columns are used, which labels."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from outshine.data.label_spellings import (
    ALL_CLASSES,
    Words,
    class_labels,
    class_names,
    class_numbers,
    refuse_absent_classes,
)
from outshine.data.rows import Row, RowReader
from outshine.data.schema import Example
from outshine.data.task import BINARY, MultiClass, Task, task_of
from outshine.data.user_tables import SAVED_DATASET, endings, file_format, saved_files
from outshine.engine.errors import DataError
from outshine.engine.files import user_path
from outshine.engine.messages import counted

FILE_KIND = "file"  # the recipe's registered name, with which the ids of all local rows are made
HUB_KIND = "hub"  # that of hub datasets under columns that the user names
PAIRS_KIND = "pairs"  # that of local files of preferences
ARRAYS_KIND = "arrays"  # that of local tables of labels, for arrays of features
LOCAL_KINDS = (FILE_KIND, PAIRS_KIND, ARRAYS_KIND)  # recipes of local files
OWN_KINDS = (*LOCAL_KINDS, HUB_KIND)  # data of the user's choice: no dataset stands behind these names

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_HUB_ADDRESS = re.compile(r"(?:https?://[^/]+/|hf://)?datasets/([\w-][\w.-]*/[\w-][\w.-]*)")
_FOREIGN = {  # endings that are no name on the hub either, and what to do
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), "save the sheet as CSV; expected"),
    **dict.fromkeys(
        (".arrow", ".feather", ".orc", ".avro", ".pkl", ".pickle", ".dta", ".sav"), "save it as Parquet; one of"
    ),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".bz2", ".xz", ".7z", ".zst", ".gz"), "unpack it; expected"),
    **dict.fromkeys((".xml", ".yaml", ".yml", ".db", ".sqlite", ".html", ".md", ".doc", ".docx", ".pdf"), "expected"),
}

OWN_LABELS = {
    "positive": "the values of the label column that are class 1, comma-separated or as a list; 1, true, yes, y, "
    "positive, pos need no word",
    "negative": "the values that are class 0; 0, false, no, n, negative, neg need no word, nor the only other value",
    "classes": "the classes where there are three or more, comma-separated or as a list, in their order; "
    "all: every value of the label column",
    "missing": "values that are no label, beside an empty cell, n/a, null and none: such rows are left out",
}
"""Descriptions of the settings that say which values are labels, for all recipes that have them."""

_LABEL = "\0label"  # the key under which a row carries its label as read, which no column can be called


def own_source(name: str) -> dict[str, str] | None:
    """The settings of the file or hub dataset (`owner/name`, `owner/name:config`) with this name; None: it is neither.

    Raises DataError for folders and for files of formats that are not read.
    """
    if file_format(name) is not None:
        return {"kind": FILE_KIND, "path": name}
    path = user_path(name)
    ending = path.suffix.lower()
    if path.is_dir():
        splits = sorted(inside.parent.name for inside in path.glob(f"*/{SAVED_DATASET}"))
        if splits:
            one = f"{name.rstrip('/')}/{splits[0]}"
            raise DataError(f"'{name}' holds the splits {', '.join(splits)}; name the folder of one: {one}")
        raise DataError(f"'{name}' is a folder; name a file in it: {endings()}")
    if ending in _FOREIGN:
        raise DataError(f"data file '{name}' is of an unknown format; {_FOREIGN[ending]}: {endings()}")
    if address := _HUB_ADDRESS.match(name):
        raise DataError(f"'{name}' is an address; a hub dataset is named by itself: --dataset {address[1]}")
    repo, colon, config = name.partition(":")
    if _HUB_NAME.fullmatch(repo) and not path.exists() and bool(colon) == bool(config):
        return {"kind": HUB_KIND, "repo": repo, **({"config": config} if config else {})}
    if ending or "/" in name or path.is_file():
        raise DataError(f"data file '{name}' is of an unknown format; expected: {endings()}")
    return None


def file_sha256(path: str | Path) -> str:
    """The sha256 (hex) of a file's bytes, or of what `save_to_disk` wrote. Raises DataError where it cannot be read."""
    place = user_path(path)
    try:
        if file_format(path) == "arrow":
            parts = [file_sha256(file) for file in [*saved_files(place), place / "dataset_info.json"] if file.is_file()]
            return hashlib.sha256(" ".join(parts).encode()).hexdigest()
        with place.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or error}") from error


# --- columns and labels ---------------------------------------------------------------------------------------------


class OwnColumns(NamedTuple):
    """The names of a source's columns. Where `id` or `group` is None, or not among the columns, rows have none."""

    text: str
    label: str
    id: str | None
    group: str | None


class RowsWithLabels:
    """Rows of a reader with their labels. `labels`: one for each row of the reader; rows without one are left out."""

    def __init__(self, reader: RowReader, labels: Sequence[int | None]) -> None:
        self._reader, self._labels = reader, labels
        self._kept = [number for number, label in enumerate(labels) if label is not None]

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, indices: Sequence[int]) -> list[Row]:
        """The rows of these numbers, in this order."""
        numbers = [self._kept[index] for index in indices]
        rows = self._reader.take(numbers)
        return [{**row, _LABEL: self._labels[number]} for row, number in zip(rows, numbers, strict=True)]


def with_labels(
    readers: Sequence[RowReader], values: Sequence[Any], where: Sequence[str], column: str, words: Words, what: str
) -> tuple[list[RowsWithLabels], list[str]]:
    """The rows of each reader that have a label, and notes about rows without one.

    `values`: the cells of the label column in all readers, one after the other; `where`: what each row is called in
    errors; `what`: the source's name. Raises DataError where a value is no label, or no row has one.
    """
    read = _labels_of(values, where, column, words)
    if words.classes is not None:
        refuse_absent_classes(values, column, words)
    num_lacking = read.count(None)
    if num_lacking == len(read):
        raise DataError(f"no row of {what} has a label in the column '{column}'")
    labels = iter(read)
    rows = [RowsWithLabels(reader, list(islice(labels, len(reader)))) for reader in readers]
    if not num_lacking:
        return rows, []
    return rows, [f"{counted(num_lacking, 'row')} without a label in the column '{column}' left out."]


def example_from_columns(row: Mapping[str, Any], columns: OwnColumns, words: Words, where: str) -> Example | None:
    """The row as an example, its text unchanged; None where it has no label. DataError for a text that is none."""
    text = row.get(columns.text)
    if not (text is None or isinstance(text, str)):
        raise DataError(f"'{columns.text}' of {where} is {text!r}, not text")
    label = row[_LABEL] if _LABEL in row else _labels_of([row.get(columns.label)], [where], columns.label, words)[0]
    if label is None:
        return None
    group, identity = (row.get(name) if name else None for name in (columns.group, columns.id))
    return Example(
        text=text or "",
        label=label,
        group=str(group) if has_value(group) else None,
        id=plain_id(identity, where) if has_value(identity) else None,
    )


def has_value(value: Any) -> bool:
    """Whether a cell is neither empty nor missing."""
    return value is not None and value != "" and value == value


def _labels_of(values: Sequence[Any], where: Sequence[str], column: str, words: Words) -> list[int | None]:
    """The class of each row: its number among the classes that are named, or whether it is a positive."""
    if words.classes is not None:
        return class_numbers(values, where, column, words)
    return [None if math.isnan(p) else bool(p) for p in class_labels(values, where, column, words).tolist()]


def task_by_words(words: Words) -> Task:
    """The task of labels that the user describes. Until the source has been read the classes of `all` have no names."""
    if words.classes is None:
        return BINARY
    if words.classes == ALL_CLASSES:
        return _CLASSES_UNREAD
    return task_of(class_names(words.classes))


_CLASSES_UNREAD = MultiClass(class_names=("class 0", "class 1", "class 2"))


def check_words(words: Words) -> None:
    """Raise DataError where classes are named in a way that contradicts itself."""
    if words.classes is None or words.classes == ALL_CLASSES:
        return
    if words.name_a_class:
        raise DataError("classes names all classes; positive and negative are for two: leave them out")
    class_names(words.classes)


def plain_id(value: Any, where: str, what: str = "id") -> str:
    """An id as text: the numbers 7 and 7.0 and the text "7" are one. Raises DataError for a missing one."""
    if not has_value(value):
        raise DataError(f"{where} has no {what}")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)
