"""Placeholders for models and datasets that the hub does not give: planned with, never run."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from outshine.data.schema import Recipe
from outshine.data.split_size_estimates import expected_splits
from outshine.data.splits import SplitSettings
from outshine.data.user_datasets import HUB_KIND
from outshine.engine.errors import HubError, SettingsError
from outshine.engine.hub import NoAnswerError, NotAHubError, offline
from outshine.engine.key import canonical_fields
from outshine.engine.stage import Context, Stage
from outshine.engine.store.store import Store
from outshine.learn.known_models import KNOWN, learning_rate
from outshine.learn.model_files import UNRESOLVED
from outshine.learn.resolve import MAX_LENGTH, ResolvedModel, resolve
from outshine.learn.spec import ClassifierSpec, ComputeDtype, ModelRef, ModelSettings
from outshine.learn.tiny_models import TINY_MODELS
from outshine.w2s.stages.prepare import Prepare
from outshine.w2s.study import Study

UNKNOWN_BLOCKS = 1000  # of a model in no catalog: layers given as shares stay apart, those given as numbers fit


class UnresolvedPrepare(Prepare):
    """A dataset whose rows cannot be had now: its digests are made up, so that what depends on them stays apart."""

    def report(self, store: Store) -> dict[str, Any]:
        """As that of a finished preparation, with expected sizes; `splits` is empty where those are unknown."""
        rows = expected_rows(self.recipe, self.splits)
        return {
            "texts_digest": f"{UNRESOLVED}{self.name}",
            "truth_digest": f"{UNRESOLVED}{self.name}",
            "splits": {split: {"rows": num_rows} for split, num_rows in rows.items()},
        }

    def run(self, context: Context) -> None:
        raise HubError(f"dataset '{self.name}' was planned without its rows; nothing can be run with it")


class HubResolver:
    """Finds the models and datasets of a study; puts placeholders in place of what the hub does not give.

    A hub that once did not answer is not asked again: `stack` holds the client offline from then on.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._lost: dict[str, HubError] = {}  # what could not be had, and why

    def model(self, settings: ModelSettings, dtype: ComputeDtype) -> ResolvedModel:
        """The model, resolved or by what the catalog knows of it. Raises what the user's own mistakes raise."""
        try:
            return resolve(settings, dtype)
        except HubError as error:
            if not is_on_hub(settings.model):
                raise
            self._lose(settings.model, error)
            return unresolved_model(settings, dtype)

    def data(self, recipe: Recipe, splits: SplitSettings, source: str | None) -> Prepare:
        """The preparation of a dataset, or a stand-in."""
        try:
            return Prepare.of(recipe, splits, source)
        except HubError as error:
            return self.without_rows(Prepare.of(recipe, splits, f"{UNRESOLVED}{recipe.name}"), error)

    def without_rows(self, prepare: Prepare, error: HubError) -> UnresolvedPrepare:
        """The stand-in of a preparation whose rows cannot be had."""
        self._lose(prepare.name, error)
        return UnresolvedPrepare(**{name: getattr(prepare, name) for name in Prepare.model_fields})

    def _lose(self, name: str, error: HubError) -> None:
        if isinstance(error, NotAHubError):  # a mistake in the settings, which no stand-in mends
            raise error
        self._lost[name] = error
        if isinstance(error, NoAnswerError):
            self._stack.enter_context(offline())

    @property
    def found_all(self) -> bool:
        """Whether there are no stand-ins."""
        return not self._lost

    def notes(self) -> list[str]:
        """Say what could not be had: in one line what no answer came for, in one each what was refused."""
        silent = [name for name, error in self._lost.items() if isinstance(error, NoAnswerError)]
        refused = [f"{error}; unresolved" for name, error in self._lost.items() if name not in silent]
        if silent:
            message = f"neither in the cache nor to be had from the hub now, so unresolved: {', '.join(silent)}"
            return [message, *refused]
        return refused


def asks_hub(study: Study) -> bool:
    """Whether any model or dataset of a study lies on the hub."""
    models = [study.strong, *([study.weak] if study.weak else [])]
    return any(is_on_hub(model.model) for model in models) or any(
        recipe.hub or recipe.kind == HUB_KIND for recipe in study.datasets
    )


def is_on_hub(name: str) -> bool:
    """Whether a model's name is that of a hub repository, there or not."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if name in TINY_MODELS or Path(name).expanduser().is_dir():
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def unresolved_model(settings: ModelSettings, dtype: ComputeDtype) -> ResolvedModel:
    """A model by the catalog alone; its identity is made up of name and revision.

    Raises SettingsError for more blocks than the model is known to have.
    """
    known = KNOWN.get(settings.model)
    shape = known.shape if known else None
    whole = shape.num_layers if shape else UNKNOWN_BLOCKS
    num_layers = settings.num_layers or whole
    if num_layers > whole:
        raise SettingsError(f"model '{settings.model}' has {whole} blocks; num_layers = {num_layers} is too many")
    ref = ModelRef(identity=f"{UNRESOLVED}{settings.model}@{settings.revision}", name=settings.model, num_layers=whole)
    spec = ClassifierSpec(
        model=ref,
        num_layers=num_layers,
        pooling=(shape.pooling if shape else "last") if settings.pooling == "auto" else settings.pooling,
        tuning=settings.tuning,
        max_length=settings.max_length or MAX_LENGTH,
        compute_dtype=dtype,
    )
    rate = learning_rate(settings, shape.parameters if shape else 0)
    note = rate.note if shape else f"{settings.model}: its size is unknown here; FLOPs and GPU-hours leave it out"
    return ResolvedModel(spec, rate.value, shape.parameters if shape else 0, (note,) if note else ())


def expected_rows(recipe: Recipe, settings: SplitSettings) -> dict[str, int]:
    """Split -> rows by the published size of a dataset; empty where the recipe names none."""
    if recipe.size is None:
        return {}
    return expected_splits(recipe.size, settings, recipe.hub.test_size if recipe.hub else None)


class KnownKeys:
    """Tells stages whose keys are known from those that depend on a placeholder.

    `found_all`: there are no stand-ins, so that no stage has to be searched for them.
    """

    def __init__(self, found_all: bool = False) -> None:
        self._found_all = found_all
        self._known: dict[str, bool] = {}

    def __call__(self, stage: Stage) -> bool:
        """Tell whether nothing that the stage depends on is made up."""
        if self._found_all:
            return True
        if stage.key not in self._known:
            own = f'"{UNRESOLVED}' not in json.dumps(canonical_fields(stage))
            self._known[stage.key] = own and all(self(source) for source in stage.inputs())
        return self._known[stage.key]
