"""Datasets whose columns the user names: labels are read once for the source, rows without one are left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from outshine.data.label_spellings import Words, class_labels
from outshine.data.local_files import plain_id
from outshine.data.rows import Row, RowReader
from outshine.data.schema import Example
from outshine.engine.errors import DataError
from outshine.engine.messages import counted

OWN_LABELS = {
    "positive": "the values of the label column that are class 1, comma-separated or as a list; 1, true, yes, y, "
    "positive, pos need no word",
    "negative": "the values that are class 0; 0, false, no, n, negative, neg need no word, nor the only other value",
    "missing": "values that are no label, beside an empty cell, n/a, null and none: such rows are left out",
}
"""What the settings of the labels' values mean, for all recipes that have them."""

_LABEL = "\0label"  # the key under which a row carries its label as read, which no column can be called


class OwnColumns(NamedTuple):
    """Which column of a source is what; `id` and `group` None, or missing there: it has none."""

    text: str
    label: str
    id: str | None
    group: str | None


def read_labels(
    values: Sequence[Any], where: Sequence[str], column: str, words: Words, what: str
) -> tuple[list[bool | None], list[str]]:
    """The label of each row, None where it has none, and what is to be said about those without.

    `what`: the source's name. Raises DataError where a value is no label, or no row has one.
    """
    p = class_labels(values, where, column, words)
    lacking = int(np.isnan(p).sum())
    if lacking == len(p):
        raise DataError(f"no row of {what} has a label in the column '{column}'")
    labels = [None if math.isnan(one) else bool(one) for one in p.tolist()]
    if not lacking:
        return labels, []
    return labels, [f"{counted(lacking, 'row')} without a label in the column '{column}' left out."]


def carrying(row: Row, label: bool | None) -> dict[str, Any]:
    """The row with the label that was read for it."""
    return {**row, _LABEL: label}


def example(row: Mapping[str, Any], columns: OwnColumns, words: Words, where: str) -> Example | None:
    """The row as it is; None where it has no label. Raises DataError for a text that is none."""
    text = row.get(columns.text)
    if not (text is None or isinstance(text, str)):
        raise DataError(f"'{columns.text}' of {where} is {text!r}, not text")
    label = row[_LABEL] if _LABEL in row else _one_label(row, columns.label, words, where)
    if label is None:
        return None
    group, identity = (row.get(name) if name else None for name in (columns.group, columns.id))
    return Example(
        text=text or "",
        label=label,
        group=str(group) if is_given(group) else None,
        id=plain_id(identity, where) if is_given(identity) else None,
    )


def is_given(value: Any) -> bool:
    """Whether a cell has something in it."""
    return value is not None and value != "" and value == value


def _one_label(row: Mapping[str, Any], column: str, words: Words, where: str) -> bool | None:
    p = class_labels([row.get(column)], [where], column, words)[0]
    return None if math.isnan(p) else bool(p)


class LabelledRows:
    """Rows of a reader with their labels. `labels`: one for each row of the reader; rows without one are left out."""

    def __init__(self, reader: RowReader, labels: Sequence[bool | None]) -> None:
        self._reader, self._labels = reader, labels
        self._kept = [number for number, label in enumerate(labels) if label is not None]

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, indices: Sequence[int]) -> list[Row]:
        """The rows of these numbers, in this order."""
        numbers = [self._kept[index] for index in indices]
        taken = self._reader.take(numbers)
        return [carrying(row, self._labels[number]) for row, number in zip(taken, numbers, strict=True)]
