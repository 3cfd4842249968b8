"""The user's own files: rows with text and label, and weak labels from elsewhere."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from outshine.core.errors import DataError
from outshine.core.files import user_path
from outshine.data.schema import Row, row_id

if TYPE_CHECKING:
    from outshine.data.recipes.file import FileDataset

SUFFIXES = (".jsonl", ".csv", ".parquet")
NEEDED = ("strong_train", "val")  # the splits whose weak labels a student is trained and stopped on
FILE_KIND = "file"  # the recipe's registered name, with which the ids of all local rows are made

_TRUTHS: dict[Any, bool] = {0: False, 1: True, "0": False, "1": True, "false": False, "true": True}


def dataset_from_path(path: str | Path) -> FileDataset:
    """The dataset in a file, with the default column names. Raises DataError for other than jsonl, csv, parquet."""
    from outshine.data.recipes.file import FileDataset

    _suffix(Path(path))
    return FileDataset(path=str(path))


def file_sha256(path: str | Path) -> str:
    """The sha256 (hex) of a file's bytes. Raises DataError where it cannot be read."""
    try:
        with user_path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or error}") from error


def read_rows(path: str | Path, needed: Sequence[str]) -> list[Row]:
    """The rows of a .jsonl, .csv or .parquet file as dictionaries of plain values.

    Raises DataError where the file cannot be read or is empty, where a line is no JSON object, or where
    one of the columns `needed` is missing.
    """
    path = user_path(path)
    read = {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}[_suffix(path)]
    try:
        rows = read(path)
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is not UTF-8 text ({error.reason} at byte {error.start}); convert it") from error
    if not rows:
        raise DataError(f"'{path}' has no rows")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    missing = [name for name in needed if name not in columns]
    if missing:
        raise DataError(f"'{path}' has no column {' or '.join(map(repr, missing))}; it has: {', '.join(columns)}")
    return rows


def parse_label(value: Any, where: str) -> bool:
    """A ground-truth label written as 0/1 or true/false, as number or as text. Raises DataError naming `where`."""
    key = value.strip().lower() if isinstance(value, str) else value
    if key is None or key == "" or (isinstance(key, float) and math.isnan(key)):
        raise DataError(f"{where} has no label; every row needs one (0/1 or true/false)")
    try:
        return _TRUTHS[key]
    except (KeyError, TypeError):
        raise DataError(f"label {value!r} of {where} is not binary; write 0/1 or true/false") from None


def read_weak_labels(path: str | Path) -> pd.DataFrame:
    """Weak labels from a file: columns `id` or `text` (as given), and `p_weak` in [0, 1].

    Rows that say the same thing twice count once. Raises DataError, naming the first offending row, for
    values that are missing, no numbers or out of range, and for two values for one row.
    """
    rows = read_rows(path, ["p_weak"])
    keys = [name for name in ("id", "text") if name in rows[0]]
    if not keys:
        raise DataError(f"'{path}' has no column 'id' or 'text' to join by; it has: {', '.join(rows[0])}")
    key = keys[0]
    values: dict[str, float] = {}
    for number, row in enumerate(rows, start=1):
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
    if "id" in weak.columns:
        given = dict(zip(weak["id"], weak["p_weak"], strict=True))
        known = {row_id(FILE_KIND, name): p for name, p in given.items()} | given
        key = "id"
    else:
        known = dict(zip(weak["text"], weak["p_weak"], strict=True))
        key = "text"
    lacking = Counter(split for split, name in zip(texts["split"], texts[key], strict=True) if name not in known)
    sizes = Counter(texts["split"])
    told = [f"{lacking[split]} of {sizes[split]} rows of {split}" for split in NEEDED if lacking[split]]
    if told:
        raise DataError(
            f"the weak labels (joined by {key}) lack {' and '.join(told)}; give a p_weak for every row of these splits"
        )
    joined = [(row, known[name]) for row, name in zip(texts["id"], texts[key], strict=True) if name in known]
    return pd.DataFrame({"id": [row for row, _ in joined], "p": [p for _, p in joined]})


def plain_id(value: Any, where: str, what: str = "id") -> str:
    """An id as text: 7, 7.0 and "7" are one id. Raises DataError for a missing one."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        raise DataError(f"{where} has no {what}")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def _probability(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0.0 <= number <= 1.0:  # not-a-number fails this too
        raise DataError(f"p_weak of {where} is {value!r}; expected a probability from 0 to 1")
    return number


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"'{path}' is none of {', '.join(SUFFIXES)}; convert it, one row per example")
    return suffix


def _read_jsonl(path: Path) -> list[Row]:
    rows: list[Row] = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                line.encode()
                json.dumps(row, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                raise DataError(f"line {number} of '{path}' holds half a surrogate pair; mend it") from None
            except (ValueError, RecursionError) as error:
                raise DataError(f"line {number} of '{path}' is no JSON: {error}") from error
            if not isinstance(row, dict):
                raise DataError(f"line {number} of '{path}' is no JSON object with columns: {line.strip()[:60]}")
            rows.append(row)
    return rows


def _read_csv(path: Path) -> list[Row]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row with more fields than the header
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except pd.errors.EmptyDataError:
        return []
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise DataError(f"'{path}' is no well-formed CSV: {str(error).strip()}") from error
    return frame.to_dict("records")  # pyright: ignore[reportReturnType] -- column names are text here


def _read_parquet(path: Path) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:  # a name that looks like an address is a file all the same
            return pq.read_table(file).to_pylist()
    except UnicodeDecodeError:
        raise
    except (
        pa.ArrowException,
        ValueError,
        OverflowError,
    ) as error:  # the latter two: dates that Python has no value for
        raise DataError(f"'{path}' is no readable Parquet file: {error}") from error
