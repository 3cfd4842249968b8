"""Sources of labels for fine-tuning. Ground truth has a type of its own, which students refuse."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, SerializeAsAny

from outshine.engine.checked_reading import read_table
from outshine.engine.errors import DataError
from outshine.engine.settings import NotInKey, Plugin
from outshine.w2s.stages.prepare import TRUTH, Prepare, Texts

if TYPE_CHECKING:
    import pandas as pd

    from outshine.engine.store.store import Store


LabelTable: TypeAlias = "pd.Series | pd.DataFrame"
"""Labels in float64 by row id: a series of P(y = 1), or a frame with a column for the probability of each class."""

_LEAST_P = 1e-6


class LabelSource(Plugin):
    """Soft labels by row id, such as P(y = 1) of a binary task."""

    @abstractmethod
    def read_labels(self, store: Store) -> LabelTable:
        """The `label_columns` of the task, indexed by row id: of a binary one p in [0, 1], float64."""


class WeakLabelSource(LabelSource):
    """Labels that were made without the ground truth of the rows they label: what a student may see."""


class GroundTruth(LabelSource):
    """The true labels, by the digest of their table. For supervisor, ceiling and scoring only."""

    kind: ClassVar[str] = "ground_truth"

    digest: str
    origin: Annotated[Prepare, NotInKey()]

    @classmethod
    def of(cls, origin: Prepare, store: Store) -> GroundTruth:
        """The ground truth that a finished preparation wrote."""
        return cls(digest=origin.report(store)["truth_digest"], origin=origin)

    def read_labels(self, store: Store) -> LabelTable:
        truth = read_table(store, self.origin.key, TRUTH, {"id": "text", "label": "number"})
        return self.origin.task.soft(truth.set_index("id")["label"])


class FileLabels(WeakLabelSource):
    """The user's own weak labels (columns id or text, and p_weak or one of each class), by the sha256 of the file."""

    kind: ClassVar[str] = "file"

    digest: str
    path: Annotated[str, NotInKey()]
    texts: Texts

    def read_labels(self, store: Store) -> LabelTable:
        from outshine.data.user_datasets import file_sha256
        from outshine.data.weak_label_file import join_weak_labels, read_weak_labels

        if file_sha256(self.path) != self.digest:
            raise DataError(f"{self.path} changed while the study was running; run again")
        task = self.texts.task
        if getattr(self.texts.origin, "recipe", None) is not None and self.texts.origin.recipe.label_is_drawn:  # pyright: ignore
            raise DataError(
                "weak labels from a file need pairs with a column that says which is better: without one, which text "
                "is shown first is drawn"
            )
        weak = join_weak_labels(read_weak_labels(self.path, task), self.texts.read(store), task)
        return task.labels_in(weak.set_index("id"))


class CombinedLabels(WeakLabelSource):
    """The mean of what several sources say of each row that all of them label: the labels of a committee.

    `mean`: of p, or of the log-odds, in which a source that is surer counts for more. There a p at or near 0 and 1 is
    held within 1e-6 of them, so that one source's hard label does not decide alone. Of several classes the
    log-probabilities are averaged, and what results is brought to a sum of one.
    """

    kind: ClassVar[str] = "combined"

    of: Annotated[tuple[SerializeAsAny[WeakLabelSource], ...], Field(min_length=1)]
    mean: Literal["p", "log_odds"] = "p"

    def read_labels(self, store: Store) -> LabelTable:
        import pandas as pd
        from scipy.special import expit, logit

        tables = [source.read_labels(store) for source in self.of]
        of_classes = [table for table in tables if isinstance(table, pd.DataFrame)]
        if of_classes:
            return self._mean_of_classes(of_classes)
        each = pd.concat(tables, axis=1, join="inner")
        if self.mean == "p":
            return each.mean(axis=1)
        log_odds = logit(each.clip(_LEAST_P, 1 - _LEAST_P)).mean(axis=1)
        return pd.Series(expit(log_odds), index=each.index)

    def _mean_of_classes(self, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
        import numpy as np
        from scipy.special import softmax

        ids = tables[0].index
        for table in tables[1:]:
            ids = ids.intersection(table.index)
        each = np.stack([table.loc[ids].to_numpy() for table in tables])
        mean = each.mean(axis=0) if self.mean == "p" else softmax(np.log(each.clip(_LEAST_P)).mean(axis=0), axis=1)
        return tables[0].loc[ids].copy().assign(**dict(zip(tables[0].columns, mean.T, strict=True)))


def labels_of(labels: LabelTable, ids: list[str], what: str) -> LabelTable:
    """The labels of exactly these rows, joined by id. Raises DataError where any is missing."""
    missing = len(set(ids) - set(labels.index))
    if missing:
        raise DataError(f"{missing} of {len(ids)} rows of {what} have no label")
    return labels.loc[ids]
