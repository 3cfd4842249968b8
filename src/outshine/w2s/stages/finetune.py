"""Fine-tuning: a classifier trained on labels, with its predictions for every row that anyone will ask for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Self

from pydantic import NonNegativeInt, PositiveFloat, SerializeAsAny, model_validator

from outshine.engine.checked_reading import Columns, read_table
from outshine.engine.errors import OutshineError, SettingsError, StoreError, TrainingError
from outshine.engine.key import digest
from outshine.engine.process_group import processes_in
from outshine.engine.stage import Context, Cost
from outshine.learn.losses.base import Loss
from outshine.learn.losses.xent import Xent
from outshine.learn.settings import TrainingSettings
from outshine.learn.spec import ClassifierSpec, Full
from outshine.w2s.stages.keep import Keep
from outshine.w2s.stages.labels import GroundTruth, LabelSource, WeakLabelSource, labels_of
from outshine.w2s.stages.predictor import PREDICTIONS, SUMMARY, Predictor, predicted_splits
from outshine.w2s.stages.prepare import MOST_UNKNOWN, tokenized

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from outshine.engine.progress import Progress
    from outshine.engine.store.store import Store
    from outshine.learn.classifier import Classifier, Cohort, Model
    from outshine.learn.loop import LabelledRows, RunEnv, TrainConfig, TrainResult, Validation
    from outshine.learn.model_checks import Sharing
    from outshine.w2s.cost import Estimator

CURVE = "curve.parquet"
CURVE_COLUMNS: Columns = dict.fromkeys(("step", "loss", "grad_norm", "learning_rate", "val_auroc"), "number")


class TrainData(NamedTuple):
    """The texts that the members of a cohort see, and the labels that each learns from."""

    frame: pd.DataFrame  # all texts with their tokens
    pad_id: int
    train: list[LabelledRows]  # by member, like `val` and `notes`
    val: list[Validation]
    notes: list[list[str]]


class Finetune(Predictor):
    """One fine-tuning run. Its predictions can be the weak labels of another.

    Writes `predictions.parquet` (id, split, the task's scores and labels, of a binary one log_odds and p; splits
    strong_train, val and test; test is predicted once, after training), `curve.parquet` (one row an update),
    `summary.json`, the adapter in PEFT's format and the head (`head.safetensors`), or the whole model after full
    fine-tuning.
    """

    VERSION: ClassVar[int] = 1
    SUMMARISED: ClassVar[dict[str, type]] = {**Predictor.SUMMARISED, "updates": int, "chosen_update": int}
    trains: ClassVar[bool] = True

    classifier: ClassifierSpec
    train_split: Literal["weak_train", "strong_train"]
    learning_rate: PositiveFloat
    training: TrainingSettings
    seed: NonNegativeInt  # head, adapters and batch order; each from a stream of its own

    def label_source(self) -> LabelSource:
        """Where the labels of the training split and of val come from."""
        raise TypeError(f"{type(self).__name__} names no labels")

    def train_loss(self) -> Loss:
        """The loss of the training rows."""
        return Xent()

    def dropped(self, store: Store) -> frozenset[str]:
        """Ids of rows of the training split and val that are left out of training and validation."""
        return frozenset()

    def cost(self, estimator: Estimator) -> Cost:
        return estimator.fine_tuning(self)

    @property
    def base_model(self) -> str:
        return self.classifier.model.identity

    @property
    def batch_group_key(self) -> str | None:
        """Base, texts, rows, their order and the schedule; None: full fine-tuning shares nothing."""
        if isinstance(self.classifier.tuning, Full):
            return None
        training = self.training
        schedule = [training.epochs, training.batch_size, training.eval_every]
        return digest([self.classifier, self.texts, self.train_split, self.seed, self.row_filter(), schedule])

    @classmethod
    def run_together(
        cls, stages: Sequence[Self], contexts: Sequence[Context], work: Path
    ) -> list[OutshineError | None]:
        """A cohort: one pass through the frozen base serves all. `work` keeps the checkpoint that all share.

        Where the architecture does not keep the rows of a batch apart, the members are trained one after the other;
        where not all of them fit into memory, in two halves.
        """
        from outshine.learn.batches import suitable_threads
        from outshine.learn.device import pick_device
        from outshine.learn.model_cache import cohort
        from outshine.learn.out_of_memory import TooLittleMemoryError, give_back_memory

        if len(stages) == 1:
            return [_train_one(stages[0], contexts[0])]
        first, context, processes = stages[0], contexts[0], processes_in(contexts[0].memory)
        device, seeds = pick_device(context.runtime), [stage.seed for stage in stages]
        try:
            with (
                cohort(first.classifier, seeds, device, context.memory, first.texts.task) as members,
                suitable_threads(context.runtime, members.head),
            ):
                if processes.broadcast(members.separates()):
                    return _train_members(members, stages, contexts, work)
        except TooLittleMemoryError:
            if processes.size > 1:
                raise
        else:
            note = f"{first.classifier.name} mixes the rows of a batch: its models are trained one by one"
            context.progress.note(note)
            return [_train_one(stage, own) for stage, own in zip(stages, contexts, strict=True)]
        give_back_memory()
        context.progress.note(
            f"{first.classifier.name}: {len(stages)} models at once do not fit into memory; they are trained in halves"
        )
        half = len(stages) // 2
        return [
            *cls.run_together(stages[:half], contexts[:half], work / "first-half"),
            *cls.run_together(stages[half:], contexts[half:], work / "second-half"),
        ]

    def check_shared(self) -> None:
        if isinstance(self.classifier.tuning, Full):
            from outshine.learn.load import FULL

            raise SettingsError(f"{self.label}: {FULL}")

    def row_filter(self) -> Keep | None:
        """What decides which rows are left out; None: all are kept."""
        return None

    @property
    def label(self) -> str:
        where = f"{self.texts.origin.name} {self.train_split}"
        return f"{self.classifier.name} on {where}, {self._label_words()}, seed {self.seed}"

    def _label_words(self) -> str:
        """What it is trained on and how, for people."""
        return self.label_source().kind

    def run(self, context: Context) -> None:
        with self.fresh_classifier(context) as model:
            (error,) = _train_members(model, [self], [context], context.work)
        if error is not None:
            raise error

    @contextmanager
    def fresh_classifier(self, context: Context) -> Iterator[Classifier]:
        """Give the classifier as it is before its first update."""
        from outshine.learn.batches import suitable_threads
        from outshine.learn.device import pick_device
        from outshine.learn.model_cache import classifier

        device = pick_device(context.runtime)
        with (
            classifier(self.classifier, self.seed, device, context.memory, self.texts.task) as model,
            suitable_threads(context.runtime, model.head),
        ):
            yield model

    def read_curve(self, store: Store) -> pd.DataFrame:
        """Columns step, loss, grad_norm, learning_rate, val_auroc, an update a row; `chosen` marks the one kept."""

        curve, summary = read_table(store, self.key, CURVE, CURVE_COLUMNS), self.summary(store)
        if curve["step"].tolist() != [*range(1, summary["updates"] + 1)]:
            raise StoreError(f"artefact {self.key[:16]}: {CURVE} has not the {summary['updates']} updates of {SUMMARY}")
        return curve.assign(chosen=curve["step"] == summary["chosen_update"])

    def run_env(self, context: Context, pad_id: int) -> RunEnv:
        """Where it is computed; the checkpoint lies in the context's work folder."""
        from outshine.learn.loop import RunEnv

        return RunEnv(
            context.runtime,
            pad_id,
            context.work / "checkpoint.safetensors",
            lambda done, of: context.progress.advance(done, of, "examples"),
            note=lambda message: context.progress.note(f"{self.label}: {message}"),
        )

    def train_config(self) -> TrainConfig:
        """Loss, settings, learning rate and seed."""
        from outshine.learn.loop import TrainConfig

        return TrainConfig(self.train_loss(), self.training, self.learning_rate, self.seed)

    def rows(self, frame: pd.DataFrame, store: Store) -> tuple[LabelledRows, Validation, list[str]]:
        """Training rows and val with their labels, joined by id."""
        import torch

        from outshine.learn.loop import LabelledRows, Validation

        source = self.label_source()
        labels = source.read_labels(store)
        frame = frame[~frame["id"].isin(self.dropped(store))]
        train, val = frame[frame["split"] == self.train_split], frame[frame["split"] == "val"]
        train_ids = train["id"].tolist()
        y = labels_of(labels, train_ids, self.train_split).to_numpy(copy=True)
        p_val = labels_of(labels, val["id"].tolist(), "val").to_numpy(copy=True)
        chosen = self.texts.task.selection(p_val, isinstance(source, GroundTruth), self.training.val_metric)
        rows = LabelledRows(train_ids, train["tokens"].tolist(), y)
        notes = [*([chosen.note] if chosen.note else []), *self.train_loss().notes(torch.as_tensor(y))]
        return rows, Validation(val["tokens"].tolist(), chosen.score), notes

    def write(
        self,
        model: Classifier,
        data: TrainData,
        member: int,
        trained: TrainResult,
        scores: np.ndarray,
        context: Context,
    ) -> None:
        """Write the artefact's files of one member. `scores` [n, …]: of the rows that are predicted."""
        import pandas as pd

        from outshine.learn.saved_models import save_classifier

        notes, frame, train = data.notes[member], data.frame, data.train[member]
        shortened = {str(split): int(rows["shortened"].sum()) for split, rows in frame.groupby("split")}
        if sum(shortened.values()):
            share = sum(shortened.values()) / len(frame)
            notes = [*notes, f"{share:.1%} of the texts were shortened to {self.classifier.max_length} tokens"]
        unknown = float(frame["unknown"].mean())
        if unknown >= MOST_UNKNOWN:
            name = self.classifier.model.name
            notes = [
                *notes,
                f"{unknown:.1%} of the tokens are unknown to the tokenizer of {name}: it cannot read the texts",
            ]
        for note in notes:
            context.progress.note(f"{self.label}: {note}")
        summary = {
            "updates": len(trained.curve),
            "chosen_update": trained.chosen_step,
            "shortened": shortened,
            "unknown_tokens": unknown,
            "train_rows": len(train.ids),
            "train_tokens": sum(map(len, train.tokens)),
            "notes": notes,
        }
        rows = predicted_rows(frame)[["id", "split"]]
        predictions = pd.concat([rows, pd.DataFrame(self.texts.task.predicted(scores), index=rows.index)], axis=1)
        predictions.to_parquet(context.folder / PREDICTIONS, index=False)
        pd.DataFrame(trained.curve).to_parquet(context.folder / CURVE, index=False)
        (context.folder / SUMMARY).write_text(json.dumps(summary, indent=1), encoding="utf-8")
        save_classifier(model, context.folder)


