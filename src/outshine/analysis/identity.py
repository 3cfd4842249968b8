"""What a row of any table is about: the columns that name a run, in the order of all tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from outshine.core.errors import DataError

METHOD_COLUMNS = (
    *("study", "dataset", "weak", "strong", "purpose", "method", "variant", "round", "loss"),
    *("method_id", "settings", "data_seed"),
)
"""A method (or one round of it) on a dataset, whatever the training seed."""

IDENTITY_COLUMNS = (*METHOD_COLUMNS, "seed")
"""The same with one training seed: the first columns of `PGR_COLUMNS`."""

NO_METHOD: dict[str, Any] = {
    **dict.fromkeys(("purpose", "method", "variant"), ""),
    "round": 0,
    "loss": "",
    "method_id": "",
    "settings": "",
}
"""What the rows say that no single method has: supervisor and ceiling."""


def require_columns(frame: pd.DataFrame, wanted: Iterable[str], what: str) -> None:
    """Raise DataError where `frame`, called `what` in the message, lacks a column."""
    lacking = [name for name in wanted if name not in frame.columns]
    if lacking:
        raise DataError(
            f"{what} lack the column(s) {', '.join(lacking)}; there are {', '.join(map(str, frame.columns))}"
        )
