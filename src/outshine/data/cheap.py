"""Cheap labels in a user's own table, and the true labels of a small trusted one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from outshine.core.errors import DataError
from outshine.core.settings import Settings
from outshine.data.local import plain_id, read_rows
from outshine.data.schema import Row

KNOWN_PAIRS = (("no", "yes"), ("n", "y"), ("negative", "positive"), ("neg", "pos"))  # class 0, class 1
_TRUTHS = {"true": 1.0, "false": 0.0}


class Columns(Settings):
    """Which column of a table is what. `id` and `group` may be left to be found under these names, or be missing."""

    text: str = Field(default="text", description="the column with the text that the model reads")
    label: str = Field(default="label", description="the column with the cheap labels")
    id: str | None = Field(default=None, description="the column with a row's identity; None: `id`, if there is one")
    group: str | None = Field(
        default=None, description="rows with equal values share a fold; None: `group`, if there is one"
    )
    positive: str | None = Field(default=None, description="which of two values or class names is class 1")
    trusted_label: str = Field(default="label", description="the column with the true labels of the trusted rows")


class CheapLabels(NamedTuple):
    """P(class 1) as the cheap labels have it.

    `p` [n] in [0, 1], NaN where a row has no label. `hard`: all are 0 or 1. `names`: of class 0 and class 1 as the
    file writes them, where it does not write probabilities.
    """

    p: NDArray[np.float64]
    hard: bool
    names: tuple[str, str] | None


class CheapTable(NamedTuple):
    """A user's rows. `frame`: text ("" where missing), p, id and group (None where not given), in the file's order."""

    frame: pd.DataFrame
    labels: CheapLabels


class TrustedTable(NamedTuple):
    """Rows whose true label is known.

    `frame`: row (place in the user's table; -1: not one of its rows), truth (bool), text, p (the cheap label, NaN
    where there is none), number (place among the trusted rows).
    """

    frame: pd.DataFrame

    @property
    def new(self) -> pd.DataFrame:
        """The rows that are not in the user's table."""
        return self.frame[self.frame["row"] < 0]


def read_cheap(path: str, columns: Columns) -> CheapTable:
    """The user's table. Raises DataError, naming the first offending row, for what cannot be used."""
    rows = read_rows(path, [columns.text, columns.label, *_named(columns)])
    where = [f"row {number} of '{path}'" for number in range(1, len(rows) + 1)]
    labels = cheap_labels([row.get(columns.label) for row in rows], where, columns.label, columns.positive)
    frame = pd.DataFrame(
        {
            "text": _texts(rows, columns.text, where),
            "p": labels.p,
            "id": _ids(rows, columns.id or "id", where),
            "group": [_group(row.get(columns.group or "group")) for row in rows],
        }
    )
    return CheapTable(frame, labels)


def read_trusted(path: str, columns: Columns, table: CheapTable) -> TrustedTable:
    """The trusted rows, matched with the user's table by id where both have ids, else by their whole text.

    A row of neither known id nor known text is a new one and needs a text. Two trusted rows that are one row of the
    table count once. Raises DataError, naming the first offending row, for a missing or unknown label, two labels for
    one row, and an id whose text is another one in the table.
    """
    rows = read_rows(path, [columns.trusted_label])
    where = [f"row {number} of '{path}'" for number in range(1, len(rows) + 1)]
    truth = true_labels([row.get(columns.trusted_label) for row in rows], where, table.labels.names)
    texts = _texts(rows, columns.text, where)
    frame = pd.DataFrame(
        {
            "row": _places(rows, texts, where, columns, table.frame),
            "truth": truth,
            "text": texts,
            "p": _own_cheap(rows, where, columns, table.labels),
            "number": range(len(rows)),
        }
    )
    return TrustedTable(_once(frame, where))


