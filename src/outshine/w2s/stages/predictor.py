"""Predictors, stages whose predictions can be scored and be the labels of a student; and labels made with one."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import SerializeAsAny

from outshine.engine.checked_reading import Columns, read_table, with_fields
from outshine.engine.stage import Stage
from outshine.w2s.stages.labels import WeakLabelSource
from outshine.w2s.stages.prepare import Texts

if TYPE_CHECKING:
    import pandas as pd

    from outshine.data.task import Task
    from outshine.engine.store.store import Store

PREDICTIONS, SUMMARY = "predictions.parquet", "summary.json"
PREDICTED_SPLITS = ("strong_train", "val", "test")


def predicted_columns(task: Task) -> Columns:
    """The columns of `predictions.parquet`."""
    return {
        **dict.fromkeys(("id", "split"), "text"),
        **dict.fromkeys((*task.score_columns, *task.label_columns), "number"),
    }


class Predictor(Stage, WeakLabelSource):
    """A stage that predicts rows, which can be scored, and be the labels of a student.

    Writes `predictions.parquet` (id, split, the task's columns of scores and labels, of a binary one log_odds and p;
    splits strong_train, val, test) and `summary.json`.
    """

    VERSION: ClassVar[int] = 1
    SUMMARISED: ClassVar[dict[str, type]] = {"notes": list}  # what is read of the summary

    texts: Texts

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls.kind = cls.kind or cls.stage  # as labels it goes by the name that it has as a stage

    @property
    def truth_split(self) -> str | None:
        """The split whose ground truth it was trained on; None: on weak labels alone."""
        return None

    @cached_property
    def truths_behind(self) -> frozenset[str]:
        """The splits whose ground truth anything among its inputs learned, however indirectly.

        Kept by each predictor, so that a long chain of students is not searched anew for every student of it.
        """
        truths: set[str] = set()
        seen: set[str] = set()
        waiting = self.inputs()
        while waiting:
            stage = waiting.pop()
            if isinstance(stage, Predictor):
                truths |= stage.truths_behind | ({stage.truth_split} if stage.truth_split else set())
            elif stage.key not in seen:
                seen.add(stage.key)
                waiting += stage.inputs()
        return frozenset(truths)

    def read_labels(self, store: Store) -> pd.Series:
        return self.texts.task.labels_in(self.predictions(store).set_index("id"))

    def predictions(self, store: Store) -> pd.DataFrame:
        """Columns id, split, and the task's columns of scores and labels: of a binary one log_odds, p."""
        return read_table(store, self.key, PREDICTIONS, predicted_columns(self.texts.task))

    def summary(self, store: Store) -> dict[str, Any]:
        """Return figures and notes about how the predictions came about."""
        return store.document(self.key, SUMMARY, lambda document: with_fields(document, self.SUMMARISED))


class Relabelled(WeakLabelSource):
    """Labels of strong_train from `by`; those of val from `weak`, unless `relabel_val`."""

    kind: ClassVar[str] = "relabelled"

    weak: SerializeAsAny[WeakLabelSource]
    by: SerializeAsAny[Predictor]
    relabel_val: bool = False

    def read_labels(self, store: Store) -> pd.Series:
        import pandas as pd

        predictions = self.by.predictions(store).set_index("id")
        replaced = ("strong_train", "val") if self.relabel_val else ("strong_train",)
        new = predictions.loc[predictions["split"].isin(replaced), "p"]
        old = self.weak.read_labels(store)
        return pd.concat([new, old[~old.index.isin(new.index)]]).astype("float64")
