"""Tasks: what the labels of a dataset are, how models answer, and how answers are hardened and chosen by."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from outshine.engine.messages import counted
from outshine.engine.registry import Registry
from outshine.engine.settings import NotInKey, Plugin
from outshine.stats.auroc import Floats, auroc, soft_auroc


class HardLabels(NamedTuple):
    """Classes made of soft labels.

    Attributes:
        y: The class of each row, [n]; None: all labels are equal, so that there are no classes.
        note: What a reader must know of how they were made; None: nothing.
    """

    y: NDArray[Any] | None
    note: str | None


class CheckpointScore(NamedTuple):
    """The score by which validation ranks checkpoints.

    Attributes:
        score: From a model's scores on the rows of val to a number, more is better; None: validation cannot choose, and
            the last weights are kept.
        note: What a reader must know of it; None: nothing.
    """

    score: Callable[[Floats], float] | None
    note: str | None


class Task(Plugin):
    """What a dataset's labels are, and what follows for heads of models, hardening, validation and metrics.

    It lies on the dataset (`Recipe.task`). Stages, results and reports ask it instead of knowing. Three kinds of
    numbers are told apart: a `class` is a row's true or hardened answer, by its place in `class_names`; a `label` is a
    soft one, that is probabilities; a `score` is what a model gives and what ranks rows, such as log-odds.

    Attributes:
        title: What it is, in a few words, for listings.
        outcome: What labels and scores look like: `binary`: one number a row, P(y = 1) and log-odds, both [n]. Losses,
            probes, filters, methods and metrics name the outcomes that they can work with (`outcomes`).
        metric: The registered name of the metric by which results are told.
        class_names: The classes in words, by number. They are in no key.
    """

    title: ClassVar[str] = ""
    outcome: ClassVar[str] = ""
    metric: ClassVar[str] = "auroc"

    class_names: Annotated[tuple[str, ...], NotInKey()] = Field(min_length=2, description="the classes in words")

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """How many outputs a model's head has."""

    @property
    @abstractmethod
    def score_columns(self) -> tuple[str, ...]:
        """The columns of scores in tables of predictions; one: scores are [n], K: they are [n, K]."""

    @property
    @abstractmethod
    def label_columns(self) -> tuple[str, ...]:
        """The columns of soft labels in the same tables, likewise."""

    @property
    def score_shape(self) -> tuple[int, ...]:
        """The shape of one row's scores: () or (K,)."""
        return () if len(self.score_columns) == 1 else (len(self.score_columns),)

    @abstractmethod
    def scores(self, logits: Any) -> Any:
        """Make scores of what a head puts out.

        Args:
            logits: An array or tensor, [..., `num_outputs`].

        Returns:
            The same with the last axis replaced by `score_shape`.
        """

    @abstractmethod
    def predicted(self, scores: Floats) -> dict[str, Floats]:
        """Return the columns of a table of predictions.

        Args:
            scores: Of all rows, [n, *`score_shape`].

        Returns:
            Name -> values, [n], of `score_columns` and then `label_columns`.
        """

    @abstractmethod
    def soft(self, classes: pd.Series) -> Any:
        """Return the labels of rows whose class is certain.

        Args:
            classes: Numbers of classes by row id.

        Returns:
            Labels in float64 with the same index, as `labels_in` gives them.
        """

    def labels_in(self, predictions: pd.DataFrame) -> Any:
        """Return the labels in a table of predictions.

        Args:
            predictions: With `label_columns` among its columns.

        Returns:
            A series where there is one column, a frame where there are several.
        """
        columns = list(self.label_columns)
        return predictions[columns[0] if len(columns) == 1 else columns]

    @abstractmethod
    def classes(self, labels: Floats) -> NDArray[Any]:
        """Harden labels, each row by itself.

        Args:
            labels: Soft labels, or ground truth, [n, …].

        Returns:
            The class of each row, [n].
        """

    @abstractmethod
    def harden(self, labels: Floats) -> HardLabels:
        """Harden labels so that there are rows of each class to be told apart, as probes, filters and validation need.

        Args:
            labels: Soft labels of all rows, [n, …].

        Returns:
            Classes, which may differ from `classes` where nearly all labels lie on one side; the note then says so.
        """

    @abstractmethod
    def selection(self, labels: Floats, is_truth: bool, metric: Literal["hard", "soft"]) -> CheckpointScore:
        """Return the score by which validation ranks checkpoints.

        Args:
            labels: Of the rows of val, [n, …].
            is_truth: Whether they are ground truth, which is taken as it is.
            metric: The setting `training.val_metric`: against hardened labels, or against soft ones.

        Returns:
            The score, or the reason why there is none.
        """

    def counts_text(self, counts: Sequence[int]) -> str:
        """Return numbers of rows in words, the last class first.

        Args:
            counts: How many rows there are of each class.

        Returns:
            Such as `12 positive and 30 negative`.
        """
        named = list(zip(counts, self.class_names, strict=True))
        return " and ".join(f"{count} {name}" for count, name in reversed(named))


