"""`outshine label`: its settings, and its run: deal rows to folds, train a student for each, read the predictions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, field_validator

from outshine.data.user_datasets import file_sha256
from outshine.data.user_tables import plain_name
from outshine.engine.errors import OutshineError, SettingsError
from outshine.engine.files import absolute_path
from outshine.engine.process_group import ONE_PROCESS
from outshine.engine.progress import Progress, Silent
from outshine.engine.run.executors import LocalWorkers, Workers, executor
from outshine.engine.run.local import LocalExecutor
from outshine.engine.run.worker_process import WorkerJob
from outshine.engine.runtime import Runtime
from outshine.engine.settings import Settings, explain, setting_names
from outshine.engine.stage import Cost, Stage, in_order
from outshine.engine.store.recorded_studies import record_study
from outshine.engine.store.store import Store
from outshine.labelling.folds import Fold, FoldPlan, FoldTrainingLabels
from outshine.labelling.results import LabelResults, read_label_results
from outshine.labelling.rows import NUM_TO_JUDGE, Columns, read_labelled, read_trusted
from outshine.learn.device import pick_device, resolve_dtype
from outshine.learn.known_models import Shape
from outshine.learn.losses.xent import Xent
from outshine.learn.resolve import ResolvedModel, resolve
from outshine.learn.settings import TrainingSettings
from outshine.learn.spec import ComputeDtype, ModelSettings
from outshine.w2s.compute_study import check_models
from outshine.w2s.cost import Estimator, Speed, speed_here, work_of
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


class LabelResolution(NamedTuple):
    """The choices that a labelling leaves open, made."""

    labeller: LabelSettings  # fully resolved: running it again makes the same keys
    strong: ResolvedModel
    plan: FoldPlan
    folds: tuple[Fold, ...]


def parse_label_settings(raw: dict[str, Any]) -> LabelSettings:
    """Return the labelling that raw settings describe, named after its file. Raises SettingsError in one line."""
    named = {"name": default_name(str(raw.get("path", ""))), **raw}
    try:
        return LabelSettings(**named)
    except ValidationError as error:
        raise explain(error, "label", known=setting_names(LabelSettings)) from None


def default_name(path: str) -> str:
    """`label-` and the file's name, with other characters than a name may have replaced."""
    return ("label-" + re.sub(r"[^A-Za-z0-9._-]+", "-", plain_name(path)))[:64]


def resolve_label_settings(labeller: LabelSettings) -> LabelResolution:
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
    return LabelResolution(exact, strong, plan, folds)


def students(resolution: LabelResolution, store: Store) -> tuple[Student, ...]:
    """Return one student a fold, in their order. The folds must be finished."""
    labeller, strong = resolution.labeller, resolution.strong
    return tuple(
        Student(
            classifier=strong.spec,
            texts=Texts.of(fold, store),
            train_split="strong_train",
            learning_rate=strong.learning_rate,
            training=labeller.training,
            seed=labeller.seed,
            labels=FoldTrainingLabels.of(fold, store),
            loss=labeller.loss,
        )
        for fold in resolution.folds
    )


def refuse_labelling(document: Any, what: str) -> None:
    """Raise SettingsError where a recorded study is a labelling, which `what` cannot do anything with."""
    if document.get("command") == "label":
        raise SettingsError(
            f"'{document.get('name')}' is a labelling, no study, and `{what}` takes studies; "
            f"run it again with `outshine label {Path(str(document.get('path'))).name}`"
        )


class LabelRun(NamedTuple):
    """A labelling that ran: what it was resolved to and what it found."""

    resolution: LabelResolution
    labelling: LabelResults


class LabelPlan(NamedTuple):
    """The stages of a labelling in the order of their computation, whether the store has each, and what each costs."""

    stages: list[Stage]
    cached: list[bool]
    costs: list[Cost]
    notes: list[str]
    here: Speed | None = None  # how quickly this machine would compute it; None where nothing is to do

    @property
    def to_do(self) -> Cost:
        """Rows, tokens and FLOPs of all stages that the store lacks."""
        lacking = [cost for cost, cached in zip(self.costs, self.cached, strict=True) if not cached]
        return Cost(*(sum(getattr(cost, name) or 0 for cost in lacking) for name in Cost._fields))


def run_label(labeller: LabelSettings, store: Store, progress: Progress | None = None) -> LabelRun:
    """Compute what the store lacks and read the result. Raises OutshineError for what a user can mend."""
    progress = progress or Silent()
    resolution = resolve_label_settings(labeller)
    for note in resolution.strong.notes:
        progress.note(note)
    record_study(resolution.labeller, resolution.folds, store, progress, ONE_PROCESS)
    LocalExecutor(store, labeller.runtime, progress).run(resolution.folds)
    trained = students(resolution, store)
    work = work_of(trained, [resolution.strong], store, checkpointed=labeller.runtime.gradient_checkpointing)
    record_study(
        resolution.labeller, [*resolution.folds, *trained], store, progress, ONE_PROCESS, expanded=True, work=work
    )
    job = WorkerJob(stages_of, resolution.labeller)
    compute = executor(labeller.executor, store, labeller.runtime, progress, job, work)
    check_models(compute.missing(trained), labeller.runtime)
    compute.run(trained)
    of_students = [
        f"fold {fold}: {note}" for fold, student in enumerate(trained, 1) for note in student.summary(store)["notes"]
    ]
    notes = [*resolution.strong.notes, *of_students]
    results = read_label_results(resolution.plan, trained, notes, store, labeller.judge)
    return LabelRun(resolution, results)


def stages_of(resolved: dict[str, Any], store: Store) -> tuple[Student, ...]:
    """Return the students of a resolved labelling whose folds are dealt, as a worker process finds them."""
    return students(resolve_label_settings(parse_label_settings(resolved)), store)


def plan_label(labeller: LabelSettings, store: Store, progress: Progress | None = None) -> LabelPlan:
    """Return what a labelling would compute. It deals the rows to folds (keys depend on them); it trains nothing."""
    resolution = resolve_label_settings(labeller)
    LocalExecutor(store, labeller.runtime, progress or Silent()).run(resolution.folds)
    stages = in_order([*resolution.folds, *students(resolution, store)])
    lacking = set(store.lacking([stage.key for stage in stages]))
    notes = list(resolution.strong.notes)
    spec = resolution.strong.spec
    estimator = Estimator(
        store,
        {spec.model.identity: _shape(resolution, notes)},
        lambda stage: stage.key in lacking,
        checkpointed=labeller.runtime.gradient_checkpointing,
    )
    costs = estimator.costs(stages)
    cached, notes = [stage.key not in lacking for stage in stages], [*notes, *estimator.notes]
    planned = LabelPlan(stages, cached, costs, notes)
    return planned._replace(here=speed_here(labeller.runtime, spec.compute_dtype)) if planned.to_do.flops else planned


def _shape(resolution: LabelResolution, notes: list[str]) -> Shape | None:
    from outshine.learn.structure import shape_of

    try:
        return shape_of(resolution.strong.spec)
    except OutshineError as error:
        notes.append(f"the size of {resolution.strong.spec.name} is unknown, FLOPs leave it out ({error})")
        return None
