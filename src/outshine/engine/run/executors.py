"""Who computes a study: the settings of its workers, never part of a key, and the executor that they make up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from outshine.engine.errors import SettingsError
from outshine.engine.settings import Settings

if TYPE_CHECKING:
    from outshine.engine.progress import Progress
    from outshine.engine.run.worker_process import WorkerJob
    from outshine.engine.runtime import Runtime
    from outshine.engine.stage import Stage
    from outshine.engine.store.store import Store


class LocalWorkers(Settings):
    """Processes on this machine."""

    kind: Literal["local"] = "local"
    workers: PositiveInt | None = Field(
        default=None, description="local: processes; None: one for each GPU, and without one this process alone"
    )
    retries: NonNegativeInt = Field(default=3, description="how often a stage is begun again whose worker died")


class RayWorkers(Settings):
    """Actors of a Ray cluster (extra `ray`)."""

    kind: Literal["ray"] = "ray"
    address: str | None = Field(
        default=None, description="ray: of the cluster: auto or host:port; None: one on this machine"
    )
    workers: PositiveInt | None = Field(default=None, description="ray: at most; None: as many as there is room for")
    num_cpus: NonNegativeFloat = Field(default=1.0, description="ray: cores of each worker, and its threads")
    num_gpus: NonNegativeFloat = Field(default=0.0, description="ray: GPUs of each worker, or a fraction of one")
    resources: dict[str, NonNegativeFloat] = Field(default={}, description="ray: other resources of each, by name")
    retries: NonNegativeInt = Field(default=3, description="how often a stage is begun again whose worker died")


def _by_name(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


Workers = Annotated[LocalWorkers | RayWorkers, Field(discriminator="kind"), BeforeValidator(_by_name)]


class Executor(Protocol):
    """Computes stages. Whichever does, keys are the same, and bytes too on the same hardware and threads."""

    def missing(self, requested: Sequence[Stage]) -> list[Stage]:
        """Return what the store lacks of the stages and all they depend on, in the order of computation."""
        ...

    def run(self, requested: Sequence[Stage]) -> None:
        """Compute what is missing of them; raises StagesFailedError when nothing else can be done."""
        ...


def executor(
    workers: Workers,
    store: Store,
    runtime: Runtime,
    progress: Progress,
    job: WorkerJob,
    work: Mapping[str, float] | None = None,
) -> Executor:
    """The executor for a store that these workers make up.

    `job`: how another process finds the stages that it will be asked for. `work`: how much is in a stage, by key, for
    the progress.
    """
    if isinstance(workers, RayWorkers):
        from outshine.engine.run.on_ray import RayExecutor

        _check_shared(store)
        return RayExecutor(store, runtime, progress, workers, work)
    size = workers.workers or _num_gpus(runtime)
    if size == 1:
        from outshine.engine.run.local import LocalExecutor

        return LocalExecutor(store, runtime, progress, keep_going=True, work=work)
    from outshine.engine.run.processes import ProcessExecutor

    _check_shared(store)
    return ProcessExecutor(store, runtime, progress, job, size, workers.retries, work)


def _check_shared(store: Store) -> None:
    if store.address.startswith("memory://"):
        raise SettingsError(f"the store {store.where} is memory of this process, which no worker sees; use a folder")


def _num_gpus(runtime: Runtime) -> int:
    from outshine.engine.run.processes import visible_gpus

    return max(1, len(visible_gpus())) if runtime.device in ("auto", "cuda") else 1
