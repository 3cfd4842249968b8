"""Base class of methods, which wire stages, and the lab that holds an experiment's texts, models and labels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BeforeValidator, Field, SerializeAsAny

from outshine.engine.errors import SettingsError
from outshine.engine.registry import Registry
from outshine.engine.settings import Plugin
from outshine.learn.losses.base import Loss, losses
from outshine.learn.probes.base import Probe
from outshine.learn.settings import TrainingSettings
from outshine.learn.spec import ClassifierSpec, ModelSettings
from outshine.w2s.stages.activations import Activations
from outshine.w2s.stages.control import ControlLabels, ControlStudent
from outshine.w2s.stages.finetune import Student, Supervised
from outshine.w2s.stages.keep import Keep
from outshine.w2s.stages.labels import GroundTruth, WeakLabelSource
from outshine.w2s.stages.predictor import Predictor
from outshine.w2s.stages.prepare import Texts
from outshine.w2s.stages.probing import Probing, TruthProbing

S = TypeVar("S")
LossChoice = Annotated[SerializeAsAny[Loss], BeforeValidator(losses.parse)]


def _optional_loss(value: object) -> Loss | None:
    return None if value is None else losses.parse(value)


@dataclass(frozen=True)
class Tuned:
    """A model ready to be fine-tuned.

    Attributes:
        classifier: The exact model, its head, pooling and tuning.
        learning_rate: Peak learning rate.
    """

    classifier: ClassifierSpec
    learning_rate: float


class _StageCache:
    """Where a lab keeps the stages that it made: beside its fields, so that a lab made from these begins with none."""

    __slots__ = ("_made",)
    _made: dict[Any, Any]


@dataclass(frozen=True)
class Lab(_StageCache):
    """One dataset and one seed: texts, models, and the stages that all methods share.

    Ground truth enters `supervisor`, `ceiling` and declared controls only; a method sees weak labels.

    Attributes:
        texts: The texts of the dataset, all splits.
        truth: Ground truth, for supervisor, ceiling and controls.
        weak: The weak model; None where the study has none.
        strong: The strong model.
        training: Hyper-parameters of every fine-tuning.
        loss: The study's loss for students.
        seed: Of heads, adapters and the order of batches.
        file_labels: The user's own weak labels; None: the supervisor makes them.
        layers: Layers of the strong model that the study's methods look at; their activations are read in one pass.
        models: The models that methods name in their settings, ready to be fine-tuned.
    """

    texts: Texts
    truth: GroundTruth
    weak: Tuned | None
    strong: Tuned
    training: TrainingSettings
    loss: Loss
    seed: int
    file_labels: WeakLabelSource | None = None
    layers: tuple[int, ...] = ()  # of the strong model, that methods of the study look at: read in one pass
    models: Mapping[ModelSettings, Tuned] = field(default_factory=dict)  # those that methods name in their settings

    def __post_init__(self) -> None:
        object.__setattr__(self, "_made", {})

    @property
    def supervisor(self) -> Supervised | None:
        """The weak model trained on ground truth of weak_train; None where labels come from a file."""
        return None if self.weak is None or self.file_labels is not None else self._supervised(self.weak, "weak_train")

    @property
    def ceiling(self) -> Supervised:
        """The strong model trained on ground truth of strong_train."""
        return self._supervised(self.strong, "strong_train")

    @property
    def weak_labels(self) -> WeakLabelSource:
        """p_weak on strong_train and val: the supervisor's predictions, or the user's file.

        Raises:
            ValueError: There is neither a weak model nor a file.
        """
        labels = self.file_labels or self.supervisor
        if labels is None:
            raise ValueError("a lab needs a weak model or a file of weak labels")
        return labels

    def tuned(self, model: ModelSettings) -> Tuned:
        """Return a model that a method of the study names in its settings.

        Args:
            model: The setting, such as a method's field `other: ModelSettings`.

        Returns:
            The model, found and pinned, with its learning rate.

        Raises:
            KeyError: No method of the study has this model in its fields.
        """
        return self.models[model]

    def other_supervisor(self, model: Tuned | None = None, seed: int | None = None) -> Supervised:
        """Make another supervisor, trained on ground truth of weak_train.

        Args:
            model: Its model. None: the study's weak one.
            seed: Of its head, adapters and batches. None: the lab's.

        Returns:
            The stage that trains it; equal calls give one and the same stage.

        Raises:
            SettingsError: No model is given and the study has no weak one.
        """
        chosen = model or self.weak
        if chosen is None:
            raise SettingsError("another supervisor needs a weak model; weak labels from a file have none")
        return replace(self, seed=self.seed if seed is None else seed)._supervised(chosen, "weak_train")

    def student(
        self,
        labels: WeakLabelSource,
        loss: Loss | None = None,
        keep: Keep | None = None,
        model: Tuned | None = None,
    ) -> Student:
        """Make a student: a model trained on labels of strong_train.

        Args:
            labels: Its labels, made without the ground truth of these rows.
            loss: Its loss. None: the study's.
            keep: The rows that a filter leaves. None: all.
            model: The model. None: the strong one.

        Returns:
            The stage that trains it.

        Raises:
            ValidationError: The labels are ground truth, or come, however indirectly, from a model trained on the
                ground truth of strong_train.
        """
        tuned = model or self.strong
        return Student(
            classifier=tuned.classifier,
            texts=self.texts,
            train_split="strong_train",
            learning_rate=tuned.learning_rate,
            training=self.training,
            seed=self.seed,
            labels=labels,
            loss=loss or self.loss,
            keep=keep,
        )

    def control(self, labels: ControlLabels, loss: Loss | None = None) -> ControlStudent:
        """Make a control: the strong model trained on labels that lack something which weak labels have.

        Args:
            labels: The control labels.
            loss: Its loss. None: the study's.

        Returns:
            The stage that trains it.
        """
        return ControlStudent(
            classifier=self.strong.classifier,
            texts=self.texts,
            train_split="strong_train",
            learning_rate=self.strong.learning_rate,
            training=self.training,
            seed=self.seed,
            labels=labels,
            loss=loss or self.loss,
        )

    def activations(self, layer: int) -> Activations:
        """Make the activations of the pretrained strong model.

        Args:
            layer: Number of blocks passed; 0: the embeddings.

        Returns:
            The stage that computes the hidden states after so many blocks, pooled to one vector a text.

        Raises:
            SettingsError: The strong model has no such layer.
        """
        classifier, layer = self.strong.classifier, self.check_layer(layer)
        return self._once(
            ("activations", layer),
            lambda: Activations(
                model=classifier.model,
                num_layers=classifier.num_layers,
                pooling=classifier.pooling,
                max_length=classifier.max_length,
                compute_dtype=classifier.compute_dtype,
                texts=self.texts,
                layer=layer,
                together=self.layers,
            ),
        )

    def probing(self, probe: Probe, layer: int, cross_fit: int = 0) -> Probing:
        """Make a probe that is fitted on activations and weak labels of strong_train.

        Args:
            probe: Its settings.
            layer: Number of blocks passed; 0: the embeddings.
            cross_fit: Folds, so that no probe predicts a row that it was fitted on; 0: none.

        Returns:
            The stage that fits it and predicts.

        Raises:
            SettingsError: The strong model has no such layer, or `cross_fit` is 1.
        """
        return Probing(
            texts=self.texts,
            activations=self.activations(layer),
            labels=self.weak_labels,
            probe=probe,
            cross_fit=cross_fit,
        )

    def truth_probing(self, probe: Probe, layer: int) -> TruthProbing:
        """Make a control: a probe fitted on activations and ground truth of strong_train.

        Args:
            probe: Its settings.
            layer: Number of blocks passed; 0: the embeddings.

        Returns:
            The stage that fits it and predicts.

        Raises:
            SettingsError: The strong model has no such layer.
        """
        return TruthProbing(texts=self.texts, activations=self.activations(layer), labels=self.truth, probe=probe)

    def check_layer(self, layer: int) -> int:
        """Check that the strong model has a layer.

        Args:
            layer: Number of blocks passed; 0: the embeddings.

        Returns:
            The layer itself.

        Raises:
            SettingsError: The strong model has no such layer.
        """
        classifier = self.strong.classifier
        if layer > classifier.num_layers:
            raise SettingsError(
                f"layer {layer} does not exist: {classifier.name} has {classifier.num_layers} blocks; "
                f"give 0 (embeddings) to {classifier.num_layers}"
            )
        return layer

    def _supervised(self, model: Tuned, split: str) -> Supervised:
        return self._once(
            (split, model),
            lambda: Supervised(
                classifier=model.classifier,
                texts=self.texts,
                train_split=split,  # pyright: ignore[reportArgumentType]  # checked by pydantic
                learning_rate=model.learning_rate,
                training=self.training,
                seed=self.seed,
                labels=self.truth,
            ),
        )

    def _once(self, which: object, make: Callable[[], S]) -> S:
        """What all methods share is one object: its key is computed once, and it is held once."""
        if which not in self._made:
            self._made[which] = make()
        return self._made[which]


class Method(Plugin):
    """How weak labels become a student, or another predictor: fields are settings.

    A field may be a model (`other: ModelSettings`). It is found and pinned when the study is resolved, and
    `lab.tuned(self.other)` is then ready to be trained.

    Attributes:
        title: What it is, in a few words, for listings.
        outcomes: The kinds of labels that it can work with, as `outshine.data.task.Task.outcome` names them.
        loss: The students' loss. None: the study's.
    """

    title: ClassVar[str] = ""
    outcomes: ClassVar[tuple[str, ...]] = ("binary",)

    loss: Annotated[SerializeAsAny[Loss] | None, BeforeValidator(_optional_loss)] = Field(
        default=None, description="the students' loss; None: the study's"
    )

    @abstractmethod
    def predictors(self, lab: Lab) -> tuple[Predictor, ...]:
        """Wire the students or probes of this method.

        Args:
            lab: One dataset and one seed.

        Returns:
            One predictor a round, in their order; the last is the method's result.
        """

    def weak_labels(self, lab: Lab) -> WeakLabelSource:
        """Return the weak labels that the result is measured from: their AUROC is the zero of its PGR.

        They are the study's, unless the method's students learn from other supervisors. Their AUROC stands beside the
        method's in tables; error imitation, CAPA and the rows on which student and supervisor differ are about them
        too.

        Args:
            lab: One dataset and one seed.

        Returns:
            The labels.
        """
        return lab.weak_labels

    def layers(self, lab: Lab) -> tuple[int, ...]:
        """Return the layers of the strong model whose activations the method looks at.

        Args:
            lab: One dataset and one seed.

        Returns:
            Numbers of blocks passed; empty: it looks at none.
        """
        return ()


methods: Registry[Method] = Registry("method", "methods", Method, "outshine.w2s.methods")
