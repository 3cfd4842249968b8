"""`outshine label`: its settings, and its run: deal rows to folds, cross-fit a student, read what it predicts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, field_validator, model_validator
from scipy.special import logit

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
from outshine.engine.settings import Settings, explain, setting_paths
from outshine.engine.stage import Cost, Stage, in_order
from outshine.engine.store.recorded_studies import record_study
from outshine.engine.store.store import Store
from outshine.labelling.folds import Fold, FoldPlan, FoldTrainingLabels
from outshine.labelling.probe import (
    FileTexts,
    PrincipalAxes,
    ProbeStudent,
    principal_axes,
    principal_columns,
    read_embeddings,
)
from outshine.labelling.results import LabelResults, StudentPredictions, out_of_fold, read_label_results
from outshine.labelling.rows import (
    NUM_TO_JUDGE,
    Columns,
    probs_columns,
    read_labelled,
    read_trusted,
    resolve_classes,
)
from outshine.labelling.saved_student import LinearStudent
from outshine.learn.device import pick_device, resolve_dtype
from outshine.learn.known_models import Shape, learning_rate
from outshine.learn.losses.xent import Xent
from outshine.learn.resolve import ResolvedModel, resolve
from outshine.learn.settings import TrainingSettings
from outshine.learn.spec import ComputeDtype, Full, Head, LoRA, ModelSettings
from outshine.w2s.compute_study import check_models
from outshine.w2s.cost import Estimator, Speed, speed_here, work_of
from outshine.w2s.expand import pinned_model
from outshine.w2s.methods.base import LossChoice
from outshine.w2s.stages.activations import Activations
from outshine.w2s.stages.finetune import Student
from outshine.w2s.stages.prepare import Texts

MOST_FOLDS = 50

StudentKind = Literal["probe", "lora", "head", "full"]
_TUNINGS = {"lora": LoRA, "head": Head, "full": Full}
CERTAIN = 1e-12  # a user's probabilities are kept this far from 0 and 1


class LabelSettings(Settings):
    """Everything that the result of `outshine label` depends on."""

    command: Literal["label"] = "label"
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="how the store calls it")
    path: str = Field(min_length=1, description="the file with texts and cheap labels")
    columns: Columns = Columns()
    trusted: str | None = Field(default=None, description="a file of rows with true labels, a few are enough")
    strong: ModelSettings | None = Field(default=None, description="the student's model; null with columns.probs")
    student: StudentKind = Field(
        default="probe", description="probe: a regression on frozen embeddings, in seconds; or what is fine-tuned"
    )
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

    @model_validator(mode="after")
    def _one_student(self) -> LabelSettings:
        if self.strong is None and self.columns.probs is None:
            raise SettingsError(
                "a student is needed: a model's (--strong MODEL) or your own probabilities (--probs COLUMN)"
            )
        if self.strong is not None and self.columns.probs is not None:
            raise SettingsError("one student is enough: leave out --strong, or --probs")
        return self

    @property
    def trains(self) -> bool:
        """Whether students are fine-tuned, beside the probe."""
        return self.student != "probe"

    @property
    def tuned(self) -> ModelSettings:
        """The student's model with the tuning that `student` names."""
        assert self.strong is not None
        kind = _TUNINGS.get(self.student)
        if kind is None or isinstance(self.strong.tuning, kind):
            return self.strong
        return self.strong.model_copy(update={"tuning": kind()})


class LabelResolution(NamedTuple):
    """The choices that a labelling leaves open, made."""

    labeller: LabelSettings  # fully resolved: running it again makes the same keys
    requested: ModelSettings  # the model as it was asked for
    strong: ResolvedModel
    plan: FoldPlan
    folds: tuple[Fold, ...]

    @property
    def notes(self) -> list[str]:
        """What people should know about the choices; of the learning rate only where something is trained."""
        rate = None if self.labeller.trains else learning_rate(self.requested, self.strong.num_parameters).note
        return [note for note in self.strong.notes if note != rate]


def parse_label_settings(raw: dict[str, Any]) -> LabelSettings:
    """Return the labelling that raw settings describe, named after its file. Raises SettingsError in one line."""
    named = {"name": default_name(str(raw.get("path", ""))), **raw}
    try:
        return LabelSettings(**named)
    except ValidationError as error:
        raise explain(error, "label", known=setting_paths(LabelSettings)) from None


def default_name(path: str) -> str:
    """`label-` and the file's name, with other characters than a name may have replaced."""
    return ("label-" + re.sub(r"[^A-Za-z0-9._-]+", "-", plain_name(path)))[:64]


