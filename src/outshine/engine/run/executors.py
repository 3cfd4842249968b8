"""From the settings of a study's workers to the executor that runs its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from outshine.engine.errors import SettingsError
from outshine.engine.progress import Progress
from outshine.engine.run.crew import Crew, CrewExecutor
from outshine.engine.run.local import LocalExecutor
from outshine.engine.run.workers import RayWorkers, Workers
from outshine.engine.runtime import Runtime
from outshine.engine.stage import Stage
from outshine.engine.store.store import Store


class Executor(Protocol):
    """Computes stages. Whichever does, keys are the same, and bytes too on the same hardware and threads."""

    def missing(self, asked: Sequence[Stage]) -> list[Stage]:
        """Of the stages and all they depend on, those that the store lacks, in the order of computation."""
        ...

    def run(self, asked: Sequence[Stage]) -> None:
        """Compute what is missing of them; raises StagesFailedError when nothing else can be done."""
        ...


def executor(
    workers: Workers, store: Store, runtime: Runtime, progress: Progress, work: Mapping[str, float] | None = None
) -> Executor:
    """The executor for a store that these workers make up. `work`: how much is in a stage, by key, for the progress."""
    retries = workers.retries
    if isinstance(workers, RayWorkers):
        _check_shared(store)
        return CrewExecutor(store, runtime, progress, lambda most: _ray(store, runtime, workers, most), retries, work)
    size = workers.workers or _num_gpus(runtime)
    if size == 1:
        return LocalExecutor(store, runtime, progress, keep_going=True, work=work)
    _check_shared(store)
    return CrewExecutor(store, runtime, progress, lambda most: _pool(store, runtime, min(size, most)), retries, work)


def _check_shared(store: Store) -> None:
    if store.address.startswith("memory://"):
        raise SettingsError(f"the store {store.where} is memory of this process, which no worker sees; use a folder")


def _pool(store: Store, runtime: Runtime, size: int) -> Crew:
    from outshine.engine.run.pool import Pool

    return Pool(store, runtime, size)


def _ray(store: Store, runtime: Runtime, workers: RayWorkers, most: int) -> Crew:
    from outshine.engine.run.on_ray import RayCrew

    return RayCrew(store, runtime, workers, most)


def _num_gpus(runtime: Runtime) -> int:
    from outshine.engine.run.pool import visible_gpus

    return max(1, len(visible_gpus())) if runtime.device in ("auto", "cuda") else 1
