"""The user's own table of labels whose rows are those of arrays of features: no text is needed."""

from __future__ import annotations

from typing import Any, ClassVar

from outshine.data.recipes.file import FileDataset
from outshine.data.rows import Row
from outshine.data.schema import recipes
from outshine.data.user_datasets import ARRAYS_KIND


@recipes.register(ARRAYS_KIND)
class ArraysDataset(FileDataset):
    """Rows of a local file of labels, in the order of the rows of the arrays that are the study's models.

    As a dataset of kind `file`, without a text: what a row shows is its number. Test rows are held out by group.
    """

    title: ClassVar[str] = "a table of labels of your own, for arrays of features"

    text_column: str = "row of the arrays"

    def _read(self, path: str) -> tuple[list[Row], list[str]]:
        rows, notes = self._table(path, {self.label_column: "--label"})
        made: list[dict[str, Any]] = [
            {**row, self.text_column: f"row {number} of {len(rows)}"} for number, row in enumerate(rows)
        ]
        return [*made], notes