def resolve_label_settings(labeller: LabelSettings) -> LabelResolution:
    """Make every open choice and read the user's files once, so that what is wrong with them shows at once.

    For a labelling with a model. Asks the hub (or its cache) for the model's commit; loads no weights. Raises
    OutshineError.
    """
    plan = _plan(labeller)
    if labeller.trains and not plan.task.works_with(labeller.loss.outcomes):
        able = " and ".join(labeller.loss.outcomes)
        raise SettingsError(f"'{labeller.loss.kind}' works with {able} labels only, and these are {plan.task.outcome}")
    dtype = resolve_dtype(labeller.compute_dtype, pick_device(labeller.runtime))
    strong = resolve(labeller.tuned, dtype)
    folds = tuple(
        Fold(
            name=f"{labeller.name}, fold {number + 1} of {labeller.folds}",
            task=plan.task,
            plan=plan,
            number=number,
            val_share=labeller.val_share,
        )
        for number in range(labeller.folds)
    )
    exact = _exact(labeller, plan).model_copy(
        update={
            "strong": pinned_model(labeller.tuned, strong),
            "compute_dtype": dtype,
        }
    )
    return LabelResolution(exact, labeller.tuned, strong, plan, folds)


def _plan(labeller: LabelSettings) -> FoldPlan:
    """Read the user's files once, and return how their rows are to be dealt to folds."""
    columns = resolve_classes(labeller.path, labeller.columns)
    table = read_labelled(labeller.path, columns, labeller.limit)
    trusted = labeller.trusted
    if trusted is not None:
        read_trusted(trusted, columns, table)
    return FoldPlan(
        name=labeller.name,
        path=labeller.path,
        digest=file_sha256(labeller.path),
        columns=columns,
        num_folds=labeller.folds,
        limit=labeller.limit,
        trusted_path=trusted,
        trusted_digest=None if trusted is None else file_sha256(trusted),
    )


def _exact(labeller: LabelSettings, plan: FoldPlan) -> LabelSettings:
    """Return the settings with whole paths and with the classes that the file has."""
    trusted = None if labeller.trusted is None else str(absolute_path(labeller.trusted))
    whole = {"path": str(absolute_path(labeller.path)), "trusted": trusted, "columns": plan.columns}
    return labeller.model_copy(update=whole)


def probe_of(resolution: LabelResolution, store: Store) -> ProbeStudent:
    """Return the probe on frozen embeddings of the model's last layer. The plan and `texts_of` must be finished."""
    spec = resolution.strong.spec
    activations = Activations(
        model=spec.model,
        num_layers=spec.num_layers,
        pooling=spec.pooling,
        max_length=spec.max_length,
        compute_dtype=spec.compute_dtype,
        texts=Texts.of(texts_of(resolution), store),
        layer=spec.num_layers,
    )
    return ProbeStudent(activations=activations, plan=resolution.plan)


def texts_of(resolution: LabelResolution) -> FileTexts:
    """Return the texts that the model reads once."""
    return FileTexts(name=resolution.labeller.name, plan=resolution.plan)


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
    """A labelling that ran: its settings and what it found.

    `first`: what the probe found, where students were fine-tuned after it.
    """

    labeller: LabelSettings  # fully resolved
    labelling: LabelResults
    first: LabelResults | None = None
    resolution: LabelResolution | None = None  # of the model; None where the user brought probabilities
    student: LinearStudent | None = None  # for new texts; None where students were fine-tuned, or probabilities brought


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


def run_label(
    labeller: LabelSettings,
    store: Store,
    progress: Progress | None = None,
    first: Callable[[LabelResults], None] | None = None,
) -> LabelRun:
    """Compute what the store lacks and read the result. Raises OutshineError for what a user can mend.

    `first` is called with what the probe finds, before any student is fine-tuned.
    """
    progress = progress or Silent()
    if labeller.strong is None:
        return _with_given_probabilities(labeller, store, progress)
    resolution = resolve_label_settings(labeller)
    for note in resolution.notes:
        progress.note(note)
    texts = texts_of(resolution)
    record_study(resolution.labeller, [texts], store, progress, ONE_PROCESS)
    local = LocalExecutor(store, labeller.runtime, progress)
    local.run([texts])
    probe = probe_of(resolution, store)
    if not labeller.trains:
        record_study(resolution.labeller, [texts, probe], store, progress, ONE_PROCESS, expanded=True)
    local.run([probe])
    predicted, axes = _by_probe(probe, resolution, store)
    found = read_label_results(resolution.plan, predicted, store, labeller.judge)
    if not labeller.trains:
        ladder = found.ladder
        of_text, way = (ladder.of_text, ladder.recommended) if ladder is not None else (None, "student")
        student = LinearStudent.of(probe, axes, of_text, found.spelling, way, store)
        return LabelRun(resolution.labeller, found, resolution=resolution, student=student)
    if first is not None:
        first(found)
    return LabelRun(resolution.labeller, _by_students(resolution, probe, store, progress), found, resolution)


