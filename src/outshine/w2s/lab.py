"""The lab: what a method is given to wire stages with. It holds an experiment's texts, models and labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from outshine.engine.errors import SettingsError
from outshine.engine.stage import Stage, held_stages, in_order
from outshine.learn.losses.base import Loss
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


@dataclass(frozen=True)
class TrainableModel:
    """A model ready to be fine-tuned.

    Attributes:
        classifier: The exact model, its head, pooling and tuning.
        learning_rate: Peak learning rate.
    """

    classifier: ClassifierSpec
    learning_rate: float


@dataclass(frozen=True)
class Wiring:
    """How a method is wired on one dataset and seed: `lab.wiring` makes it.

    Attributes:
        rounds: One student or probe a round, in their order; the last is the method's result.
        labels: The weak labels that the result is measured from: their AUROC is the zero of its PGR.
        supervisors: The models that made these labels; none where they come from a file.
    """

    rounds: tuple[Predictor, ...]
    labels: WeakLabelSource
    supervisors: tuple[Predictor, ...]


def _supervisors_behind(stages: list[Stage]) -> tuple[Predictor, ...]:
    """The models that learned the ground truth of weak_train, among stages and all that these depend on."""
    predictors = [stage for stage in in_order(stages) if isinstance(stage, Predictor)]
    return tuple(predictor for predictor in predictors if predictor.truth_split == "weak_train")


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
    weak: TrainableModel | None
    strong: TrainableModel
    training: TrainingSettings
    loss: Loss
    seed: int
    file_labels: WeakLabelSource | None = None
    layers: tuple[int, ...] = ()  # of the strong model, that methods of the study look at: read in one pass
    models: Mapping[ModelSettings, TrainableModel] = field(
        default_factory=dict
    )  # those that methods name in their settings

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

    def wiring(
        self,
        *rounds: Predictor,
        labels: WeakLabelSource | None = None,
        supervisors: Sequence[Predictor] | None = None,
    ) -> Wiring:
        """Say how a method is wired: what it trains or fits, and what its result is measured from.

        The AUROC of the labels is the zero of the result's PGR; error imitation, CAPA and the rows on which student and
        supervisor differ are about them. The tables of scores have a row for them, and one for each supervisor.

        Args:
            *rounds: One student or probe a round, in their order; the last is the method's result.
            labels: The weak labels that the result is measured from. None: the study's.
            supervisors: The models that made the labels. None: all models among their inputs that learned the ground
                truth of weak_train.

        Returns:
            The wiring.

        Raises:
            SettingsError: No labels are named, and the rounds learn from other supervisors than the study's.
        """
        source = self.weak_labels if labels is None else labels
        behind = _supervisors_behind(held_stages(source))
        if labels is None:
            others = [one.label for one in _supervisors_behind([*rounds]) if one not in behind]
            if others:
                raise SettingsError(
                    f"a method's students learn from a supervisor that is not the study's ({others[0]}); name the "
                    "labels that they are measured from: lab.wiring(student, labels=labels)"
                )
        return Wiring(rounds, source, behind if supervisors is None else tuple(supervisors))

    def tuned(self, model: ModelSettings) -> TrainableModel:
        """Return a model that a method of the study names in its settings.

        Args:
            model: The setting, such as a method's field `other: ModelSettings`.

        Returns:
            The model, found and pinned, with its learning rate.

        Raises:
            KeyError: No method of the study has this model in its fields.
        """
        return self.models[model]

    def other_supervisor(self, model: TrainableModel | None = None, seed: int | None = None) -> Supervised:
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
        model: TrainableModel | None = None,
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

    def _supervised(self, model: TrainableModel, split: str) -> Supervised:
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
