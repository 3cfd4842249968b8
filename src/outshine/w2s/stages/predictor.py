"""Predictors, stages whose predictions can be scored and be the labels of a student; and labels made with one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import SerializeAsAny

from outshine.data.splits import OTHER_TEST
from outshine.data.task import BINARY, Task, tasks
from outshine.engine.checked_reading import Columns, read_table, with_fields
from outshine.engine.stage import Stage
from outshine.w2s.stages.labels import LabelTable, WeakLabelSource
from outshine.w2s.stages.prepare import Texts

if TYPE_CHECKING:
    import pandas as pd

    from outshine.engine.store.store import Store

PREDICTIONS, SUMMARY = "predictions.parquet", "summary.json"
PREDICTED_SPLITS = ("strong_train", "val", "test")


def predicted_splits(splits: Iterable[str]) -> list[str]:
    """Those of a dataset's splits that every predictor predicts: all but weak_train, other test sets last."""
    there = list(dict.fromkeys(splits))
    return [*PREDICTED_SPLITS, *sorted(split for split in there if split.startswith(OTHER_TEST))]


def predicted_columns(task: Task) -> Columns:
    """The columns of `predictions.parquet`."""
    return {
        **dict.fromkeys(("id", "split"), "text"),
        **dict.fromkeys((*task.score_columns, *task.label_columns), "number"),
    }


def recorded_task(fields: Mapping[str, Any], store: Store) -> Task:
    """The task of a predictor by the fields in its record, or of what it was made from; classes go by their numbers."""
    texts = fields.get("texts")
    if not isinstance(texts, dict):
        inputs = [value["stage"] for value in fields.values() if isinstance(value, dict) and "stage" in value]
        of_inputs = (recorded_task(store.done(key)["fields"], store) for key in inputs if store.has(key))
        return next(of_inputs, BINARY)
    form = {name: value for name, value in texts.get("task", {}).items() if name != "plugin_version"}
    if not form:
        return BINARY
    names = [f"class {number}" for number in range(form.get("num_classes", 0))]
    return tasks.parse({**form, "class_names": names} if names else form)


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

    def read_labels(self, store: Store) -> LabelTable:
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

    def read_labels(self, store: Store) -> LabelTable:
        import pandas as pd

        predictions = self.by.predictions(store).set_index("id")
        replaced = ("strong_train", "val") if self.relabel_val else ("strong_train",)
        new = self.by.texts.task.labels_in(predictions[predictions["split"].isin(replaced)])
        old = self.weak.read_labels(store)
        return pd.concat([new, old[~old.index.isin(new.index)]]).astype("float64")