def _with_given_probabilities(labeller: LabelSettings, store: Store, progress: Progress) -> LabelRun:
    """Take the user's probabilities for the student's; nothing is trained."""
    plan = _plan(labeller)
    exact = _exact(labeller, plan)
    record_study(exact, [plan], store, progress, ONE_PROCESS, expanded=True)
    LocalExecutor(store, labeller.runtime, progress).run([plan])
    placed = plan.read(store)
    columns = probs_columns(plan.task)
    probs = plan.table().frame[columns[0] if len(columns) == 1 else columns].to_numpy(dtype=float)
    row = placed["row"].to_numpy()
    p = np.clip(probs[row], CERTAIN, 1 - CERTAIN)
    p[row < 0] = np.nan
    scores = logit(p) if p.ndim == 1 else np.log(p)
    given = StudentPredictions(dict(zip(placed["id"], scores, strict=True)), "given")
    return LabelRun(exact, read_label_results(plan, given, store, labeller.judge))


def _by_students(resolution: LabelResolution, probe: ProbeStudent, store: Store, progress: Progress) -> LabelResults:
    """Fine-tune a student for each fold and read what they predict."""
    labeller = resolution.labeller
    LocalExecutor(store, labeller.runtime, progress).run(resolution.folds)
    trained = students(resolution, store)
    work = work_of(trained, [resolution.strong], store, checkpointed=labeller.runtime.gradient_checkpointing)
    record_study(
        labeller,
        [texts_of(resolution), probe, *resolution.folds, *trained],
        store,
        progress,
        ONE_PROCESS,
        expanded=True,
        work=work,
    )
    job = WorkerJob(stages_of, labeller)
    compute = executor(labeller.executor, store, labeller.runtime, progress, job, work)
    check_models(compute.missing(trained), labeller.runtime)
    compute.run(trained)
    notes = [
        f"fold {fold}: {note}" for fold, student in enumerate(trained, 1) for note in student.summary(store)["notes"]
    ]
    by_probe, _ = _by_probe(probe, resolution, store)
    predicted = by_probe._replace(
        log_odds=out_of_fold(resolution.plan, trained, store),
        kind=labeller.student,
        notes=(*by_probe.notes, *notes),
    )
    return read_label_results(resolution.plan, predicted, store, labeller.judge)


def _by_probe(
    probe: ProbeStudent, resolution: LabelResolution, store: Store
) -> tuple[StudentPredictions, PrincipalAxes]:
    ids, acts = read_embeddings(probe.activations, store)
    axes = principal_axes(acts)
    scores = probe.scores(store)
    log_odds = dict(zip(scores.index, scores.to_numpy(dtype=float), strict=True))
    notes = (*resolution.notes, *probe.notes(store))
    return StudentPredictions(log_odds, "probe", ids, principal_columns(acts, axes), notes), axes


def stages_of(resolved: dict[str, Any], store: Store) -> tuple[Student, ...]:
    """Return the students of a resolved labelling whose folds are dealt, as a worker process finds them."""
    return students(resolve_label_settings(parse_label_settings(resolved)), store)


def plan_label(labeller: LabelSettings, store: Store, progress: Progress | None = None) -> LabelPlan:
    """Return what a labelling would compute. It deals the rows to folds (keys depend on them); it trains nothing."""
    if labeller.strong is None:
        plan = _plan(labeller)
        return LabelPlan([plan], [store.has(plan.key)], [Cost()], [])
    resolution = resolve_label_settings(labeller)
    texts = texts_of(resolution)
    folds = resolution.folds if labeller.trains else ()
    LocalExecutor(store, labeller.runtime, progress or Silent()).run([texts, *folds])
    trained = students(resolution, store) if labeller.trains else ()
    stages = in_order([texts, probe_of(resolution, store), *folds, *trained])
    lacking = set(store.lacking([stage.key for stage in stages]))
    notes = resolution.notes
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
