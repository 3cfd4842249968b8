"""The digest of a frame depends on what it says and on nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from outshine.data.schema import digest

FRAME = pd.DataFrame({"id": ["a", "b"], "text": ["é ☃", None], "n": [1, 2], "p": [0.1, 1 / 3]})


def test_known_value() -> None:
    # sha256 of '["id",["a"]]\n["n",[1]]\n', computed with sha256sum
    expected = "e4e6a0a3afce8664740c58956a90dec1afb618be9edc70d37f01894cb942281e"
    assert digest(pd.DataFrame({"id": ["a"], "n": [1]})) == expected


def test_survives_storage_and_changes_of_type(tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "frame.parquet")
    assert digest(pd.read_parquet(tmp_path / "frame.parquet")) == digest(FRAME)
    assert digest(FRAME.astype({"id": object, "text": object, "n": np.int32})) == digest(FRAME)
    assert digest(FRAME.set_index(pd.Index([7, 9]))) == digest(FRAME)


@pytest.mark.parametrize(
    "changed",
    [
        FRAME.rename(columns={"p": "q"}),
        FRAME.iloc[::-1],
        FRAME[["text", "id", "n", "p"]],
        FRAME.assign(p=[0.1, np.nextafter(1 / 3, 1)]),
        FRAME.assign(text=["é ☃", ""]),
        FRAME.assign(id=["a,b", ""]),
        FRAME.iloc[:1],
    ],
)
def test_every_change_changes_it(changed: pd.DataFrame) -> None:
    assert digest(changed) != digest(FRAME)


def test_refuses_infinite_numbers() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        digest(pd.DataFrame({"p": [np.inf]}))
