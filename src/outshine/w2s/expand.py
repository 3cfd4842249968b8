"""Expansion of a study into its experiments: every open choice made, every stage named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from outshine.data.schema import Recipe, families
from outshine.data.splits import OTHER_TEST, OtherTest, SplitSettings
from outshine.data.user_datasets import file_sha256
from outshine.engine.files import absolute_path, user_path
from outshine.engine.settings import Plugin
from outshine.engine.stage import Stage, held_stages, in_order
from outshine.engine.store.store import Store
from outshine.learn.device import pick_device, resolve_dtype
from outshine.learn.resolve import ResolvedModel, resolve
from outshine.learn.spec import ComputeDtype, ModelSettings
from outshine.stats.metrics import metrics
from outshine.w2s.lab import Lab, TrainableModel, Wiring
from outshine.w2s.methods.base import Method
from outshine.w2s.methods.vanilla import Vanilla
from outshine.w2s.methods.weak_to_weak import WeakToWeak
from outshine.w2s.stages.activations import Activations
from outshine.w2s.stages.finetune import Finetune, Supervised
from outshine.w2s.stages.labels import FileLabels, GroundTruth, WeakLabelSource
from outshine.w2s.stages.predictor import Predictor
from outshine.w2s.stages.prepare import Prepare, Texts
from outshine.w2s.stages.trajectory import Trajectory
from outshine.w2s.study import FileLabelSettings, Labels, Study

ModelFinder = Callable[[ModelSettings, ComputeDtype], ResolvedModel]
DataFinder = Callable[[Recipe, SplitSettings, str | None], Prepare]


class Resolution(NamedTuple):
    """A study with every open choice made: models, number format, sources of the data."""

    study: Study  # fully resolved: running it again makes the same keys
    weak: ResolvedModel | None
    strong: ResolvedModel
    prepares: tuple[Prepare, ...]  # one a dataset, in the study's order
    notes: tuple[str, ...]
    of_methods: Mapping[ModelSettings, ResolvedModel] = {}  # the models that methods name, by their pinned settings

    @property
    def models(self) -> list[ResolvedModel]:
        """All models, the supervisor's first."""
        return [model for model in (self.weak, self.strong, *self.of_methods.values()) if model is not None]


Purpose = Literal["method", "sweep", "control"]
"""Methods are compared; sweeps show a setting's influence; controls and baselines say what a result is worth."""


class Experiment(NamedTuple):
    """One dataset, seed and method: the stages whose predictions make up one PGR."""

    prepare: Prepare
    truth: GroundTruth
    texts: Texts
    seed: int
    method: Method
    purpose: Purpose
    wiring: Wiring  # its students or probes, the labels that PGR is measured from, and who made these
    study_labels: WeakLabelSource  # the study's weak labels
    ceiling: Supervised
    trajectories: tuple[Trajectory, ...] = ()  # of the students that are fine-tuned, where they are asked for

    @property
    def students(self) -> tuple[Predictor, ...]:
        """Students or probes, one a round."""
        return self.wiring.rounds

    @property
    def labels(self) -> WeakLabelSource:
        """What PGR is measured from: the study's weak labels, or the method's own."""
        return self.wiring.labels

    @property
    def has_own_labels(self) -> bool:
        """Whether the method is measured from other labels than the study's."""
        return self.labels != self.study_labels

    @property
    def study_weak(self) -> str:
        """The study's supervisor, or its file of weak labels, as tables call it."""
        if isinstance(self.study_labels, Supervised):
            return self.study_labels.classifier.name
        return Path(self.study_labels.path).name if isinstance(self.study_labels, FileLabels) else "labels"

    def stages(self) -> list[Stage]:
        """The stages asked for; what they depend on is not listed."""
        return [*held_stages(self.labels), self.ceiling, *self.students, *self.trajectories]


