"""A user's weak labels find their rows by id or text, and ids of another numbering are noticed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from outshine.data.schema import row_id
from outshine.data.user_datasets import FILE_KIND
from outshine.data.weak_label_file import join_weak_labels, read_weak_labels
from outshine.engine.errors import DataError

NUM_ROWS = 8
TEXTS = pd.DataFrame(
    {
        "id": [row_id(FILE_KIND, str(number)) for number in range(NUM_ROWS)],
        "text": [f"text {number}" for number in range(NUM_ROWS)],
        "split": ["weak_train", "test", *["strong_train"] * 3, *["val"] * 3],
    }
)


def joined(path: Path, ids: list[object], texts: list[str]) -> dict[str, float]:
    pd.DataFrame({"id": ids, "text": texts, "p_weak": [number / 10 for number in range(len(ids))]}).to_csv(path)
    found = join_weak_labels(read_weak_labels(path), TEXTS)
    return dict(zip(found["id"], found["p"], strict=True))


@pytest.mark.parametrize("write", [int, float, str])
def test_each_row_gets_the_label_of_its_id(tmp_path: Path, write: type) -> None:
    order = [5, 3, 7, 0, 1, 2, 6, 4]
    texts = [TEXTS["text"][number] for number in order]
    texts[2], texts[3] = " text 7\r\n", "a field that the dataset makes a prompt of"
    found = joined(tmp_path / "weak.csv", [write(number) for number in order], texts)
    assert found == {TEXTS["id"][number]: place / 10 for place, number in enumerate(order)}


def test_ids_of_another_numbering_are_refused(tmp_path: Path) -> None:
    """They count from 1, and the dataset's from 0; all that need a label have one, of the row before."""
    with pytest.raises(DataError, match="have the id '1' beside 'text 0', and the dataset beside 'text 1'"):
        joined(tmp_path / "weak.csv", list(range(1, NUM_ROWS + 1)), TEXTS["text"].tolist())
