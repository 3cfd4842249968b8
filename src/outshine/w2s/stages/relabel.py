"""Relabelling: a predictor's labels in place of the weak ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import SerializeAsAny

from outshine.w2s.stages.labels import WeakLabelSource
from outshine.w2s.stages.predictor import Predictor

if TYPE_CHECKING:
    import pandas as pd

    from outshine.engine.store.store import Store


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
