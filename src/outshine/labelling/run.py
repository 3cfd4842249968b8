"""Running a labelling: deal rows to folds, train a student for each, read the predictions."""

from __future__ import annotations

from typing import Any, NamedTuple

from outshine.engine.errors import OutshineError
from outshine.engine.process_group import ONE_PROCESS
from outshine.engine.progress import Progress, Silent
from outshine.engine.run.executors import executor
from outshine.engine.run.local import LocalExecutor
from outshine.engine.run.worker_process import Job
from outshine.engine.stage import Cost, Stage, in_order
from outshine.engine.store.recorded_studies import record_study
from outshine.engine.store.store import Store
from outshine.labelling.results import LabelResults, read_label_results
from outshine.labelling.settings import (
    LabelSettings,
    Resolution,
    parse_label_settings,
    resolve_label_settings,
    students,
)
from outshine.learn.known_models import Shape
from outshine.w2s.compute_study import check_models
from outshine.w2s.cost import Estimator, Speed, speed_here, work_of
from outshine.w2s.stages.finetune import Student


class LabelRun(NamedTuple):
    """A labelling that ran: what it was resolved to and what it found."""

    resolution: Resolution
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
    asked = students(resolution, store)
    work = work_of(asked, [resolution.strong], store, checkpointed=labeller.runtime.gradient_checkpointing)
    record_study(
        resolution.labeller, [*resolution.folds, *asked], store, progress, ONE_PROCESS, expanded=True, work=work
    )
    job = Job(stages_of, resolution.labeller)
    compute = executor(labeller.executor, store, labeller.runtime, progress, job, work)
    check_models(compute.missing(asked), labeller.runtime)
    compute.run(asked)
    of_students = [f"fold {fold}: {note}" for fold, one in enumerate(asked, 1) for note in one.summary(store)["notes"]]
    notes = [*resolution.strong.notes, *of_students]
    found = read_label_results(resolution.plan, asked, notes, store, labeller.judge)
    return LabelRun(resolution, found)


def stages_of(resolved: dict[str, Any], store: Store) -> tuple[Student, ...]:
    """The students of a resolved labelling whose folds are dealt, as a worker process finds them."""
    return students(resolve_label_settings(parse_label_settings(resolved)), store)


def plan_label(labeller: LabelSettings, store: Store, progress: Progress | None = None) -> LabelPlan:
    """What a labelling would compute. Deals the rows to folds (the keys below depend on them); trains nothing."""
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


def _shape(resolution: Resolution, notes: list[str]) -> Shape | None:
    from outshine.learn.model_size import shape_of

    try:
        return shape_of(resolution.strong.spec)
    except OutshineError as error:
        notes.append(f"the size of {resolution.strong.spec.name} is unknown, FLOPs leave it out ({error})")
        return None
