"""A study: datasets × seeds × methods for one pair of models, as one value that YAML can hold."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from outshine.data.schema import Recipe, recipes
from outshine.data.splits import SplitSettings
from outshine.data.user_datasets import ARRAYS_KIND, HUB_KIND, own_source
from outshine.engine.errors import SettingsError, UnknownNameError
from outshine.engine.run.executors import LocalWorkers, Workers
from outshine.engine.runtime import Runtime
from outshine.engine.settings import Plugin, Settings, explain, setting_paths
from outshine.learn.losses.logconf import LogConf
from outshine.learn.losses.xent import Xent
from outshine.learn.settings import TrainingSettings
from outshine.learn.spec import ComputeDtype, ModelSettings, is_array_name
from outshine.stats.metrics import Metric, metrics
from outshine.w2s.method_identity import identify
from outshine.w2s.methods.base import LossChoice, Method, methods
from outshine.w2s.methods.control import Control
from outshine.w2s.methods.truth_probe import TruthProbe
from outshine.w2s.methods.vanilla import Vanilla
from outshine.w2s.methods.weak_to_weak import WeakToWeak
from outshine.w2s.stages.audit import Audit


class SupervisorLabels(Settings):
    """Weak labels are the weak model's predictions."""

    kind: Literal["supervisor"] = "supervisor"


class FileLabelSettings(Settings):
    """Weak labels are the user's: a file with columns id or text, and p_weak."""

    kind: Literal["file"] = "file"
    path: str = Field(min_length=1, description="a data file; `{dataset}` stands for the dataset's name")


def _labels(value: Any) -> Any:
    if isinstance(value, str):
        return {"kind": "supervisor"} if value == "supervisor" else {"kind": "file", "path": value}
    return {**value, "kind": "file"} if isinstance(value, dict) and "path" in value else value


def _recipe(value: Any) -> Any:
    if not isinstance(value, str) or value in recipes.names():
        return recipes.parse(value)
    own = own_source(value)
    if own is not None and own["kind"] == HUB_KIND:
        raise SettingsError(_without_columns(value, own["repo"]))
    try:
        return recipes.parse(value if own is None else own)
    except UnknownNameError as error:
        raise SettingsError(f"{error}; a hub dataset is named as owner/name, a file with its ending") from None


def _without_columns(dataset: str, repo: str) -> str:
    """Say what to do about a hub dataset of which nothing is known but its name."""
    known = [name for name, recipe in recipes if recipe.hub is not None and recipe.hub.repo.lower() == repo.lower()]
    if known:
        return (
            f"'{dataset}' is read by the recipe '{known[0]}': --dataset {known[0]}; or name its columns: --text COLUMN "
            "--label COLUMN"
        )
    return (
        f"no recipe for the hub dataset {dataset}; name the columns with the text and with the label: --dataset "
        f"{dataset} --text COLUMN --label COLUMN (in a study file text_column and label_column of a dataset of "
        "kind hub)"
    )


Labels = Annotated[SupervisorLabels | FileLabelSettings, Field(discriminator="kind"), BeforeValidator(_labels)]
Dataset = Annotated[SerializeAsAny[Recipe], BeforeValidator(_recipe)]
TestName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]
MethodChoice = Annotated[SerializeAsAny[Method], BeforeValidator(methods.parse)]
MetricChoice = Annotated[SerializeAsAny[Metric], BeforeValidator(metrics.parse)]


