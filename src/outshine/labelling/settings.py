"""Settings of a labelling: a file with weak labels and a strong model, as one value that YAML can hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, field_validator

from outshine.data.user_datasets import file_sha256
from outshine.data.user_tables import plain_name
from outshine.engine.errors import SettingsError
from outshine.engine.files import absolute_path
from outshine.engine.run.workers import LocalWorkers, Workers
from outshine.engine.runtime import Runtime
from outshine.engine.settings import Settings, explain, setting_names
from outshine.engine.store.store import Store
from outshine.labelling.folds import Fold, FoldLabels, FoldPlan
from outshine.labelling.rows import NUM_TO_JUDGE, Columns, read_labelled, read_trusted
from outshine.learn.device import pick_device, resolve_dtype
from outshine.learn.losses.xent import Xent
from outshine.learn.resolve import Resolved, resolve
from outshine.learn.settings import TrainingSettings
from outshine.learn.spec import ComputeDtype, ModelSettings
from outshine.w2s.expand import pinned_model
from outshine.w2s.methods.base import LossChoice
from outshine.w2s.stages.finetune import Student
from outshine.w2s.stages.prepare import Texts

MOST_FOLDS = 50


class LabelSettings(Settings):
    """Everything that the result of `outshine label` depends on."""

    command: Literal["label"] = "label"
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="how the store calls it")
    path: str = Field(min_length=1, description="the file with texts and cheap labels")
    columns: Columns = Columns()
    trusted: str | None = Field(default=None, description="a file of rows with true labels, a few are enough")
    strong: ModelSettings = Field(description="the student's model")
    loss: LossChoice = Field(default=Xent(), description="the student's loss")
    limit: PositiveInt | None = Field(default=None, description="rows drawn at random from the file; null: all")
    folds: int = Field(default=5, ge=2, le=MOST_FOLDS, description="students; each row is predicted by one of them")
    val_share: float = Field(default=0.1, gt=0, lt=0.5, description="of a student's rows, to choose its weights on")
    judge: int = Field(default=NUM_TO_JUDGE, ge=10, description="rows drawn at random for you to judge, at first")
    seed: NonNegativeInt = Field(default=0, description="heads, adapters, batch order")
    training: TrainingSettings = TrainingSettings()
    compute_dtype: Literal["auto"] | ComputeDtype = Field(default="auto", description="auto: bf16 where it is fast")
    runtime: Runtime = Runtime()
    executor: Workers = LocalWorkers()

    @field_validator("strong", mode="before")
    @classmethod
    def _model_by_name(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value


class Resolution(NamedTuple):
    """The choices that a labelling leaves open, made."""

    labeller: LabelSettings  # fully resolved: running it again makes the same keys
    strong: Resolved
    plan: FoldPlan
    folds: tuple[Fold, ...]


def parse_label_settings(raw: dict[str, Any]) -> LabelSettings:
    """The labelling that raw settings describe, named after its file. Raises SettingsError in one line."""
    named = {"name": default_name(str(raw.get("path", ""))), **raw}
    try:
        return LabelSettings(**named)
    except ValidationError as error:
        raise explain(error, "label", known=setting_names(LabelSettings)) from None


def default_name(path: str) -> str:
    """`label-` and the file's name, with other characters than a name may have replaced."""
    return ("label-" + re.sub(r"[^A-Za-z0-9._-]+", "-", plain_name(path)))[:64]


def resolve_label_settings(labeller: LabelSettings) -> Resolution:
    """Make every open choice and read the user's files once, so that what is wrong with them shows at once.

    Asks the hub (or its cache) for the model's commit; loads no weights. Raises OutshineError.
    """
    table = read_labelled(labeller.path, labeller.columns, labeller.limit)
    if labeller.trusted is not None:
        read_trusted(labeller.trusted, labeller.columns, table)
    dtype = resolve_dtype(labeller.compute_dtype, pick_device(labeller.runtime))
    strong = resolve(labeller.strong, dtype)
    trusted = labeller.trusted
    plan = FoldPlan(
        name=labeller.name,
        path=labeller.path,
        digest=file_sha256(labeller.path),
        columns=labeller.columns,
        num_folds=labeller.folds,
        limit=labeller.limit,
        trusted_path=trusted,
        trusted_digest=None if trusted is None else file_sha256(trusted),
    )
    folds = tuple(
        Fold(
            name=f"{labeller.name}, fold {number + 1} of {labeller.folds}",
            plan=plan,
            number=number,
            val_share=labeller.val_share,
        )
        for number in range(labeller.folds)
    )
    exact = labeller.model_copy(
        update={
            "path": str(absolute_path(labeller.path)),
            "trusted": None if trusted is None else str(absolute_path(trusted)),
            "strong": pinned_model(labeller.strong, strong),
            "compute_dtype": dtype,
        }
    )
    return Resolution(exact, strong, plan, folds)


def students(resolution: Resolution, store: Store) -> tuple[Student, ...]:
    """One student a fold, in their order. The folds must be finished."""
    labeller, strong = resolution.labeller, resolution.strong
    return tuple(
        Student(
            classifier=strong.spec,
            texts=Texts.of(fold, store),
            train_split="strong_train",
            learning_rate=strong.learning_rate,
            training=labeller.training,
            seed=labeller.seed,
            labels=FoldLabels.of(fold, store),
            loss=labeller.loss,
        )
        for fold in resolution.folds
    )


def refuse_labelling(document: Any, what: str) -> None:
    """Raises SettingsError where a recorded study is a labelling, which `what` cannot do anything with."""
    if document.get("command") == "label":
        raise SettingsError(
            f"'{document.get('name')}' is a labelling, no study, and `{what}` takes studies; "
            f"run it again with `outshine label {Path(str(document.get('path'))).name}`"
        )