def resolve_study(study: Study, find_model: ModelFinder = resolve, find_data: DataFinder = Prepare.of) -> Resolution:
    """Make every open choice. Asks the hub (or its cache) for commits; loads no weights and no rows.

    `find_model`, `find_data`: how; a plan puts placeholders where the hub gives nothing.
    """
    dtype = resolve_dtype(study.compute_dtype, pick_device(study.runtime))
    strong = find_model(study.strong, dtype)
    by_file = isinstance(study.labels, FileLabelSettings)
    weak = None if by_file or study.weak is None else find_model(study.weak, dtype)
    of_methods: dict[ModelSettings, ResolvedModel] = {}

    def pin(settings: ModelSettings) -> ModelSettings:
        resolved = find_model(settings, dtype)
        exact = pinned_model(settings, resolved)
        of_methods[exact] = resolved
        return exact

    rosters = {name: _with_models(getattr(study, name), pin) for name in ("methods", "sweeps", "controls")}
    prepares = tuple(find_data(recipe, study.splits, study.sources.get(recipe.name)) for recipe in study.datasets)
    tests = {
        name: find_data(recipe, study.splits, study.sources.get(f"{OTHER_TEST}{name}"))
        for name, recipe in study.tests.items()
    }
    if tests:
        prepares = tuple(prepare.with_tests(_other_tests(tests)) for prepare in prepares)
    pinned = study.model_copy(
        update={
            "weak": pinned_model(study.weak, weak) if weak and study.weak else None,
            "strong": pinned_model(study.strong, strong),
            **rosters,
            "datasets": tuple(prepare.recipe.located() for prepare in prepares),
            "tests": {name: prepare.recipe.located() for name, prepare in tests.items()},
            "labels": _located(study.labels),
            "compute_dtype": dtype,
            "sources": {
                **{prepare.name: prepare.source for prepare in prepares},
                **{f"{OTHER_TEST}{name}": prepare.source for name, prepare in tests.items()},
            },
        }
    )
    of_models = [note for model in (weak, strong, *of_methods.values()) if model for note in model.notes]
    notes = [*study.notes, *_class_notes(prepares), *_family_notes(study), *of_models]
    if weak is None and any(isinstance(method, WeakToWeak) for method in study.controls):
        notes.append("weak_to_weak is left out: weak labels from a file have no weak model")
    return Resolution(pinned, weak, strong, prepares, tuple(dict.fromkeys(notes)), of_methods)


def _other_tests(prepares: Mapping[str, Prepare]) -> list[OtherTest]:
    """Other test sets as a preparation has them."""
    return [
        OtherTest(name=name, recipe=prepare.recipe, recipe_version=prepare.recipe_version, source=prepare.source)
        for name, prepare in prepares.items()
    ]


def _with_models(value: Any, pin: Callable[[ModelSettings], ModelSettings]) -> Any:
    """Methods, or what a field of one holds, with every model in them pinned."""
    if isinstance(value, ModelSettings):
        return pin(value)
    if isinstance(value, tuple):
        return tuple(_with_models(item, pin) for item in value)
    if not isinstance(value, Plugin):
        return value
    fields = {name: getattr(value, name) for name in type(value).model_fields}
    pinned = {name: _with_models(held, pin) for name, held in fields.items()}
    changed = {name: held for name, held in pinned.items() if held != fields[name]}
    return value.model_copy(update=changed) if changed else value


def _class_notes(prepares: Sequence[Prepare]) -> list[str]:
    """What AUROCs are where they are no areas of one curve."""
    notes = []
    for prepare in prepares:
        name, task = prepare.name, prepare.task
        if task.metric == "macro_auroc":
            notes.append(
                f"the AUROCs of {name} are means over its {len(task.class_names)} classes, each against the rest"
            )
        elif task.metric not in ("auroc", "pair_accuracy"):
            title = metrics.parse(task.metric).title
            notes.append(f"what tables and figures of {name} call AUROC or AUC is its {task.metric}: {title}")
    return notes


def _family_notes(study: Study) -> list[str]:
    """Which datasets are made of the same rows, and what follows from it."""
    return [
        f"{' and '.join(names)} are made of the same rows: pooled PGRs and comparisons count them as one dataset"
        for names in families(recipe.name for recipe in study.datasets).values()
        if len(names) > 1
    ]


def expand(resolution: Resolution, store: Store) -> list[Experiment]:
    """The experiments of a study whose datasets are prepared: dataset × seed × method."""
    experiments = []
    roster, layers = _roster(resolution), None
    for prepare in resolution.prepares:
        lab = _lab(resolution, prepare, store)
        layers = _layers(lab, roster) if layers is None else layers
        lab = replace(lab, layers=layers)
        for seed in resolution.study.seeds:
            experiments += _experiments(resolution.study, prepare, replace(lab, seed=seed), roster)
    return experiments


