"""The plan of a run: its stages, which of them the store has, and rows, tokens and FLOPs to process."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import NamedTuple

from outshine.engine.errors import HubError, OutshineError
from outshine.engine.hub import answers, offline
from outshine.engine.progress import Progress
from outshine.engine.run.local import LocalExecutor
from outshine.engine.run.schedule import units
from outshine.engine.runtime import Runtime
from outshine.engine.stage import Cost, Stage, in_order
from outshine.engine.store.store import Store
from outshine.learn.known_models import KNOWN, Shape
from outshine.learn.losses.base import Loss
from outshine.learn.model_files import UNRESOLVED
from outshine.learn.resolve import ResolvedModel
from outshine.w2s.compute_study import by_model
from outshine.w2s.cost import Estimator, Speed, speed_here
from outshine.w2s.expand import Experiment, Purpose, Resolution, expand, resolve_study
from outshine.w2s.fewest_datasets import planned as planned_comparison
from outshine.w2s.method_identity import identify, method_word
from outshine.w2s.methods.base import Method
from outshine.w2s.placeholders import HubResolver, KnownKeys, UnresolvedPrepare, asks_hub
from outshine.w2s.stages.audit import Audit
from outshine.w2s.stages.control import ControlStudent
from outshine.w2s.stages.finetune import Student
from outshine.w2s.stages.prepare import Prepare
from outshine.w2s.study import Study

UNKNOWN_KEY = "unresolved"


class PlannedStage(NamedTuple):
    """One stage of a plan. Rows and tokens count every pass; None where nothing is to be processed or known."""

    stage: str
    kind: str  # what people call such stages
    label: str
    key: str  # UNKNOWN_KEY where it depends on what could not be had
    cached: bool
    trains: bool = False  # whether it trains a model
    rows: int | None = None
    tokens: int | None = None
    flops: float | None = None
    forward_flops: float | None = None  # the part of them without a gradient

    @property
    def cost(self) -> Cost:
        """What it puts through a model."""
        return Cost(self.rows, self.tokens, self.flops, self.forward_flops)


class KindTotals(NamedTuple):
    """All stages of one kind. Rows, tokens and FLOPs are those of the stages that are to do."""

    kind: str
    trains: bool
    unshared: int  # how often the stages would be computed if every experiment stood alone
    distinct: int
    cached: int
    rows: int
    tokens: int
    flops: float
    forward_flops: float

    @property
    def cost(self) -> Cost:
        """What they put through a model."""
        return Cost(self.rows, self.tokens, self.flops, self.forward_flops)

    @property
    def to_do(self) -> int:
        """Stages that a run would compute."""
        return self.distinct - self.cached


class Plan(NamedTuple):
    """The grid of a study, its stages in the order of their computation, and what could not be found out."""

    study: Study
    methods: dict[Purpose, list[str]]  # in words, each once
    num_experiments: int
    stages: list[PlannedStage]
    kinds: list[KindTotals]
    notes: list[str]
    cohorts: tuple[int, int]  # models to train in one pass with others, and the passes that this takes
    here: Speed | None  # how quickly this machine would compute it; None where nothing is to do
    attention: float  # what attention's quadratic part, left out of the FLOPs, adds to a forward pass at most

    @property
    def missing(self) -> list[PlannedStage]:
        """What a run would compute."""
        return [stage for stage in self.stages if not stage.cached]

    @property
    def cost(self) -> Cost:
        """Of all that is to do."""
        return Cost(*(sum(getattr(kind, name) for kind in self.kinds) for name in Cost._fields))


def plan_study(study: Study, store: Store, progress: Progress, *, ask_hub: bool = True) -> Plan:
    """The plan of a study. Prepares its datasets (the keys below depend on their rows); trains nothing.

    Models and datasets that cannot be had from the hub or its cache, or with `ask_hub` False from the cache alone,
    are planned with stand-ins: what is shared and how much is to do is right, keys are unresolved. Errors that are
    the user's own are raised as by a run.
    """
    with ExitStack() as stack:
        if not ask_hub or (asks_hub(study) and not answers()):
            stack.enter_context(offline())
        finder = HubResolver(stack)
        resolution = resolve_study(study, finder.model, finder.data)
        resolution = resolution._replace(prepares=_prepared(resolution, store, progress, finder))
        experiments = expand(resolution, store)
        wanted = [*(Audit(prepare=prepare) for prepare in resolution.prepares), *by_model(experiments)]
        stages = in_order(wanted)
        known = KnownKeys(finder.found_all)
        lacking = set(store.lacking([stage.key for stage in stages if known(stage)]))
        cached = {stage.key: _cached(stage, lacking, known) for stage in stages}
        notes = [*resolution.notes, *planned_comparison(experiments, study), *finder.notes()]
        shapes = _shapes(resolution, notes)
        runtime = resolution.study.runtime
        again = runtime.gradient_checkpointing
        estimator = Estimator(store, shapes, lambda stage: not cached[stage.key][1], checkpointed=again)
        costs = estimator.costs(stages)
    planned = [_planned(stage, *cached[stage.key], cost) for stage, cost in zip(stages, costs, strict=True)]
    notes = list(dict.fromkeys([*notes, *estimator.notes]))
    totals = _totals(planned, stages, experiments)
    missing = [stage for stage in stages if not cached[stage.key][1]]
    cohorts = [len(unit) for unit in units(missing, runtime.cohort) if len(unit) > 1]
    together = sum(cohorts), len(cohorts)
    methods, count = _methods(experiments), len(experiments)
    here = speed_here(runtime, resolution.strong.spec.compute_dtype) if any(kind.flops for kind in totals) else None
    return Plan(resolution.study, methods, count, planned, totals, notes, together, here, estimator.longest)


def _prepared(resolution: Resolution, store: Store, progress: Progress, finder: HubResolver) -> tuple[Prepare, ...]:
    """The preparations, computed where the rows can be had, with stand-ins for the others."""
    executor = LocalExecutor(store, Runtime(), progress)
    prepares = []
    for prepare in resolution.prepares:
        planned = prepare
        if not isinstance(prepare, UnresolvedPrepare):
            try:
                executor.run([prepare])
            except HubError as error:
                planned = finder.without_rows(prepare, error)
        prepares.append(planned)
    return tuple(prepares)


def _cached(stage: Stage, lacking: set[str], known: KnownKeys) -> tuple[str, bool]:
    """The key to show, and whether the store has the stage; what has no known key is never looked up."""
    return (stage.key, stage.key not in lacking) if known(stage) else (UNKNOWN_KEY, False)


def _planned(stage: Stage, key: str, cached: bool, cost: Cost) -> PlannedStage:
    tokens = None if cost.tokens is None else round(cost.tokens)
    named = stage.stage, stage.plan_row[1], stage.label
    return PlannedStage(*named, key, cached, stage.trains, cost.rows, tokens, cost.flops, cost.forward_flops)


def _methods(experiments: list[Experiment]) -> dict[Purpose, list[str]]:
    """The methods of each purpose in words. One of many datasets and seeds is put into words once."""
    words: dict[Purpose, dict[str, None]] = {"method": {}, "sweep": {}, "control": {}}
    seen: set[tuple[Purpose, int, int]] = set()
    for experiment in experiments:
        last = experiment.students[-1]
        loss = last.loss if isinstance(last, Student | ControlStudent) else None
        identity = (experiment.purpose, id(experiment.method), id(loss))
        if identity not in seen:
            seen.add(identity)
            words[experiment.purpose][_method_words(experiment.method, loss)] = None
    return {purpose: list(methods) for purpose, methods in words.items()}


def _method_words(method: Method, loss: Loss | None) -> str:
    """Method, loss of its students and settings other than the defaults: `vanilla logconf alpha=.3`."""
    settings = identify(method, loss).words
    return " ".join(part for part in (method_word(method.kind, settings), loss.kind if loss else "", settings) if part)


def _totals(planned: list[PlannedStage], stages: list[Stage], experiments: list[Experiment]) -> list[KindTotals]:
    """Stages added up by what people call them, in the order that their classes say."""
    unshared = Counter(stage.plan_row for experiment in experiments for stage in _alone(experiment))
    groups: dict[tuple[int, str], list[PlannedStage]] = {}
    for stage, row in zip(stages, planned, strict=True):
        groups.setdefault(stage.plan_row, []).append(row)
    in_table = sorted(groups, key=lambda place: place[0])
    return [_total(place[1], groups[place], unshared[place]) for place in in_table]


def _total(kind: str, rows: list[PlannedStage], unshared: int) -> KindTotals:
    to_do = [row for row in rows if not row.cached]
    return KindTotals(
        kind,
        rows[0].trains,
        unshared,
        len(rows),
        len(rows) - len(to_do),
        sum(row.rows or 0 for row in to_do),
        sum(row.tokens or 0 for row in to_do),
        sum(row.flops or 0 for row in to_do),
        sum(row.forward_flops or 0 for row in to_do),
    )


def _alone(experiment: Experiment) -> list[Stage]:
    """All stages of one experiment, as if it were the only one."""
    return [experiment.prepare, Audit(prepare=experiment.prepare), *in_order(experiment.stages())]


def _shapes(resolution: Resolution, notes: list[str]) -> dict[str, Shape | None]:
    """The shapes of the models, by identity: counted on their structure, or the catalog's for stand-ins."""
    return {model.spec.model.identity: _shape(model, notes) for model in resolution.models}


def _shape(model: ResolvedModel, notes: list[str]) -> Shape | None:
    from outshine.learn.structure import shape_of

    ref = model.spec.model
    if ref.identity.startswith(UNRESOLVED):
        known = KNOWN.get(ref.name)
        return known.shape if known else None
    try:
        return shape_of(model.spec)
    except OutshineError as error:
        notes.append(f"{ref.name}: its size is unknown, FLOPs and GPU-hours leave it out ({error})")
        return None
