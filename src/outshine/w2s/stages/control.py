"""Control labels, which lack one property of weak labels, and their students. Declared, never a method's."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pydantic import NonNegativeInt, SerializeAsAny

from outshine.engine.rng import numpy_rng
from outshine.learn.losses.base import Loss
from outshine.w2s.stages.finetune import Finetune
from outshine.w2s.stages.labels import GroundTruth, LabelSource, LabelTable, WeakLabelSource, labels_of
from outshine.w2s.stages.prepare import Texts

if TYPE_CHECKING:
    import numpy as np

    from outshine.engine.store.store import Store

LABELLED_SPLITS = ("strong_train", "val")


class ControlLabels(LabelSource):
    """Labels of strong_train and val made from p_weak, each split on its own."""

    texts: Texts
    weak: SerializeAsAny[WeakLabelSource]
    seed: NonNegativeInt

    @property
    def knows_truth(self) -> bool:
        """Whether ground truth has a say in them."""
        return False

    @abstractmethod
    def replace(self, p_weak: LabelTable, rng: np.random.Generator, store: Store) -> np.ndarray:
        """The labels of one split in place of p_weak [n] or [n, K] (indexed by row id, in the order of ids)."""

    def read_labels(self, store: Store) -> LabelTable:
        import pandas as pd

        weak, texts = self.weak.read_labels(store), self.texts.read(store)
        parts = []
        for split in LABELLED_SPLITS:
            ids = sorted(texts.loc[texts["split"] == split, "id"])
            rng = numpy_rng("control", self.kind, split, self.seed)
            p_weak = labels_of(weak, ids, split)
            parts.append(self.texts.task.label_table(self.replace(p_weak, rng, store), p_weak.index))
        return pd.concat(parts)


class Shuffled(ControlLabels):
    """p_weak permuted over all rows: the labels' distribution and nothing else."""

    kind: ClassVar[str] = "shuffled"

    def replace(self, p_weak: LabelTable, rng: np.random.Generator, store: Store) -> np.ndarray:
        return rng.permutation(p_weak.to_numpy())


class Constant(ControlLabels):
    """Every label the mean of p_weak."""

    kind: ClassVar[str] = "constant"

    def replace(self, p_weak: LabelTable, rng: np.random.Generator, store: Store) -> np.ndarray:
        import numpy as np

        return np.broadcast_to(np.asarray(p_weak.mean()), p_weak.shape)


class FairCoins(ControlLabels):
    """A class by fair coins, each as likely as any other."""

    kind: ClassVar[str] = "random"

    def replace(self, p_weak: LabelTable, rng: np.random.Generator, store: Store) -> np.ndarray:
        import pandas as pd

        task = self.texts.task
        return task.soft(pd.Series(rng.integers(0, len(task.class_names), len(p_weak)))).to_numpy()


class NoiseMatched(ControlLabels):
    """p_weak permuted within each true class: as wrong as the weak labels, but errors do not depend on the text.

    AUROC, confusion matrix and calibration, of several classes each against the rest, are those of the weak labels.
    """

    kind: ClassVar[str] = "noise_matched"

    truth: GroundTruth

    @property
    def knows_truth(self) -> bool:
        return True

    def replace(self, p_weak: LabelTable, rng: np.random.Generator, store: Store) -> np.ndarray:
        labels = p_weak.to_numpy(copy=True)
        task, truth = self.texts.task, labels_of(self.truth.read_labels(store), list(p_weak.index), "ground truth")
        classes = task.classes(truth.to_numpy())
        for number in reversed(range(len(task.class_names))):
            members = classes == number
            labels[members] = rng.permutation(labels[members])
        return labels


class ControlStudent(Finetune):
    """The strong model trained on control labels. Where these know the truth, no student can be trained on them."""

    stage: ClassVar[str] = "control"

    labels: SerializeAsAny[ControlLabels]
    loss: SerializeAsAny[Loss]

    @property
    def truth_split(self) -> str | None:
        return self.train_split if self.labels.knows_truth else None

    def label_source(self) -> LabelSource:
        return self.labels

    def train_loss(self) -> Loss:
        return self.loss

    def _label_words(self) -> str:
        return f"{self.labels.kind} labels, {self.loss.kind}"

    @property
    def plan_row(self) -> tuple[int, str]:
        return 10, "control students"
