"""Predictors: stages that give predictions by row id, which can be scored, and be the labels of a student."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from outshine.engine.checked_reading import Columns, read_table, with_fields
from outshine.engine.stage import Stage
from outshine.w2s.stages.labels import WeakLabelSource
from outshine.w2s.stages.prepare import Texts

if TYPE_CHECKING:
    import pandas as pd

    from outshine.engine.store.store import Store

PREDICTIONS, SUMMARY = "predictions.parquet", "summary.json"
PREDICTED: Columns = {"id": "text", "split": "text", "log_odds": "number", "p": "number"}
PREDICTED_SPLITS = ("strong_train", "val", "test")


class Predictor(Stage, WeakLabelSource):
    """A stage that predicts P(y = 1) of rows, which can be scored, and be the labels of a student.

    Writes `predictions.parquet` (id, split, log_odds, p; splits strong_train, val, test) and `summary.json`.
    """

    VERSION: ClassVar[int] = 1
    SUMMARISED: ClassVar[dict[str, type]] = {"notes": list}  # what is read of the summary

    texts: Texts

    @property
    def truth_split(self) -> str | None:
        """The split whose ground truth it was trained on; None: on weak labels alone."""
        return None

    @cached_property
    def truths_behind(self) -> frozenset[str]:
        """The splits whose ground truth anything among its inputs learned, however indirectly.

        Kept by each predictor, so that a long chain of students is not searched anew for every student of it.
        """
        found: set[str] = set()
        seen: set[str] = set()
        waiting = self.inputs()
        while waiting:
            stage = waiting.pop()
            if isinstance(stage, Predictor):
                found |= stage.truths_behind | ({stage.truth_split} if stage.truth_split else set())
            elif stage.key not in seen:
                seen.add(stage.key)
                waiting += stage.inputs()
        return frozenset(found)

    def read_labels(self, store: Store) -> pd.Series:
        return self.predictions(store).set_index("id")["p"]

    def predictions(self, store: Store) -> pd.DataFrame:
        """Columns id, split, log_odds, p."""

        return read_table(store, self.key, PREDICTIONS, PREDICTED)

    def summary(self, store: Store) -> dict[str, Any]:
        """Figures and notes about how the predictions came about."""
        return store.document(self.key, SUMMARY, lambda found: with_fields(found, self.SUMMARISED))
