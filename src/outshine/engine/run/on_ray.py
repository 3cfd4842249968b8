"""A crew of Ray actors, on one machine or many. Results pass through the store, never through Ray."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from outshine.engine.errors import SettingsError, StoreError
from outshine.engine.progress import Silent
from outshine.engine.run.crew import Broke, Died, Ended, Event, Ready, Said, Worker
from outshine.engine.run.schedule import Unit
from outshine.engine.run.workers import RayWorkers
from outshine.engine.runtime import Runtime
from outshine.engine.store.open_store import open_store
from outshine.engine.store.store import Store
from outshine.engine.threads import ASLEEP, POLICY

_AUTH = "RAY_AUTH_MODE"  # to be the same on every node, or one does not join


class RayCrew:
    """Actors that each keep a base model. Where a node dies its actors start again on others, as soon as there is room.

    An actor is given nothing before it has started, so that one for which there is no room holds up no unit.
    """

    def __init__(self, store: Store, runtime: Runtime, settings: RayWorkers, most: int) -> None:
        ray = _ray()
        self._ray = ray
        self._mine = not ray.is_initialized()
        if self._mine:
            _join(ray, settings)
        try:
            size = min(most, settings.workers or _room(ray.cluster_resources(), settings))
            _check_room(ray.cluster_resources(), settings)
        except BaseException:
            self._leave()
            raise
        threads = runtime.threads or max(1, int(settings.num_cpus))
        self._given = (store.address, runtime.model_copy(update={"threads": threads}))
        self._kind = ray.remote(_Actor).options(
            num_cpus=settings.num_cpus,
            num_gpus=settings.num_gpus,
            resources=settings.resources or None,
            max_restarts=0,  # a new one takes its place, and its unit is given anew
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(threads), POLICY: os.environ.get(POLICY, ASLEEP)}},
        )
        self._actors: dict[int, Any] = {}
        self._waiting: dict[Any, tuple[int, bool]] = {}  # what Ray promised -> the worker, whether it is its start
        self._next = 0
        for _ in range(size):
            self._hire()

    def give(self, worker: int, unit: Unit) -> None:
        self._waiting[self._actors[worker].compute.remote(unit)] = (worker, False)

    def events(self, timeout: float) -> Sequence[Event]:
        ready, _ = self._ray.wait(list(self._waiting), num_returns=1, timeout=timeout)
        if ready:  # and all others that have come in the meantime
            ready, _ = self._ray.wait(list(self._waiting), num_returns=len(self._waiting), timeout=0)
        return [event for promise in ready for event in self._events_of(promise)]

    def close(self, *, at_once: bool) -> None:
        for actor in self._actors.values():
            self._ray.kill(actor)
        self._leave()

    def _events_of(self, promise: Any) -> list[Event]:
        worker, starting = self._waiting.pop(promise)
        try:
            notes, failures = self._ray.get(promise)
        except self._ray.exceptions.RayActorError as error:
            del self._actors[worker]
            self._hire()
            return [Died(worker, f"is gone ({_first_line(error)})")]
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            return [Broke(worker, cause if isinstance(cause, StoreError) else error)]
        said: list[Event] = [Said(worker, note) for note in notes]
        return [*said, Ready(worker) if starting else Ended(worker, failures)]

    def _hire(self) -> None:
        actor = self._kind.remote(*self._given)
        self._actors[self._next] = actor
        self._waiting[actor.start.remote()] = (self._next, True)
        self._next += 1

    def _leave(self) -> None:
        if self._mine:
            self._ray.shutdown()


class _Actor:
    """A worker inside Ray."""

    def __init__(self, where: str, runtime: Runtime) -> None:
        self._notes = Silent()
        self._worker = Worker(open_store(where), runtime, self._notes)

    def start(self) -> tuple[list[str], None]:
        return [], None

    def compute(self, unit: Unit) -> tuple[list[str], Any]:
        failures = self._worker.compute(unit)
        notes, self._notes.notes = self._notes.notes, []
        return notes, failures


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise SettingsError(
            "executor ray needs Ray, which is not installed; pip install 'outshine[ray]', or use --executor local"
        ) from None
    return ray


def _join(ray: Any, settings: RayWorkers) -> None:
    """Connect to the cluster that was named, or start one on this machine. Raises SettingsError."""
    os.environ.setdefault(_AUTH, "disabled")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # as it will be; and no warning about it
    try:
        ray.init(
            address=settings.address or "local",
            log_to_driver=False,
            logging_level="error",
            include_dashboard=False if settings.address is None else None,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SettingsError(
            f"no Ray cluster answers at '{settings.address}' ({_first_line(error)}); start one with "
            "`ray start --head`, name its address, or leave --address out to start one on this machine"
        ) from None


def _room(resources: dict[str, float], settings: RayWorkers) -> int:
    """Workers that the cluster holds at once."""
    return max(1, int(min(resources.get(name, 0) // each for name, each in _asked(settings).items())))


def _check_room(resources: dict[str, float], settings: RayWorkers) -> None:
    """Ray would wait for ever for what no node has. Raises SettingsError."""
    for name, each in _asked(settings).items():
        if resources.get(name, 0) < each:
            raise SettingsError(
                f"a worker asks for {each:g} {name}, and the Ray cluster has {resources.get(name, 0):g}; "
                "ask for less (executor.num_gpus, executor.num_cpus, executor.resources) or start nodes that have it"
            )


def _asked(settings: RayWorkers) -> dict[str, float]:
    every = {"CPU": settings.num_cpus, "GPU": settings.num_gpus, **settings.resources}
    return {name: each for name, each in every.items() if each} or {"CPU": 1.0}


def _first_line(error: Exception) -> str:
    return " ".join((str(error).strip().splitlines() or [type(error).__name__])[0].split())