def check_backbone(model: Classifier | Cohort, frame: pd.DataFrame, context: Context) -> list[str]:
    """Try out which texts may share a batch on the base; the model knows it from then on. Returns notes."""
    from outshine.learn.model_checks import APART
    from outshine.learn.packing import settle_sharing
    from outshine.learn.tokenize import longest_text

    sharing: Sharing = settle_sharing(model, longest=longest_text(frame["tokens"]))
    model.sharing = processes_in(context.memory).broadcast(sharing)
    return [note for note in (model.frozen_note(), APART.get(model.sharing, "")) if note]


def choose_batches(model: Classifier | Cohort, frame: pd.DataFrame, context: Context) -> None:
    """Have texts packed where the runtime asks for it, or says nothing and it pays; on a GPU, use CUDA graphs.

    Where packing was asked for and the model does not give packed texts the same log-odds there is a note.
    """
    from outshine.learn.batches import is_compute_bound
    from outshine.learn.cuda_graphs import use_cuda_graphs
    from outshine.learn.distributed import processes_of
    from outshine.learn.packing import start_packing
    from outshine.learn.tokenize import longest_text

    runtime, processes, longest = context.runtime, processes_of(model), longest_text(frame["tokens"])
    if runtime.packing is None:
        pays = model.device.type == "cuda" or (model.device.type == "cpu" and is_compute_bound(model.head))
        if processes.size == 1 and pays:
            start_packing(model, longest=longest, dense=False)
    elif runtime.packing and processes.size > 1:
        context.progress.note("several processes share the model: texts are padded, not packed")
    elif runtime.packing and not start_packing(model, longest=longest):
        context.progress.note(
            f"{model.spec.name} gives packed texts other log-odds than padded ones, or takes none: they are padded"
        )
    if runtime.cuda_graphs and processes.size == 1 and not runtime.gradient_checkpointing:
        use_cuda_graphs(model, context.progress.note)


