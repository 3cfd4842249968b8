"""Weak labels from a file of the user: read, and joined with the rows of a prepared dataset."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from outshine.data.label_spellings import Words, class_numbers, probability
from outshine.data.schema import row_id
from outshine.data.task import BINARY, ONE_NUMBER, Task
from outshine.data.user_datasets import LOCAL_KINDS, plain_id
from outshine.data.user_tables import read_table, refuse_repeated
from outshine.engine.errors import DataError

NEEDED = ("strong_train", "val")  # the splits whose weak labels a student is trained and stopped on
_WHOLE = re.compile(r"(0|-?[1-9][0-9]*)(?:\.0+)?")
FAR_FROM_ONE = 0.01  # what a sum of probabilities may miss one by, from rounding
_SHOWN = 60  # characters of a text in a message
_MOST_COMPARED = 200  # texts among which the nearest is sought


def read_weak_labels(path: str | Path, task: Task = BINARY) -> pd.DataFrame:
    """Weak labels from a file: columns `id` or `text` (as given), and the labels.

    Of two classes these are `p_weak` in [0, 1]. Of K classes they are K columns of probabilities, `p_weak_<class>` with
    each class's name or number, which are divided by their sum, or one column `p_weak` of classes' names. Equal rows
    count once. The frame has the key, the task's columns of labels, and `text` where the file has that beside ids.

    Raises DataError, naming the first offending row, for values that are missing, no numbers or out of range, for
    probabilities of classes whose sum is not about one, and for two values for one row.
    """
    table = read_table(path)
    columns = _label_columns(path, table.columns, task)
    keys = [name for name in ("id", "text") if name in table.columns]
    if not keys:
        raise DataError(f"'{path}' has no column 'id' or 'text' to join by; it has: {', '.join(table.columns)}")
    key = keys[0]
    refuse_repeated(path, table, (key, *columns))
    values: dict[str, tuple[float, ...]] = {}
    for number, row in enumerate(table.rows, start=1):
        where = f"row {number} of '{path}'"
        name = plain_id(row.get(key), where, what=key)
        given = [row.get(column) for column in columns]
        p_weak = (_probability(given[0], where),) if task.works_with(ONE_NUMBER) else _of_classes(given, where, task)
        if values.setdefault(name, p_weak) != p_weak:
            raise DataError(
                f"{where} gives {key} {name[:60]!r} the weak label {_written(p_weak)}, an earlier row "
                f"{_written(values[name])}"
            )
    frame = pd.DataFrame(list(values.values()), columns=list(task.label_columns), dtype="float64")
    frame.insert(0, key, list(values))
    if key == "id" and "text" in table.columns:
        texts = {plain_id(row["id"], "a row"): row.get("text") for row in reversed(table.rows)}
        frame["text"] = [texts[name] for name in frame["id"]]
    return frame


def _label_columns(path: str | Path, columns: Sequence[str], task: Task) -> list[str]:
    """The columns with the labels. Raises DataError where they are not there."""
    names = task.class_names
    if not task.works_with(ONE_NUMBER):
        for spelled in (names, tuple(map(str, range(len(names))))):
            of_classes = [f"p_weak_{name}" for name in spelled]
            if all(column in columns for column in of_classes):
                return of_classes
    if "p_weak" in columns:
        return ["p_weak"]
    has = ", ".join(dict.fromkeys(columns))
    if task.works_with(ONE_NUMBER):
        raise DataError(
            f"'{path}' has no column 'p_weak'; it has: {has}; call the column with the weak labels (P(class 1)) p_weak"
        )
    raise DataError(
        f"'{path}' has neither a column for each of the {len(names)} classes (p_weak_{names[0]}, p_weak_{names[1]} …) "
        f"nor one column 'p_weak' with the name of a class in each row; it has: {has}"
    )


def _of_classes(given: Sequence[Any], where: str, task: Task) -> tuple[float, ...]:
    """The probabilities of all classes, or 1 for the one that is named."""
    names = task.class_names
    if len(given) == 1:
        (number,) = class_numbers(given, [where], "p_weak", Words(classes=names))
        if number is None:
            raise DataError(f"{where} has no weak label; give one for every row of {' and '.join(NEEDED)}")
        return tuple(float(number == k) for k in range(len(names)))
    p = [_probability(value, f"{where}, class {name}") for name, value in zip(names, given, strict=True)]
    if abs(sum(p) - 1) > FAR_FROM_ONE:
        raise DataError(f"the probabilities of {where} add up to {sum(p):.3g}; those of all classes add up to 1")
    return tuple(value / sum(p) for value in p)


def _written(p_weak: Sequence[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in p_weak) if len(p_weak) > 1 else str(p_weak[0])


def join_weak_labels(weak: pd.DataFrame, texts: pd.DataFrame, task: Task = BINARY) -> pd.DataFrame:
    """The weak labels of prepared rows: id and the task's columns of labels (p), in the order of `texts`.

    `weak`: as of `read_weak_labels`; an `id` may be the one in `texts` or the one in the user's own dataset
    file. `texts`: as of `prepare`. Rows of strong_train and val must all have one, others need not.
    Raises DataError telling how many lack one, and where an id stands beside the text of another row.
    """
    key = "id" if "id" in weak.columns else "text"
    if task.is_pair and key == "text":
        raise DataError("weak labels of pairs are joined by id; give the dataset and the labels a column 'id'")
    columns = list(task.label_columns)
    places = dict(zip(weak[key], range(len(weak)), strict=True))
    if key == "id":
        spelled = [(spelling, place) for name, place in places.items() for spelling in reversed(id_spellings(name))]
        own = {row_id(kind, spelling): place for spelling, place in spelled for kind in LOCAL_KINDS}
        exact = {row_id(kind, name): place for name, place in places.items() for kind in LOCAL_KINDS}
        known = own | exact | places
        if "text" in weak.columns and not task.is_pair:
            _check_texts(weak, texts, known)
    else:
        known = places
    lacking = Counter(split for split, name in zip(texts["split"], texts[key], strict=True) if name not in known)
    sizes = Counter(texts["split"])
    shares = [f"{lacking[split]} of {sizes[split]} rows of {split}" for split in NEEDED if lacking[split]]
    if shares:
        hint = (
            _hint_at_texts(weak, texts, known) if key == "text" else _hint_at_ids(weak, lacking.total() == len(texts))
        )
        raise DataError(
            f"the weak labels (joined by {key}) lack {' and '.join(shares)}; give a p_weak for every row of these "
            f"splits{hint}"
        )
    p = list(weak[columns].itertuples(index=False, name=None))
    joined = [(row, *p[known[name]]) for row, name in zip(texts["id"], texts[key], strict=True) if name in known]
    return pd.DataFrame(joined, columns=["id", *columns])


def _check_texts(weak: pd.DataFrame, texts: pd.DataFrame, known: Mapping[str, int]) -> None:
    """Raises DataError where an id stands beside the text of another row: ids of another numbering.

    A text that is no row's may be the source's field, of which the dataset made a prompt.
    """
    given = [normal_text(text) if isinstance(text, str) else None for text in weak["text"]]
    own = [normal_text(text) for text in texts["text"]]
    every = set(own)
    for name, text in zip(texts["id"], own, strict=True):
        place = known.get(name)
        if place is not None and (other := given[place]) != text and other in every:
            raise DataError(
                f"the weak labels have the id {_shown(str(weak['id'].iloc[place]))} beside {_shown(other or '')}, and "
                f"the dataset beside {_shown(text)}: their ids are others; leave that column out to join by text"
            )


def id_spellings(name: str) -> tuple[str, ...]:
    """The ways in which files may write an id, itself first: a CSV has 7.0 where there was a whole number.

    A table program writes so a column that once had a gap. `007` and `1e3` are texts of their own.
    """
    whole = _WHOLE.fullmatch(name)
    return (name,) if whole is None else tuple(dict.fromkeys((name, whole[1], f"{whole[1]}.0")))


def normal_text(text: str) -> str:
    """A text without the differences between files that should agree: line ends, Unicode form, blanks at its ends."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def _probability(value: Any, where: str) -> float:
    p = probability(value)
    if p is None:
        raise DataError(f"p_weak of {where} is {value!r}; expected a probability from 0 to 1")
    return p


