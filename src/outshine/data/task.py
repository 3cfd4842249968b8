"""Tasks: what the labels of a dataset are, how models answer, and how answers are hardened and ranked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator

from outshine.data.label_spellings import MOST_CLASSES
from outshine.engine.messages import counted
from outshine.engine.registry import Registry
from outshine.engine.settings import NotInKey, Plugin
from outshine.stats.auroc import Floats, auroc, soft_auroc

EVERY_OUTCOME = ("binary", "multiclass", "pairwise")
"""What labels and scores look like (`Task.outcome`). Other outcomes are special cases of these."""
ONE_NUMBER = ("binary", "pairwise")
"""The outcomes of which labels and scores are one number a row, [n]."""


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
        outcome: What labels and scores look like. `binary`: one number a row, P(y = 1) and log-odds, both [n];
            `multiclass`: a number a row and class, probabilities and logits, both [n, K]. Losses, probes, filters,
            methods and metrics name the outcomes that they can work with (`outcomes`).
        special_case_of: Other outcomes of which all holds that is said of them, so that whatever works with one of them
            works with these labels too. A task whose `outcome` is none of `EVERY_OUTCOME` names one here.
        metric: The registered name of the metric by which results are told.
        is_pair: Whether a row is two texts that are compared.
        is_balanced: Whether splits are undersampled to as many rows of each class; otherwise they keep the shares that
            classes have in the source.
        class_names: The classes in words, by number. They are in no key.
    """

    title: ClassVar[str] = ""
    outcome: ClassVar[str] = ""
    special_case_of: ClassVar[tuple[str, ...]] = ()
    metric: ClassVar[str] = "auroc"
    is_balanced: ClassVar[bool] = True
    is_pair: ClassVar[bool] = False

    class_names: Annotated[tuple[str, ...], NotInKey()] = Field(min_length=2, description="the classes in words")

    def works_with(self, outcomes: Sequence[str]) -> bool:
        """Return whether what works with these outcomes works with this task's labels.

        Args:
            outcomes: As plug-ins list them.

        Returns:
            Whether `outcome`, or one of which it is a special case, is among them.
        """
        return any(outcome in outcomes for outcome in (self.outcome, *self.special_case_of))

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
    def probabilities(self, scores: Any) -> Any:
        """Return the soft labels that scores stand for.

        Args:
            scores: A tensor, [..., *`score_shape`].

        Returns:
            Probabilities of the same shape and dtype.
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
        return self._columns(predictions, self.label_columns)

    def scores_in(self, predictions: pd.DataFrame) -> Any:
        """Return the scores in a table of predictions.

        Args:
            predictions: With `score_columns` among its columns.

        Returns:
            A series where there is one column, a frame where there are several.
        """
        return self._columns(predictions, self.score_columns)

    def label_table(self, labels: Any, ids: Any) -> Any:
        """Return labels that were computed as `labels_in` gives them.

        Args:
            labels: Of all rows, [n] or [n, K].
            ids: The ids of the rows, [n].

        Returns:
            A series or a frame in float64 with the ids as its index.
        """
        columns = self.label_columns
        if len(columns) == 1:
            return pd.Series(labels, index=ids, dtype="float64", name=columns[0])
        return pd.DataFrame(labels, index=ids, columns=list(columns), dtype="float64")

    @abstractmethod
    def weak_scores(self, labels: Any) -> Any:
        """Return scores of labels that come without any, as those of a file: they rank rows as the labels do.

        Args:
            labels: As `labels_in` gives them.

        Returns:
            Scores of the same kind and index.
        """

    def _columns(self, table: pd.DataFrame, columns: tuple[str, ...]) -> Any:
        return table[columns[0] if len(columns) == 1 else list(columns)]

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
        named = [f"{count:,} {name}" for count, name in reversed([*zip(counts, self.class_names, strict=True)])]
        if len(named) > MOST_COUNTED:
            return f"{min(counts):,} to {max(counts):,} of each of {len(named)} classes"
        return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))


tasks: Registry[Task] = Registry("task", "tasks", Task, "outshine.data.task")

MOST_COUNTED = 8  # classes whose rows are counted one by one in a sentence

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

    def probabilities(self, scores: Any) -> Any:
        """Return p = 1 / (1 + exp(−log-odds)), [...]."""
        return scores.sigmoid()

    def predicted(self, scores: Floats) -> dict[str, Floats]:
        """Return log-odds [n] and p = 1 / (1 + exp(−log-odds)) [n]."""
        from scipy.special import expit

        return {"log_odds": scores, "p": expit(scores)}

    def soft(self, classes: pd.Series) -> pd.Series:
        """Return 0.0 and 1.0, [n]."""
        return classes.astype("float64")

    def weak_scores(self, labels: Any) -> Any:
        """Return p − ½: of one sign with the log-odds, and finite."""
        return labels - 0.5

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


@tasks.register("multiclass")
class MultiClass(Task):
    """K classes, labels the probabilities of all of them [n, K], scores logits [n, K]; two classes are a binary task.

    The likeliest class is the answer; of several equally likely ones the first.

    Attributes:
        class_names: The classes by number.
    """

    title: ClassVar[str] = "several classes, told by the probability of each"
    outcome: ClassVar[str] = "multiclass"
    metric: ClassVar[str] = "macro_auroc"
    is_balanced: ClassVar[bool] = False

    class_names: Annotated[tuple[str, ...], NotInKey()] = Field(
        min_length=2, max_length=MOST_CLASSES, description="the classes in words, in the order of their numbers"
    )
    num_classes: int = Field(default=0, description="how many there are; 0: as many as have a name")

    @model_validator(mode="before")
    @classmethod
    def _counted(cls, value: Any) -> Any:
        """The names of classes are in no key, their number is."""
        if isinstance(value, dict) and isinstance(names := value.get("class_names"), list | tuple):
            return {**value, "num_classes": len(names)}
        return value

    @property
    def num_outputs(self) -> int:
        """A logit for each class."""
        return len(self.class_names)

    @property
    def score_columns(self) -> tuple[str, ...]:
        """`log_p_0`, `log_p_1` …: logits that are brought to a sum of probabilities of one."""
        return tuple(f"log_p_{number}" for number in range(len(self.class_names)))

    @property
    def label_columns(self) -> tuple[str, ...]:
        """`p_0`, `p_1` …: the probability of each class."""
        return tuple(f"p_{number}" for number in range(len(self.class_names)))

    def scores(self, logits: Any) -> Any:
        """Return the logits as they are: [..., K]."""
        return logits

    def probabilities(self, scores: Any) -> Any:
        """Return the softmax over the classes, [..., K]."""
        return scores.softmax(-1)

    def predicted(self, scores: Floats) -> dict[str, Floats]:
        """Return log-probabilities and probabilities of each class, 2K columns of [n]."""
        from scipy.special import log_softmax

        log_p = log_softmax(np.asarray(scores, dtype=np.float64), axis=1)
        columns = zip((*self.score_columns, *self.label_columns), (*log_p.T, *np.exp(log_p).T), strict=True)
        return dict(columns)

    def soft(self, classes: pd.Series) -> pd.DataFrame:
        """Return 1 for a row's class and 0 for all others, [n, K]."""
        return self.label_table(np.eye(len(self.class_names))[classes.to_numpy(dtype=np.intp)], classes.index)

    def weak_scores(self, labels: pd.DataFrame) -> pd.DataFrame:
        """Return log-probabilities, those of 0 held at the smallest number above it."""
        log_p = np.log(labels.to_numpy().clip(min=np.finfo(np.float64).tiny))
        return pd.DataFrame(log_p, index=labels.index, columns=list(self.score_columns))

    def classes(self, labels: Floats) -> NDArray[np.intp]:
        """Return the number of the likeliest class, [n]."""
        return np.argmax(labels, axis=1)

    def harden(self, labels: Floats) -> HardLabels:
        """Classes from labels p [n, K]: the likeliest; where that is one and the same for all, relative to its mean.

        In the latter case a row's class is argmax pₖ / mean(pₖ), in which each class stands out somewhere.
        """
        if np.all(labels == labels[0]):
            return HardLabels(None, "all labels are equal")
        likeliest = self.classes(labels)
        if len(np.unique(likeliest)) > 1:
            return HardLabels(likeliest, None)
        mean = labels.mean(axis=0)
        relative = np.divide(labels, mean, out=np.zeros_like(labels), where=mean > 0).argmax(axis=1)
        moved = int((relative != likeliest).sum())
        return HardLabels(
            relative,
            f"{self.class_names[likeliest[0]]} is the likeliest class of all {len(labels)} labels: classes are those "
            f"that are likeliest in comparison with their mean, so that {counted(moved, 'row')} count as another one",
        )

    def selection(self, labels: Floats, is_truth: bool, metric: Literal["hard", "soft"]) -> CheckpointScore:
        """Mean one-vs-rest AUROC of p against labels [n, K]: hardened, or each row in all classes with weights pₖ."""
        if np.all(labels == labels[0]):
            return CheckpointScore(None, "all val labels are equal: the last weights are kept")
        if metric == "soft" and not is_truth:
            return CheckpointScore(partial(_soft_macro_auroc, labels.astype(np.float64)), None)
        hardened = HardLabels(self.classes(labels), None) if is_truth else self.harden(labels)
        if hardened.y is None or len(np.unique(hardened.y)) < 2:
            return CheckpointScore(None, "val labels are all of one class: the last weights are kept")
        from outshine.stats.metrics import metrics

        return CheckpointScore(
            partial(metrics.parse(self.metric).value, hardened.y), f"val: {hardened.note}" if hardened.note else None
        )


