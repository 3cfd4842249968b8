"""The user's own data files: rows with text and label, and weak labels from elsewhere."""

from __future__ import annotations

import difflib
import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from outshine.data.label_spellings import probability
from outshine.data.schema import row_id
from outshine.data.user_tables import endings, file_format, read_table, refuse_repeated
from outshine.engine.errors import DataError
from outshine.engine.files import user_path

NEEDED = ("strong_train", "val")  # the splits whose weak labels a student is trained and stopped on
FILE_KIND = "file"  # the recipe's registered name, with which the ids of all local rows are made
HUB_KIND = "hub"  # that of hub datasets under columns that the user names
OWN_KINDS = (FILE_KIND, HUB_KIND)  # recipes of data of the user's choice: no dataset stands behind their names

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
_WHOLE = re.compile(r"(0|-?[1-9][0-9]*)(?:\.0+)?")
_SHOWN = 60  # characters of a text in a message
_MOST_COMPARED = 200  # texts among which the nearest is sought


def own_source(name: str) -> dict[str, str] | None:
    """The settings of the file, or hub dataset (`owner/name`, `owner/name:config`), that a name means; None: neither.

    Raises DataError for folders and for files of formats that are not read.
    """
    if file_format(name) is not None:
        return {"kind": FILE_KIND, "path": name}
    path = user_path(name)
    ending = path.suffix.lower()
    if path.is_dir():
        if any((path / inside).is_file() for inside in ("state.json", "dataset_info.json", "dataset_dict.json")):
            raise DataError(
                f"'{name}' is a folder that save_to_disk of the datasets library wrote; write each split as a file: "
                "datasets.load_from_disk(…)['train'].to_parquet('train.parquet'), without ['train'] where there is one"
            )
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
    """The sha256 (hex) of a file's bytes. Raises DataError where it cannot be read."""
    try:
        with user_path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or error}") from error


def read_weak_labels(path: str | Path) -> pd.DataFrame:
    """Weak labels from a file: columns `id` or `text` (as given), and `p_weak` in [0, 1].

    Rows that say the same thing twice count once. Raises DataError, naming the first offending row, for
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
        own = {row_id(FILE_KIND, one): p for name, p in known.items() for one in reversed(id_spellings(name))}
        exact = {row_id(FILE_KIND, name): p for name, p in known.items()}
        known = own | exact | known
    lacking = Counter(split for split, name in zip(texts["split"], texts[key], strict=True) if name not in known)
    sizes = Counter(texts["split"])
    told = [f"{lacking[split]} of {sizes[split]} rows of {split}" for split in NEEDED if lacking[split]]
    if told:
        hint = _example(weak, texts, known) if key == "text" else _ids_apart(weak, lacking.total() == len(texts))
        raise DataError(
            f"the weak labels (joined by {key}) lack {' and '.join(told)}; give a p_weak for every row of these splits"
            f"{hint}"
        )
    joined = [(row, known[name]) for row, name in zip(texts["id"], texts[key], strict=True) if name in known]
    return pd.DataFrame({"id": [row for row, _ in joined], "p": [p for _, p in joined]})


def plain_id(value: Any, where: str, what: str = "id") -> str:
    """An id as text: the numbers 7 and 7.0 and the text "7" are one. Raises DataError for a missing one."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        raise DataError(f"{where} has no {what}")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def id_spellings(name: str) -> tuple[str, ...]:
    """How else an id may be written in another file, itself first: a CSV has 7.0 where there was a whole number.

    A table program writes so a column that once had a gap. `007` and `1e3` are texts of their own.
    """
    whole = _WHOLE.fullmatch(name)
    return (name,) if whole is None else tuple(dict.fromkeys((name, whole[1], f"{whole[1]}.0")))


def normal_text(text: str) -> str:
    """A text but for line ends, Unicode form and white space at its ends, in which files that should agree differ."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def _probability(value: Any, where: str) -> float:
    p = probability(value)
    if p is None:
        raise DataError(f"p_weak of {where} is {value!r}; expected a probability from 0 to 1")
    return p


def _example(weak: pd.DataFrame, texts: pd.DataFrame, known: Mapping[str, float]) -> str:
    """One text that was looked for and the one in the file that comes nearest, and how the two differ."""
    wanted = texts.loc[texts["split"].isin(NEEDED), "text"]
    lost = [text for text in wanted if text not in known]
    there = {normal_text(text): text for text in weak["text"]}
    same = next((text for text in lost if normal_text(text) in there), None)
    if same is not None:
        found = there[normal_text(same)]
        return (
            f". Looked for {_shown(same)}, and there is {_shown(found)}: they are one text but for line ends, Unicode "
            "form or blanks at the ends; write both files alike"
        )
    if not len(weak):
        return ""
    near = difflib.get_close_matches(lost[0][:200], [text[:200] for text in weak["text"].head(_MOST_COMPARED)], 1, 0.0)
    return f". Looked for {_shown(lost[0])}; there is, for example, {_shown(near[0])}" if near else ""


def _ids_apart(weak: pd.DataFrame, everywhere: bool) -> str:
    """What is said where no id at all is one of the dataset's."""
    if not everywhere or not len(weak):
        return ""
    return (
        f". No id there, such as {_shown(str(weak['id'].iloc[0]))}, is one of the dataset's; where the dataset has no "
        "ids, leave the column out and join by text"
    )


def _shown(text: str) -> str:
    """A text in quotes with everything that does not show written out; of a long one the beginning."""
    escaped = ascii(text if len(text) <= _SHOWN else text[:_SHOWN])
    return f"{escaped}…" if len(text) > _SHOWN else escaped