def _hint_at_texts(weak: pd.DataFrame, texts: pd.DataFrame, known: Container[str]) -> str:
    """One text without a weak label and the one in the file that comes nearest, and how the two differ."""
    needed = texts.loc[texts["split"].isin(NEEDED), "text"]
    missing = [text for text in needed if text not in known]
    in_file = {normal_text(text): text for text in weak["text"]}
    same = next((text for text in missing if normal_text(text) in in_file), None)
    if same is not None:
        return (
            f". Looked for {_shown(same)}, and there is {_shown(in_file[normal_text(same)])}: they are one text but "
            "for line ends, Unicode form or blanks at the ends; write both files alike"
        )
    if not len(weak):
        return ""
    candidates = [text[:200] for text in weak["text"].head(_MOST_COMPARED)]
    near = difflib.get_close_matches(missing[0][:200], candidates, 1, 0.0)
    return f". Looked for {_shown(missing[0])}; there is, for example, {_shown(near[0])}" if near else ""


def _hint_at_ids(weak: pd.DataFrame, all_lack: bool) -> str:
    """A hint where no id at all is one of the dataset's."""
    if not all_lack or not len(weak):
        return ""
    return (
        f". No id there, such as {_shown(str(weak['id'].iloc[0]))}, is one of the dataset's; where the dataset has no "
        "ids, leave the column out and join by text"
    )


def _shown(text: str) -> str:
    """The beginning of a text in quotes, with invisible characters written out."""
    escaped = ascii(text if len(text) <= _SHOWN else text[:_SHOWN])
    return f"{escaped}…" if len(text) > _SHOWN else escaped