def predicted_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that every fine-tuning predicts."""
    return frame[frame["split"].isin(predicted_splits(frame["split"]))]


def predict_rows(model: Model, frame: pd.DataFrame, run_env: RunEnv, updates: int, progress: Progress) -> np.ndarray:
    """Return the scores [m, n, …] that each member gives to these rows after all updates; they may not be finite."""
    from outshine.learn.loop import predict_fitting

    tokens = predicted_rows(frame)["tokens"].tolist()
    return predict_fitting(model, tokens, run_env, updates, lambda done, of: progress.advance(done, of, "predictions"))


class Supervised(Finetune):
    """A run on ground truth: the weak supervisor (weak_train) or the strong ceiling (strong_train). Always xent."""

    stage: ClassVar[str] = "supervised"

    labels: GroundTruth

    @property
    def truth_split(self) -> str | None:
        return self.train_split

    def label_source(self) -> LabelSource:
        return self.labels

    @property
    def plan_row(self) -> tuple[int, str]:
        return (3, "supervisors") if self.train_split == "weak_train" else (4, "ceilings")

    def _label_words(self) -> str:
        return "ground truth"


class Student(Finetune):
    """A run on weak labels, with any loss, on all rows or those that a filter kept. Ground truth is refused by type."""

    VERSION: ClassVar[int] = 2
    stage: ClassVar[str] = "student"

    labels: SerializeAsAny[WeakLabelSource]
    loss: SerializeAsAny[Loss]
    keep: Keep | None = None

    @model_validator(mode="after")
    def _never_from_its_own_truth(self) -> Student:
        """What learned the ground truth of the student's own rows (a ceiling) is nowhere among its inputs."""
        if self.train_split in self.truths_behind:
            raise ValueError(f"labels of a model trained on the ground truth of {self.train_split} itself")
        return self

    def label_source(self) -> LabelSource:
        return self.labels

    @property
    def plan_row(self) -> tuple[int, str]:
        return 8, "students"

    def train_loss(self) -> Loss:
        return self.loss

    def row_filter(self) -> Keep | None:
        return self.keep

    def dropped(self, store: Store) -> frozenset[str]:
        return self.keep.dropped(store) if self.keep else frozenset()

    def _label_words(self) -> str:
        who = self.labels.classifier.name if isinstance(self.labels, Finetune) else self.labels.kind
        kept = f" kept by {self.keep.filter.kind}" if self.keep else ""
        return f"labels of {who}{kept}, {self.loss.kind}"


