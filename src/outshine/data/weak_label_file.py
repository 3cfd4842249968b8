"""Weak labels from a file of the user: read, and joined with the rows of a prepared dataset."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from outshine.data.label_spellings import probability
from outshine.data.schema import row_id
from outshine.data.user_datasets import FILE_KIND, plain_id
from outshine.data.user_tables import read_table, refuse_repeated
from outshine.engine.errors import DataError

NEEDED = ("strong_train", "val")  # the splits whose weak labels a student is trained and stopped on
_WHOLE = re.compile(r"(0|-?[1-9][0-9]*)(?:\.0+)?")
_SHOWN = 60  # characters of a text in a message
_MOST_COMPARED = 200  # texts among which the nearest is sought


def read_weak_labels(path: str | Path) -> pd.DataFrame:
    """Weak labels from a file: columns `id` or `text` (as given), and `p_weak` in [0, 1].

    Equal rows count once. Raises DataError, naming the first offending row, for
    values that are missing, no numbers or out of range, and for two values for one row.
    """
    table = read_table(path)
    if "p_weak" not in table.columns:
        has = ", ".join(dict.fromkeys(table.columns))
        raise DataError(
            f"'{path}' has no column 'p_weak'; it has: {has}; call the column with the weak labels (P(class 1)) p_weak"
        )
    keys = [name for name in ("id", "text") if name in table.columns]
    if not keys:
        raise DataError(f"'{path}' has no column 'id' or 'text' to join by; it has: {', '.join(table.columns)}")
    key = keys[0]
    refuse_repeated(path, table, (key, "p_weak"))
    values: dict[str, float] = {}
    for number, row in enumerate(table.rows, start=1):
        where = f"row {number} of '{path}'"
        name = plain_id(row.get(key), where, what=key)
        p_weak = _probability(row.get("p_weak"), where)
        if values.setdefault(name, p_weak) != p_weak:
            raise DataError(f"{where} gives {key} {name[:60]!r} the weak label {p_weak}, an earlier row {values[name]}")
    return pd.DataFrame({key: list(values), "p_weak": list(values.values())})


def join_weak_labels(weak: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """The weak labels of prepared rows: frame (id, p), in the order of `texts`.

    `weak`: as of `read_weak_labels`; an `id` may be the one in `texts` or the one in the user's own dataset
    file. `texts`: as of `prepare`. Rows of strong_train and val must all have one, others need not.
    Raises DataError telling how many lack one.
    """
    key = "id" if "id" in weak.columns else "text"
    known = dict(zip(weak[key], weak["p_weak"], strict=True))
    if key == "id":
        spelled = [(spelling, p) for name, p in known.items() for spelling in reversed(id_spellings(name))]
        own = {row_id(FILE_KIND, spelling): p for spelling, p in spelled}
        exact = {row_id(FILE_KIND, name): p for name, p in known.items()}
        known = own | exact | known
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
    joined = [(row, known[name]) for row, name in zip(texts["id"], texts[key], strict=True) if name in known]
    return pd.DataFrame({"id": [row for row, _ in joined], "p": [p for _, p in joined]})


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


def _hint_at_texts(weak: pd.DataFrame, texts: pd.DataFrame, known: Mapping[str, float]) -> str:
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
