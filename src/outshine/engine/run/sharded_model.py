"""A study computed by several processes, one for each GPU, that share every big model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from outshine.engine.errors import LostLeaseError, OutshineError, StoreError
from outshine.engine.key import digest
from outshine.engine.process_group import ProcessGroup, remember
from outshine.engine.progress import Progress
from outshine.engine.run.failures import Failure
from outshine.engine.run.local import LocalExecutor
from outshine.engine.run.schedule import Unit
from outshine.engine.runtime import Runtime
from outshine.engine.stage import Stage, in_order
from outshine.engine.store.store import Store

T = TypeVar("T")


class ShardedModelExecutor(LocalExecutor):
    """Runs in every process of a group: all compute the stages that share a model, the main process alone all others.

    The main process decides what is missing, holds the locks and commits. What the others write is thrown away.
    """

    def __init__(self, store: Store, runtime: Runtime, progress: Progress, processes: ProcessGroup) -> None:
        super().__init__(store, runtime, progress)
        self.processes = processes
        remember(processes, self.memory)

    def missing(self, requested: Sequence[Stage]) -> list[Stage]:
        stages = in_order(list(requested))
        missing = [stage.key for stage in super().missing(requested)] if self.processes.is_main else []
        every = digest([stage.key for stage in stages])
        main_digest, keys = self.processes.broadcast((every, missing))
        if main_digest != every:
            raise OutshineError(
                f"process {self.processes.rank} would compute other stages than process 0; all processes must have "
                "the same version of outshine, the same study and the same files"
            )
        return [stage for stage in stages if stage.key in set(keys)]

    def run(self, requested: Sequence[Stage]) -> None:
        for stage in self.missing(requested):
            stage.check_shared()
        super().run(requested)

    def attempt(self, unit: Unit, timeout: float) -> list[Failure] | None:
        if self.processes.is_main:
            return super().attempt(unit, -1)  # the others wait in the meantime
        self._write(unit)
        return []

    def _tried(self, lacking: Unit) -> list[Failure]:
        """A failure ends the run: the others may be in the middle of a pass."""
        try:
            with self.heartbeat.announcing(lacking) if lacking else nullcontext():
                self._write(lacking)
        except LostLeaseError as lost:  # the others are through with it: it cannot be given to them again
            raise StoreError(str(lost)) from lost
        return []

    def _write(self, unit: Unit) -> None:
        """Compute a unit: what the store lacks as the main process sees it, which the others hear from it."""
        keys = self.processes.broadcast([stage.key for stage in unit])
        unit = tuple(stage for stage in unit if stage.key in keys)
        if self.processes.is_main:
            super()._write(unit)
        else:
            self._follow([stage for stage in unit if stage.base_model is not None])
        self.processes.broadcast(None)  # committed; a main process that failed never comes here
        unseen = [stage for stage in unit if not self.store.has(stage.key)]
        if unseen:
            raise StoreError(
                f"process {self.processes.rank} does not see in {self.store.where} what process 0 wrote there; "
                "the store must lie on storage that all processes share"
            )

    def _follow(self, unit: Sequence[Stage]) -> None:
        """Compute along with the main process."""
        with ExitStack() as folders:
            contexts = [self._context(member, Path(folders.enter_context(TemporaryDirectory()))) for member in unit]
            if len(unit) > 1:
                work = self.store.work(digest(sorted(stage.key for stage in unit)))
                unit[0].run_together(unit, contexts, work)  # the main process raises what went wrong
                return
            for stage, context in zip(unit, contexts, strict=True):
                stage.run(context)

    def _record(self, stage: Stage, seconds: float, cohort: Sequence[str] = ()) -> dict[str, Any]:
        record = super()._record(stage, seconds, cohort)
        record["made"]["processes"] = 1 if stage.base_model is None else self.processes.size
        return record
