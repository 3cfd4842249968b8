"""Checked reading of stored documents and tables, which may be damaged or forged.

What is not a plain file of a bounded size with sane JSON in it is refused with a ValueError, whatever is wrong with it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from outshine.engine.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

    from outshine.engine.store.store import Store


LARGEST = 256 * 10**6  # bytes of a document; no more is read of one
_DEEPEST = 100  # lists and objects in one another; what reads documents calls itself for each
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)  # later ones, and those before the second year, cannot be counted with
_EARLIEST = datetime(2, 1, 1, tzinfo=UTC)
_LONGEST = 2.0**40  # seconds: more than anything took

ODD = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What code raises that goes by a document of another shape, or with other values, than it was written with."""


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Turn whatever a document's odd shape or values raise in the block into a ValueError about `what`."""
    try:
        yield
    except ODD as error:
        lacks = isinstance(error, KeyError)
        raise ValueError(f"{what} lacks {error}" if lacks else f"{what} cannot be understood ({error})") from None


def read_bytes(path: Path, most: int = LARGEST) -> bytes:
    """A plain file's content. Raises OSError, and ValueError for a pipe, a folder, a device or a file too large.

    A pipe is not waited for.
    """
    with open_plain(path) as file:
        content = file.read(most + 1) if os.fstat(file.fileno()).st_size <= most else None
    if content is None or len(content) > most:
        raise ValueError(f"it is longer than {most:,} bytes")
    return content


def open_plain(path: Path) -> BufferedReader:
    """Open a plain file for reading. Raises OSError, and ValueError for whatever else lies there."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError("it is no plain file")
    except BaseException:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def parse_json(text: str | bytes) -> Any:
    """Parse a text of JSON. Raises ValueError where it is none, or is nested deeper than what is written here."""
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level = [document]
    for _ in range(_DEEPEST):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return document
    raise ValueError("it is nested too deeply")


def read_json(path: Path, most: int = LARGEST) -> Any:
    """What a file of JSON says. Raises OSError, and ValueError for whatever is no such file."""
    return parse_json(read_bytes(path, most))


def with_fields(document: Any, fields: Mapping[str, type]) -> dict[str, Any]:
    """Return a document that is a mapping with these fields, of these types (`list`: of texts). Raises ValueError."""
    if not isinstance(document, dict):
        raise ValueError("it is no mapping")
    for name, kind in fields.items():
        value = document.get(name)
        texts = kind is not list or (isinstance(value, list) and all(isinstance(text, str) for text in value))
        if not isinstance(value, kind) or isinstance(value, bool) or not texts:
            raise ValueError(f"its '{name}' is not what is written there")
    return document


def as_date(text: object) -> datetime:
    """Parse a moment and turn it to UTC, so that it can be compared. Raises ValueError for any other."""
    with understood("a date"):
        moment = datetime.fromisoformat(text).astimezone(UTC)  # type: ignore[arg-type]
        if not _EARLIEST <= moment <= _LATEST:
            raise ValueError(f"{moment.year} is out of range")
        return moment


def as_seconds(number: object) -> float:
    """A length of time. Raises ValueError for what is no finite number from 0 on."""
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= _LONGEST:
        raise ValueError(f"{str(number)[:40]} is no number of seconds")
    return float(number)


Columns = Mapping[str, Literal["text", "number", "truth"]]
"""The columns that are read of a table, and what they hold."""


def read_table(store: Store, key: str, name: str, columns: Columns) -> pd.DataFrame:
    """Read a Parquet file of an artefact. Raises StoreError where it is missing, damaged or lacks such a column."""
    import pandas as pd

    content = store.read(key, name)
    try:
        table = pd.read_parquet(BytesIO(content))
        _check(table, columns)
    except (OSError, NotImplementedError, *ODD) as error:  # pyarrow's own are ValueErrors and OSErrors
        raise StoreError(f"artefact {key[:16]}: {name} is no table that can be read ({error})") from None
    return table


def _check(table: pd.DataFrame, columns: Columns) -> None:
    from pandas.api import types

    tests = {"text": types.is_string_dtype, "number": types.is_numeric_dtype, "truth": types.is_bool_dtype}
    for column, kind in columns.items():
        if column not in table.columns:
            raise ValueError(f"it has no column '{column}'")
        if not tests[kind](table[column]):
            raise ValueError(f"its column '{column}' holds no {kind}s")
    if "id" in table.columns and "step" not in table.columns and not table["id"].is_unique:
        raise ValueError("ids are there twice")