def _lab(resolution: Resolution, prepare: Prepare, store: Store) -> Lab:
    """What experiments on one dataset have, for the first seed."""
    study = resolution.study
    texts = Texts.of(prepare, store)
    return Lab(
        texts=texts,
        truth=GroundTruth.of(prepare, store),
        weak=_tuned(resolution.weak) if resolution.weak else None,
        strong=_tuned(resolution.strong),
        training=study.training,
        loss=study.loss,
        seed=study.seeds[0],
        file_labels=_file_labels(study, texts, store),
        models={settings: _tuned(model) for settings, model in resolution.of_methods.items()},
    )


def _layers(lab: Lab, roster: Sequence[tuple[Purpose, Method]]) -> tuple[int, ...]:
    """The layers of the strong model whose activations methods look at; they are read in one pass."""
    rounds = [predictor for _, method in roster for predictor in method.wire(lab).rounds]
    looked_at = [stage for stage in in_order([*rounds]) if isinstance(stage, Activations)]
    return tuple(sorted({stage.layer for stage in looked_at if stage.model == lab.strong.classifier.model}))


def _experiments(
    study: Study, prepare: Prepare, lab: Lab, roster: Sequence[tuple[Purpose, Method]]
) -> list[Experiment]:
    """Those of one dataset and seed."""
    experiments = []
    seen: set[tuple[Purpose, tuple[str, ...]]] = set()
    for purpose, method in roster:
        wiring = method.wire(lab)
        same = (purpose, tuple(student.key for student in wiring.rounds))
        if purpose != "method" and same in seen:  # a quarter and a half of two blocks are one layer
            continue
        seen.add(same)
        experiments.append(
            Experiment(
                prepare=prepare,
                truth=lab.truth,
                texts=lab.texts,
                seed=lab.seed,
                method=method,
                purpose=purpose,
                wiring=wiring,
                study_labels=lab.weak_labels,
                ceiling=lab.ceiling,
                trajectories=_trajectories(study, purpose, method, wiring.rounds),
            )
        )
    return experiments


def _roster(resolution: Resolution) -> list[tuple[Purpose, Method]]:
    """All methods of a study and what each is for; without a weak model none that trains it."""
    study = resolution.study
    controls = [method for method in study.controls if resolution.weak or not isinstance(method, WeakToWeak)]
    return [
        *(("method", method) for method in study.methods),
        *(("sweep", method) for method in study.sweeps),
        *(("control", method) for method in controls),
    ]


def _trajectories(
    study: Study, purpose: Purpose, method: Method, students: tuple[Predictor, ...]
) -> tuple[Trajectory, ...]:
    """Every student's if the study asks for trajectories; with controls the vanilla student's, for its selection."""
    wanted = study.trajectories or (bool(study.controls) and isinstance(method, Vanilla))
    if purpose != "method" or not wanted:
        return ()
    return tuple(Trajectory(run_again=student) for student in students if isinstance(student, Finetune))


def _file_labels(study: Study, texts: Texts, store: Store) -> FileLabels | None:
    if not isinstance(study.labels, FileLabelSettings):
        return None
    path = user_path(study.labels.path.replace("{dataset}", texts.origin.name))
    labels = FileLabels(digest=file_sha256(path), path=str(path), texts=texts)
    if store.has(texts.origin.key):  # a plan may be made without the rows
        labels.read_labels(store)  # what is wrong with them shows before anything is trained
    return labels


def _located(labels: Labels) -> Labels:
    """A file of labels by its absolute path: the resolved study runs from any folder."""
    if isinstance(labels, FileLabelSettings):
        return FileLabelSettings(path=str(absolute_path(labels.path)))
    return labels


def _tuned(resolved: ResolvedModel) -> TrainableModel:
    return TrainableModel(resolved.spec, resolved.learning_rate)


def pinned_model(settings: ModelSettings, resolved: ResolvedModel) -> ModelSettings:
    """Settings of a model with nothing left to choose."""
    spec = resolved.spec
    exact = spec.model.identity.rpartition("@")[2]  # a hub commit, or `sha256:...` of a folder
    return settings.model_copy(
        update={
            "revision": exact,
            "num_layers": spec.num_layers,
            "pooling": spec.pooling,
            "learning_rate": resolved.learning_rate,
            "max_length": spec.max_length,
        }
    )
