"""Sources of labels for fine-tuning. Ground truth has a type of its own, which students refuse."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, SerializeAsAny

from outshine.engine.checked_reading import read_table
from outshine.engine.errors import DataError
from outshine.engine.settings import NotInKey, Plugin
from outshine.w2s.stages.prepare import TRUTH, Prepare, Texts

if TYPE_CHECKING:
    import pandas as pd

    from outshine.engine.store.store import Store


_LEAST_P = 1e-6


class LabelSource(Plugin):
    """Soft labels by row id, such as P(y = 1) of a binary task."""

    @abstractmethod
    def read_labels(self, store: Store) -> pd.Series:
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

    def read_labels(self, store: Store) -> pd.Series:

        truth = read_table(store, self.origin.key, TRUTH, {"id": "text", "label": "number"})
        return self.origin.task.soft(truth.set_index("id")["label"])


class FileLabels(WeakLabelSource):
    """The user's own weak labels (columns id or text, and p_weak), by the sha256 of the file."""

    kind: ClassVar[str] = "file"

    digest: str
    path: Annotated[str, NotInKey()]
    texts: Texts

    def read_labels(self, store: Store) -> pd.Series:
        from outshine.data.user_datasets import file_sha256
        from outshine.data.weak_label_file import join_weak_labels, read_weak_labels

        if file_sha256(self.path) != self.digest:
            raise DataError(f"{self.path} changed while the study was running; run again")
        return join_weak_labels(read_weak_labels(self.path), self.texts.read(store)).set_index("id")["p"]


class CombinedLabels(WeakLabelSource):
    """The mean of what several sources say of each row that all of them label: the labels of a committee.

    `mean`: of p, or of the log-odds, in which a source that is surer counts for more. There a p at or near 0 and 1 is
    held within 1e-6 of them, so that one source's hard label does not decide alone.
    """

    kind: ClassVar[str] = "combined"

    of: Annotated[tuple[SerializeAsAny[WeakLabelSource], ...], Field(min_length=1)]
    mean: Literal["p", "log_odds"] = "p"

    def read_labels(self, store: Store) -> pd.Series:
        import pandas as pd
        from scipy.special import expit, logit

        each = pd.concat([source.read_labels(store) for source in self.of], axis=1, join="inner")
        if self.mean == "p":
            return each.mean(axis=1)
        log_odds = logit(each.clip(_LEAST_P, 1 - _LEAST_P)).mean(axis=1)
        return pd.Series(expit(log_odds), index=each.index)


def labels_of(labels: pd.Series, ids: list[str], what: str) -> pd.Series:
    """The labels of exactly these rows, joined by id. Raises DataError where any is missing."""
    missing = len(set(ids) - set(labels.index))
    if missing:
        raise DataError(f"{missing} of {len(ids)} rows of {what} have no label")
    return labels.loc[ids]