class Study(Settings):
    """Everything that a run depends on: datasets × seeds × methods for one pair of models.

    Names and dictionaries become frozen values; the fields are the settings of a study file and are explained in
    docs/commands.md. `study.model_copy(update={"seeds": (0, 1, 2)})` is another study. The defaults are those of the
    post that this package reproduces.

    Raises:
        SettingsError: A setting is unknown, missing or of a wrong value; one line, with the nearest name for a misspelt
            one.

    Example:
        >>> outshine.Study(datasets=["tiny-home", "tiny-pet"], weak="tiny/weak", strong="tiny/strong", seeds=[0, 1])
    """

    name: str = Field(default="study", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="how tables call it")
    datasets: tuple[Dataset, ...] = Field(
        min_length=1, description="names of recipes, data files of your own, hub datasets"
    )
    weak: ModelSettings | None = Field(
        default=ModelSettings(model="Qwen/Qwen1.5-0.5B"), description="the weak supervisor's model"
    )
    strong: ModelSettings = Field(
        default=ModelSettings(model="meta-llama/Meta-Llama-3-8B"), description="the student's and the ceiling's model"
    )
    labels: Labels = Field(default=SupervisorLabels(), description="supervisor, or {kind: file, path: ...}")
    methods: tuple[MethodChoice, ...] = Field(default=(Vanilla(),), min_length=1, description="what makes students")
    sweeps: tuple[MethodChoice, ...] = Field(default=(), description="methods tried over settings; shown, never tested")
    controls: tuple[MethodChoice, ...] = Field(default=(), description="true: all controls and baselines; or a list")
    trajectories: bool = Field(default=False, description="test AUC along training, by running each student twice")
    loss: LossChoice = Field(default=LogConf(), description="the students' loss; supervisor and ceiling use xent")
    better_than: str | None = Field(
        default=None,
        min_length=1,
        description="declared before the results are seen: the baseline that the methods are expected to beat; "
        "makes its comparison one-sided",
    )
    metrics: tuple[MetricChoice, ...] = Field(
        default=(), description="metrics besides AUROC that results are read by, such as accuracy; trains nothing"
    )
    tests: dict[TestName, Dataset] = Field(
        default={}, description="other test sets by name, for the models of every dataset: names, files, hub datasets"
    )
    seeds: tuple[NonNegativeInt, ...] = Field(default=(0,), min_length=1, description="heads, adapters, batch order")
    splits: SplitSettings = SplitSettings()
    training: TrainingSettings = TrainingSettings()
    compute_dtype: Literal["auto"] | ComputeDtype = Field(default="auto", description="auto: bf16 where it is fast")
    sources: dict[str, str] = Field(default={}, description="exact sources of datasets, as a resolved study pins them")
    notes: tuple[str, ...] = Field(default=(), description="what readers of the results should know")
    runtime: Runtime = Runtime()
    executor: Workers = Field(default=LocalWorkers(), description="who computes it: local or ray, and their settings")

    if not TYPE_CHECKING:  # a checker sees the fields as arguments

        def __init__(self, /, **settings: Any) -> None:
            """Raises SettingsError in one line, with the nearest name for a misspelt one."""
            try:
                super().__init__(**settings)
            except ValidationError as error:
                raise explain(error, "study", known=setting_paths(type(self))) from None

    @field_validator("weak", "strong", mode="before")
    @classmethod
    def _model_by_name(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value

    @field_validator("datasets", "methods", "sweeps", "metrics", "seeds", "notes", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list | tuple) else (value,)

    @field_validator("methods", "sweeps", "controls", mode="before")
    @classmethod
    def _grids(cls, value: Any) -> Any:
        return expand_grids(value)

    @field_validator("controls", mode="before")
    @classmethod
    def _all_or_some_controls(cls, value: Any) -> Any:
        if isinstance(value, bool) or value is None:
            return all_controls() if value else ()
        return tuple(value) if isinstance(value, list | tuple) else (value,)

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        _no_repeats("datasets", [dataset.name for dataset in self.datasets])
        _no_repeats("seeds", list(map(str, self.seeds)))
        _no_repeats("metrics", [metric.kind for metric in self.metrics])
        self._check_outcomes()
        self._check_arrays()
        for what in ("methods", "sweeps", "controls"):
            _no_repeats(what, [_identity(method) for method in getattr(self, what)])
        if isinstance(self.labels, SupervisorLabels) and self.weak is None:
            raise SettingsError("a study needs a weak model, or labels of kind file")
        if (
            isinstance(self.labels, FileLabelSettings)
            and len(self.datasets) > 1
            and "{dataset}" not in self.labels.path
        ):
            raise SettingsError(
                "labels for several datasets: write {dataset} in the path where the dataset's name goes"
            )
        return self

    def _check_arrays(self) -> None:
        """Raises SettingsError where arrays are to read texts, or language models rows without any."""
        models = [model for model in (self.weak, self.strong) if model is not None]
        for model, dataset in itertools.product(models, self.datasets):
            if is_array_name(model.model) != (dataset.kind == ARRAYS_KIND):
                what = "is an array" if is_array_name(model.model) else "is no array"
                raise SettingsError(
                    f"'{model.model}' {what}, and the dataset '{dataset.name}' is of kind {dataset.kind}: arrays (.npy "
                    f"or FILE.parquet:COLUMN) go with datasets of kind {ARRAYS_KIND}, and only with these"
                )

    def _check_outcomes(self) -> None:
        """Raises SettingsError where a plug-in cannot work with the labels of a dataset."""
        own_loss = [] if all(method.loss for method in self.methods) else [self.loss]
        used = _plugins_in([*own_loss, *self.methods, *self.sweeps, *self.controls, *self.metrics])
        used.append(Xent())  # of supervisor and ceiling
        for dataset in self.datasets:
            outcome = dataset.task.outcome
            for plugin in used:
                able = getattr(plugin, "outcomes", (outcome,))
                if not dataset.task.works_with(able):
                    raise SettingsError(
                        f"'{plugin.kind}' works with {' and '.join(able)} labels only, and the labels of "
                        f"'{dataset.name}' are {outcome}"
                    )
            for name, other in self.tests.items():
                if other.task.outcome != outcome:
                    raise SettingsError(
                        f"the test set '{name}' has {other.task.outcome} labels, and those of '{dataset.name}' are "
                        f"{outcome}"
                    )
            if not dataset.task.works_with(Audit.outcomes):
                raise SettingsError(f"the audit cannot read the labels of '{dataset.name}', which are {outcome}")

    @model_serializer(mode="wrap")
    def _without_no_metrics(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Mention metrics and tests where there are some: a study without any is written as it was before."""
        return {name: value for name, value in handler(self).items() if name not in ("metrics", "tests") or value}


def _plugins_in(value: Any) -> list[Plugin]:
    """Plug-ins, and those that their fields hold."""
    if isinstance(value, list | tuple):
        return [plugin for item in value for plugin in _plugins_in(item)]
    if not isinstance(value, Plugin):
        return []
    return [value, *_plugins_in([getattr(value, name) for name in type(value).model_fields])]


def _identity(method: Method) -> str:
    """All settings of a method. Raises SettingsError where a table could not tell it from others."""
    try:
        return identify(method, None).settings
    except (TypeError, ValueError) as error:
        raise SettingsError(f"method '{method.kind}' has a setting that no table could hold: {error}") from None


def _no_repeats(what: str, values: Sequence[str]) -> None:
    twice = sorted(value for value, count in Counter(values).items() if count > 1)
    if twice:
        raise SettingsError(f"{what} are named twice: {', '.join(twice)}")


GRID = "grid"


def expand_grids(methods: Any) -> Any:
    """Multiply out every `grid` of raw methods; what is no list of mappings is left to later checks.

    `{kind: probe, probe: {kind: knn}, grid: {probe.k: [1, 5], layer: [1/4, last]}}` becomes four methods, the last
    setting varying fastest. Raises SettingsError for a grid that holds no values, or names a setting of what has none.
    """
    if isinstance(methods, Mapping):
        methods = [methods]
    if not isinstance(methods, Sequence) or isinstance(methods, str):
        return methods
    return [expanded for method in methods for expanded in _expand(method)]


def _expand(method: Any) -> list[Any]:
    if not isinstance(method, Mapping) or GRID not in method:
        return [method]
    grid = method[GRID]
    if not isinstance(grid, Mapping) or not all(
        isinstance(values, list | tuple) and values for values in grid.values()
    ):
        raise SettingsError(
            f"grid: {grid!r} is no mapping of settings to lists of values, such as {{probe.k: [1, 5], layer: [1/2]}}"
        )
    base = {name: value for name, value in method.items() if name != GRID}
    return [_with(base, zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _with(base: dict[str, Any], settings: Any) -> dict[str, Any]:
    """A copy of a method with dotted settings laid over it."""
    made = copy.deepcopy(base)
    for path, value in settings:
        *parents, last = str(path).split(".")
        place = made
        for name in parents:
            inner = place.get(name, {})
            place[name] = {"kind": inner} if isinstance(inner, str) else inner
            place = place[name]
            if not isinstance(place, dict):
                raise SettingsError(f"grid: '{path}' leads into '{name}', which is {inner!r} and has no settings")
        place[last] = copy.deepcopy(value)
    return made


def all_controls() -> tuple[Method, ...]:
    """Every control and baseline: what labels, smoothing and salience explain by themselves."""
    return (
        Control(labels="shuffled"),
        Control(labels="constant"),
        Control(labels="random"),
        Control(labels="noise_matched"),
        WeakToWeak(),
        TruthProbe(layer="1/4"),
        TruthProbe(layer="1/2"),
        TruthProbe(layer="3/4"),
        TruthProbe(layer="last"),
    )
