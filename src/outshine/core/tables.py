"""Tables in artefacts, read as what damage or a stranger may have made of them."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Literal

from outshine.core.errors import StoreError
from outshine.core.reading import ODD

if TYPE_CHECKING:
    import pandas as pd

    from outshine.core.store import Store

Columns = Mapping[str, Literal["text", "number", "truth"]]
"""The columns that are read of a table, and what they hold."""


def read_table(store: Store, key: str, name: str, columns: Columns) -> pd.DataFrame:
    """A Parquet file of a finished artefact. Raises StoreError where it is missing, damaged or lacks such a column."""
    import pandas as pd

    content = store.read(key, name)
    try:
        found = pd.read_parquet(BytesIO(content))
        _check(found, columns)
    except (OSError, NotImplementedError, *ODD) as error:  # pyarrow's own are ValueErrors and OSErrors
        raise StoreError(f"artefact {key[:16]}: {name} is no table that can be read ({error})") from None
    return found


def _check(found: pd.DataFrame, columns: Columns) -> None:
    from pandas.api import types

    tests = {"text": types.is_string_dtype, "number": types.is_numeric_dtype, "truth": types.is_bool_dtype}
    for column, kind in columns.items():
        if column not in found.columns:
            raise ValueError(f"it has no column '{column}'")
        if not tests[kind](found[column]):
            raise ValueError(f"its column '{column}' holds no {kind}s")
    if "id" in found.columns and "step" not in found.columns and not found["id"].is_unique:
        raise ValueError("ids are there twice")