tasks: Registry[Task] = Registry("task", "tasks", Task, "outshine.data.task")

MIN_SIDE = 20  # rows on either side of the threshold below which soft labels are split near the median instead
MIN_SHARE = 0.02
MAX_SHARE_OF_SIDE = 0.25  # a side with a quarter of the rows is large enough, however few rows there are
FEW = 10  # rows of a class below which the choice of weights rests on little


@tasks.register("binary")
class Binary(Task):
    """Two classes, labels p = P(y = 1) in [0, 1], scores log-odds; a label of exactly the threshold is class 0.

    Attributes:
        class_names: Negative, then positive.
        threshold: Labels above it harden to class 1.
    """

    title: ClassVar[str] = "two classes, told by the probability of the second"
    outcome: ClassVar[str] = "binary"

    class_names: Annotated[tuple[str, ...], NotInKey()] = Field(
        default=("negative", "positive"), min_length=2, max_length=2, description="class 0 and class 1 in words"
    )
    threshold: float = Field(default=0.5, ge=0, lt=1, description="labels above it are class 1")

    @property
    def num_outputs(self) -> int:
        """Two: a logit for each class."""
        return 2

    @property
    def score_columns(self) -> tuple[str, ...]:
        """Log-odds."""
        return ("log_odds",)

    @property
    def label_columns(self) -> tuple[str, ...]:
        """P(y = 1)."""
        return ("p",)

    def scores(self, logits: Any) -> Any:
        """Return log-odds, the difference of the two logits: [..., 2] -> [...]."""
        return logits[..., 1] - logits[..., 0]

    def predicted(self, scores: Floats) -> dict[str, Floats]:
        """Return log-odds [n] and p = 1 / (1 + exp(−log-odds)) [n]."""
        from scipy.special import expit

        return {"log_odds": scores, "p": expit(scores)}

    def soft(self, classes: pd.Series) -> pd.Series:
        """Return 0.0 and 1.0, [n]."""
        return classes.astype("float64")

    def classes(self, labels: Floats) -> NDArray[np.bool_]:
        """Return whether p lies above the threshold, [n]."""
        return labels > self.threshold

    def harden(self, labels: Floats) -> HardLabels:
        """Classes from labels p [n]: above the threshold, or above a cut near the median where one side is too small.

        Too small: fewer rows on a side of the threshold than max(min(20, n / 4), 2 % of n). The cut lies between two
        different values, where it leaves the sides most alike (of two such cuts the lower one is taken), so that equal
        labels are never in different classes. Labels of two values only, such as 0 and 1, therefore stay the classes
        that they are, however rare one of them is. All labels equal: no classes.
        """
        values, counts = np.unique(labels, return_counts=True)
        if len(values) < 2:
            return HardLabels(None, "all labels are equal")
        positive, num = self.classes(labels), len(labels)
        side = int(min(positive.sum(), (~positive).sum()))
        if side >= max(min(MIN_SIDE, MAX_SHARE_OF_SIDE * num), MIN_SHARE * num):
            return HardLabels(positive, None)
        below = np.cumsum(counts)[:-1]  # rows below each possible cut
        cut = int(np.argmin(np.abs(2 * below - num)))
        upper = labels > values[cut]
        if len(values) == 2:
            rare = int(min(upper.sum(), (~upper).sum()))
            return HardLabels(upper, f"one class has {counted(rare, 'row')} of {num} only" if rare < FEW else None)
        most = f"all {num}" if side == 0 else f"all but {side} of {num}"
        moved, usual = int((upper != positive).sum()), f"{self.threshold:g}".removeprefix("0")
        return HardLabels(
            upper,
            f"{most} labels lie on one side of {usual}: classes are cut at {values[cut]:.3g}, near the median, so that "
            f"{counted(moved, 'row')} count as the class that they are not at {usual}",
        )

    def selection(self, labels: Floats, is_truth: bool, metric: Literal["hard", "soft"]) -> CheckpointScore:
        """AUROC of log-odds against labels p [n]: hardened, or each row in both classes with weights p and 1 − p."""
        if metric == "soft" and not is_truth:
            if np.all(labels == labels[0]):
                return CheckpointScore(None, "all val labels are equal: the last weights are kept")
            return CheckpointScore(partial(soft_auroc, labels.astype(np.float64)), None)
        hardened = HardLabels(self.classes(labels), None) if is_truth else self.harden(labels)
        if hardened.y is None or hardened.y.all() or not hardened.y.any():
            return CheckpointScore(None, "val labels are all of one class: the last weights are kept")
        return CheckpointScore(partial(auroc, hardened.y), f"val: {hardened.note}" if hardened.note else None)


BINARY = Binary()
"""The task of a dataset that says nothing else."""
