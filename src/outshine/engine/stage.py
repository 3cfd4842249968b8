"""Stages: frozen values that hold everything their result depends on: settings, inputs and hence the key."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from outshine.engine.key import canonical_fields, digest_of_form, key_fields
from outshine.engine.settings import Settings

if TYPE_CHECKING:
    from outshine.engine.errors import OutshineError
    from outshine.engine.progress import Progress
    from outshine.engine.runtime import Runtime
    from outshine.engine.store.store import Store


class Context(NamedTuple):
    """What a stage is given to run with; nothing in it may change the result by more than rounding."""

    store: Store
    folder: Path  # write the artefact's files here; it is committed as a whole afterwards
    work: Path  # what survives a killed run (checkpoints); removed after the commit
    runtime: Runtime
    progress: Progress
    memory: dict[str, Any]  # what a worker keeps between stages (a loaded base model); never a result


class Cost(NamedTuple):
    """The cost of a stage: what it puts through a model. Every pass counts; None: nothing, or not known."""

    rows: int | None = None
    tokens: float | None = None
    flops: float | None = None
    forward_flops: float | None = None  # the part of `flops` without a gradient, which a GPU is quicker at


class Stage(Settings):
    """One step of an experiment. Fields that are stages are its inputs.

    `VERSION` is bumped by hand when the meaning of the stage changes: old results are then never reused. All else that
    plans, progress and listings say of stages they ask the class; a new one has nothing to be listed in.
    """

    VERSION: ClassVar[int] = 1
    stage: ClassVar[str] = ""
    trains: ClassVar[bool] = False
    """Whether it trains a model."""
    quick: ClassVar[bool] = False
    """Whether it takes next to no time beside stages that put rows through a model."""
    shares_pass: ClassVar[bool] = False
    """Whether one pass computes several, whose cost is then that of the first."""

    @cached_property
    def key(self) -> str:
        """sha256 (hex) of the stage's name, VERSION, every resolved field and the keys of its inputs."""
        _key_inputs(self)
        return digest_of_form({"stage": self.stage, "version": self.VERSION, "fields": canonical_fields(self)})

    @property
    def label(self) -> str:
        """A few words for people: progress lines and listings."""
        return self.stage

    @property
    def plan_row(self) -> tuple[int, str]:
        """The row of a plan's table that it is counted in: the row's place, and what people call several of these."""
        return 100, self.stage

    def cost(self, estimator: Any) -> Cost:
        """What computing it puts through a model, with the counts of an `outshine.w2s.cost.Estimator`."""
        return Cost()

    @property
    def base_model(self) -> str | None:
        """The identity of the model that it needs in memory; None: it needs none.

        A worker computes stages of one model one after the other. Several processes that share a model compute these
        stages together, and the main one of them all others alone.
        """
        return None

    @property
    def batch_group_key(self) -> str | None:
        """What stages have in common that `run_together` computes in one pass; None: this one is computed alone."""
        return None

    @classmethod
    def run_together(cls, stages: Sequence[Any], contexts: Sequence[Context], work: Path) -> list[OutshineError | None]:
        """Compute stages of one group, each into its context's folder; returns what went wrong with each.

        `work` keeps what survives a killed run.
        """
        raise NotImplementedError

    def check_shared(self) -> None:
        """Raises SettingsError where several processes cannot compute it together."""

    def inputs(self) -> list[Stage]:
        """The stages that this one reads, found in its fields, without repetition."""
        return list({stage.key: stage for stage in self._held}.values())

    @cached_property
    def _held(self) -> tuple[Stage, ...]:
        """The stages in its fields. Kept like the key: a plan asks for them again and again."""
        return tuple(stage for name in key_fields(type(self)) for stage in held_stages(getattr(self, name)))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with other fields where `update` says so: its key and inputs are then its own."""
        copied = super().model_copy(update=update, deep=deep)
        if update:
            for derived in vars(copied).keys() - type(copied).model_fields.keys():
                vars(copied).pop(derived)
        return copied

    @abstractmethod
    def run(self, context: Context) -> None:
        """Compute the result and write its files into `context.folder`."""


def held_stages(value: Any) -> list[Stage]:
    """Return the stages that a value is or holds in its fields, without what they depend on."""
    stages: list[Stage] = []
    _find_stages(value, stages)
    return stages


def _find_stages(value: Any, stages: list[Stage]) -> None:
    """Add the stages that a field's value is or holds."""
    if value is None or isinstance(value, str | int | float):  # first, for nearly all are
        return
    if isinstance(value, Stage):
        stages.append(value)
    elif isinstance(value, Settings):
        for name in key_fields(type(value)):
            _find_stages(getattr(value, name), stages)
    elif isinstance(value, list | tuple):
        for item in value:
            _find_stages(item, stages)
    elif isinstance(value, dict):
        for item in value.values():
            _find_stages(item, stages)


def _key_inputs(stage: Stage) -> None:
    """Have the keys of all that a stage depends on computed from the bottom up.

    A key would ask for those of its inputs, these for theirs, and a long chain of stages exhaust the call stack.
    """
    waiting = list(stage._held)
    keyed: set[int] = set()
    while waiting:
        last = waiting[-1]
        below = [source for source in last._held if "key" not in vars(source) and id(source) not in keyed]
        if below:
            waiting.extend(below)
        else:
            last.key  # noqa: B018
            keyed.add(id(last))
            waiting.pop()


def in_order(stages: list[Stage]) -> list[Stage]:
    """Return the given stages and all they depend on, each once, inputs before what reads them."""
    ordered: dict[str, Stage] = {}
    waiting = stages[::-1]
    while waiting:
        stage = waiting[-1]
        below = [] if stage.key in ordered else [source for source in stage.inputs() if source.key not in ordered]
        if below:
            waiting.extend(reversed(below))
        else:
            ordered.setdefault(stage.key, stage)
            waiting.pop()
    return list(ordered.values())
