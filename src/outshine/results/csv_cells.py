"""CSV cells that no spreadsheet takes for a formula."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_MARKED = re.compile(r"'+[=+\-@\t\r]")


def inert(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before each text that a spreadsheet would compute: `=1+1` becomes `'=1+1`.

    The names of a user's files and folders stand in tables, and those may come from anyone.
    """
    return _with_texts(frame, lambda text: f"'{text}" if _FORMULA.match(text) else text)


def inert_header(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before each column name that a spreadsheet would compute."""
    return frame.rename(columns=lambda name: f"'{name}" if _FORMULA.match(str(name)) else name)


def as_named(frame: pd.DataFrame) -> pd.DataFrame:
    """The table as it was before `inert`."""
    return _with_texts(frame, lambda text: text[1:] if _MARKED.match(text) else text)


def _with_texts(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, str) else value

    columns = [name for name in frame.columns if frame[name].dtype.kind not in "biufcmM"]
    return frame.assign(**{name: frame[name].map(changed) for name in columns})