def cheap_labels(values: Sequence[Any], where: Sequence[str], column: str, positive: str | None = None) -> CheapLabels:
    """Cheap labels as people write them: 0/1, true/false, probabilities, two class names, or any two values.

    `where`: what each row is called in errors. With `positive` there must be exactly two different values, and that
    one is class 1; without it, names must be one of KNOWN_PAIRS. None, "" and NaN: no label.
    Raises DataError for values that are none of these, and where all rows have the same label, or none has one.
    """
    plain = [_plain(value) for value in values]
    if all(value is None for value in plain):
        raise DataError(f"no row has a cheap label in the column '{column}'")
    if positive is not None:
        found = _by_names(plain, _two_names(plain, column, positive))
    elif any(isinstance(value, str) for value in plain):
        found = _by_names(plain, _known_names(plain, where, column))
    else:
        found = _by_numbers(plain, where, column)
    given = found.p[~np.isnan(found.p)]
    if np.all(given == given[0]):
        raise DataError(
            f"all {len(given)} cheap labels in the column '{column}' are {given[0]:g}: nothing can be learned from them"
        )
    return found


def true_labels(values: Sequence[Any], where: Sequence[str], names: tuple[str, str] | None) -> list[bool]:
    """True labels, written as the cheap ones are (`names`), or as 0/1 or true/false. Raises DataError for others."""
    found = []
    for value, place in zip(values, where, strict=True):
        plain = _plain(value)
        if plain is None:
            raise DataError(f"{place} has no true label; every trusted row needs one")
        text = _text_form(plain)
        pairs = [pair for pair in (names, ("0", "1"), *KNOWN_PAIRS) if pair and text in pair]
        if not pairs:
            told = f", {names[0]} or {names[1]}" if names else ""
            raise DataError(f"the true label of {place} is {value!r}; expected 0/1, true/false{told}")
        found.append(pairs[0].index(text) == 1)
    return found


def _plain(value: Any) -> float | str | None:
    """A label as a number or a name (in lower case); None: there is none."""
    if isinstance(value, bool | np.bool_):
        return float(value)
    if isinstance(value, int | float):
        return None if math.isnan(value) else float(value)
    if value is None:
        return None
    text = str(value).strip().lower()
    if text in _TRUTHS:
        return _TRUTHS[text]
    try:
        number = float(text)
    except ValueError:
        return text or None
    return None if math.isnan(number) else number


def _text_form(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.17g}"


def _by_numbers(plain: Sequence[Any], where: Sequence[str], column: str) -> CheapLabels:
    p = np.array([math.nan if value is None else value for value in plain])
    bad = np.flatnonzero((p < 0) | (p > 1))
    if bad.size:
        raise DataError(
            f"{column} of {where[bad[0]]} is {p[bad[0]]:g}; expected 0/1, true/false, a probability from 0 to 1 or one "
            "of two class names; with two other numbers say which is class 1 (--positive)"
        )
    given = p[~np.isnan(p)]
    hard = bool(np.all((given == 0) | (given == 1)))
    return CheapLabels(p, hard, ("0", "1") if hard else None)


def _by_names(plain: Sequence[Any], names: tuple[str, str]) -> CheapLabels:
    p = [math.nan if value is None else float(_text_form(value) == names[1]) for value in plain]
    return CheapLabels(np.array(p), True, names)


def _two_names(plain: Sequence[Any], column: str, positive: str) -> tuple[str, str]:
    names = sorted({_text_form(value) for value in plain if value is not None})
    wanted = _plain(positive)
    wanted = None if wanted is None else _text_form(wanted)
    if len(names) != 2 or wanted not in names:
        told = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        raise DataError(
            f"with --positive {positive} the column '{column}' must hold that and one other value; it holds {told}"
        )
    return (names[1], names[0]) if wanted == names[0] else (names[0], names[1])


def _known_names(plain: Sequence[Any], where: Sequence[str], column: str) -> tuple[str, str]:
    numbers = [place for place, value in zip(where, plain, strict=True) if isinstance(value, float)]
    names = sorted({value for value in plain if isinstance(value, str)})
    if numbers:
        text = next(place for place, value in zip(where, plain, strict=True) if isinstance(value, str))
        raise DataError(f"the column '{column}' mixes numbers ({numbers[0]}) and names ({text}); write all alike")
    for pair in KNOWN_PAIRS:
        if set(names) == set(pair):
            return pair
    if len(names) == 2:
        raise DataError(
            f"the cheap labels in the column '{column}' are '{names[0]}' and '{names[1]}'; say which is class 1: "
            f"--positive '{names[1]}'"
        )
    told = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    raise DataError(f"the column '{column}' holds {len(names)} different names ({told}); two classes are expected")