def _soft_macro_auroc(labels: Floats, scores: Floats) -> float:
    """The mean over classes k of `soft_auroc` of softmax(scores)ₖ against labels [:, k], of those with some weight."""
    from scipy.special import softmax

    total, p = labels.sum(axis=0), softmax(scores, axis=1)
    ranked = [k for k in range(labels.shape[1]) if 0 < total[k] < len(labels)]
    return float(np.mean([soft_auroc(labels[:, k], p[:, k]) for k in ranked]))


@tasks.register("pairwise")
class Pairwise(Binary):
    """Which of two texts is the better one: labels p = P(a ≻ b) in [0, 1], scores log-odds r(a) − r(b).

    The head has one output, the reward r of a text, and sees one text at a time: where two texts change places the
    score changes its sign and nothing else. Source: Bradley and Terry, Biometrika 1952; as a loss of reward models
    Ouyang et al., arXiv:2203.02155, equation 1.

    Attributes:
        class_names: What is said of a row whose second text is the better one, and of one whose first is.
    """

    title: ClassVar[str] = "which of two texts is the better one"
    outcome: ClassVar[str] = "pairwise"
    is_pair: ClassVar[bool] = True

    class_names: Annotated[tuple[str, ...], NotInKey()] = Field(
        default=("b is better", "a is better"), min_length=2, max_length=2, description="class 0 and class 1 in words"
    )

    @property
    def num_outputs(self) -> int:
        """One: the reward of a text."""
        return 1

    def scores(self, logits: Any) -> Any:
        """Return the reward of a text: [..., 1] -> [...]. Batches make differences of them."""
        return logits[..., 0]


def task_of(class_names: Sequence[str]) -> Task:
    """Return the task of labels with these classes: binary for two.

    Args:
        class_names: The classes by number; of two, negative comes first.

    Returns:
        The task.
    """
    names = tuple(class_names)
    return Binary(class_names=names) if len(names) == 2 else MultiClass(class_names=names)


BINARY = Binary()
"""The task of a dataset that says nothing else."""