def train_data(model: Classifier | Cohort, stages: Sequence[Finetune], context: Context) -> TrainData:
    """Read the texts and each member's labels, and find out how texts share a batch."""
    first = stages[0]
    spec = first.classifier
    frame, pad_id = tokenized(first.texts, spec.model, spec.max_length, context.store, context.memory)
    of_base = check_backbone(model, frame, context)
    choose_batches(model, frame, context)
    train, val, notes = zip(*(stage.rows(frame, context.store) for stage in stages), strict=True)
    return TrainData(frame, pad_id, [*train], [*val], [[*own, *of_base] for own in notes])


def _train_members(
    model: Classifier | Cohort, stages: Sequence[Finetune], contexts: Sequence[Context], work: Path
) -> list[OutshineError | None]:
    """Train a classifier, or the members of a cohort in one pass, and write what each gives; returns their errors."""
    from outshine.learn.batches import check_finite
    from outshine.learn.loop import TrainJob, finetune_together

    context = contexts[0]
    data = train_data(model, stages, context)
    run_env = stages[0].run_env(context._replace(work=work), data.pad_id)
    configs = [stage.train_config() for stage in stages]
    results = finetune_together(model, list(map(TrainJob, data.train, data.val, configs)), run_env)
    trained = [result for result in results if not isinstance(result, TrainingError)]
    if not trained:
        return [result for result in results if isinstance(result, TrainingError)]
    updates = max(len(result.curve) for result in trained)
    log_odds = predict_rows(model, data.frame, run_env, updates, context.progress)
    errors: list[OutshineError | None] = []
    for i, (stage, result) in enumerate(zip(stages, results, strict=True)):
        try:
            if isinstance(result, TrainingError):
                raise result
            check_finite(log_odds[i])
            with model.alone(i) as member:
                stage.write(member, data, i, result, log_odds[i], contexts[i])
            errors.append(None)
        except TrainingError as error:
            errors.append(error)
    return errors


def _train_one(stage: Finetune, context: Context) -> OutshineError | None:
    try:
        stage.run(context)
    except TrainingError as error:
        return error
    return None