def _texts(rows: Sequence[Row], column: str, where: Sequence[str]) -> list[str]:
    texts = []
    for row, place in zip(rows, where, strict=True):
        text = row.get(column)
        if not (text is None or isinstance(text, str)):
            raise DataError(f"'{column}' of {place} is {text!r}, not text")
        texts.append(text if text and text.strip() else "")
    return texts


def _ids(rows: Sequence[Row], column: str, where: Sequence[str]) -> list[str | None]:
    """Ids are given for all rows or for none, and never twice."""
    if not any(_group(row.get(column)) for row in rows):
        return [None] * len(rows)
    seen: dict[str, str] = {}
    for row, place in zip(rows, where, strict=True):
        name = plain_id(row.get(column), place, what=column)
        if name in seen:
            raise DataError(f"{place} has the {column} {name!r}, so has {seen[name]}; ids must be unique")
        seen[name] = place
    return list(seen)


def _group(value: Any) -> str | None:
    return None if value is None or value == "" or value != value else str(value)


def _named(columns: Columns) -> list[str]:
    """Columns that the user named and that must hence be there."""
    return [name for name in (columns.id, columns.group) if name]


def _places(
    rows: Sequence[Row], texts: Sequence[str], where: Sequence[str], columns: Columns, frame: pd.DataFrame
) -> list[int]:
    """The place of each trusted row in the user's table, -1 for a new one."""
    ids = {name: place for place, name in enumerate(frame["id"]) if isinstance(name, str)}
    by_text: dict[str, int] = {}
    for place, text in enumerate(frame["text"]):
        by_text.setdefault(text, place)
    known = frame["text"].tolist()
    found = []
    for row, text, told in zip(rows, texts, where, strict=True):
        given = row.get(columns.id or "id")
        name = plain_id(given, told) if ids and _group(given) is not None else None
        place = ids.get(name, -1) if name is not None else by_text.get(text, -1) if text else -1
        if name is not None and place >= 0 and text and text != known[place]:
            raise DataError(f"{told} has the id {name!r} of a row with another text; mend the id or the text")
        if place < 0 and not text:
            raise DataError(f"{told} is no row of the labelled file and has no text in the column '{columns.text}'")
        found.append(place)
    return found


def _own_cheap(rows: Sequence[Row], where: Sequence[str], columns: Columns, labels: CheapLabels) -> list[float]:
    """The cheap labels that the trusted file has itself: a new row is compared by its own."""
    if columns.label == columns.trusted_label:
        return [math.nan] * len(rows)
    plain = [_plain(row.get(columns.label)) for row in rows]
    if labels.names:
        names = labels.names
        return [math.nan if one is None else _which(one, names, place) for one, place in zip(plain, where, strict=True)]
    for value, place in zip(plain, where, strict=True):
        if isinstance(value, str):
            raise DataError(f"the cheap label of {place} is {value!r}; the labelled file has probabilities")
    return _by_numbers(plain, where, columns.label).p.tolist()


def _which(value: float | str, names: tuple[str, str], where: str) -> float:
    text = _text_form(value)
    if text not in names:
        raise DataError(f"the cheap label of {where} is {text!r}; the labelled file has {names[0]} and {names[1]}")
    return float(names.index(text))


def _once(frame: pd.DataFrame, where: Sequence[str]) -> pd.DataFrame:
    """One entry for each row of the user's table, and for each new text."""
    kept: dict[int | str, tuple[bool, int]] = {}
    for number, (row, truth, text) in enumerate(zip(frame["row"], frame["truth"], frame["text"], strict=True)):
        name = int(row) if row >= 0 else text
        before = kept.setdefault(name, (truth, number))
        if before[0] != truth:
            raise DataError(f"{where[number]} and {where[before[1]]} are one row and have different true labels")
    return frame.iloc[[number for _, number in kept.values()]].reset_index(drop=True)
