"""Stages computed by Ray actors, on one machine or many. Results pass through the store, never through Ray."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from outshine.engine.errors import SettingsError, StoreError
from outshine.engine.progress import Progress, Silent, tell_overall
from outshine.engine.run.executors import RayWorkers
from outshine.engine.run.failures import Failure, StagesFailedError, note_failures
from outshine.engine.run.local import LocalExecutor, unit_label, work_in
from outshine.engine.run.schedule import Schedule, Unit, base_of, units
from outshine.engine.runtime import Runtime
from outshine.engine.stage import Stage
from outshine.engine.store.store import Store, open_store
from outshine.engine.threads import ASLEEP, POLICY

_AUTH = "RAY_AUTH_MODE"  # to be the same on every node, or one does not join
_RECHECK = 0.5  # seconds until units that other drivers hold are offered again


class RayExecutor:
    """Runs stages on Ray actors. The results are those of one process: actors commit to the same store themselves."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        progress: Progress,
        settings: RayWorkers,
        work: Mapping[str, float] | None = None,
    ) -> None:
        self.store = store
        self.runtime = runtime
        self.progress = progress
        self.settings = settings
        self.work = work or {}

    def missing(self, requested: Sequence[Stage]) -> list[Stage]:
        """Return what the store lacks of the stages and all they depend on, in the order of computation."""
        return LocalExecutor(self.store, self.runtime, self.progress).missing(requested)

    def run(self, requested: Sequence[Stage]) -> None:
        """Compute what is missing of the stages and all they depend on.

        Raises StagesFailedError when all is finished that does not need what failed, and StoreError at once.
        """
        missing = self.missing(requested)
        if not missing:
            return
        todo = units(missing, self.runtime.cohort)
        actors = _Actors(self.store, self.runtime, self.settings, len(todo))
        try:
            run = _Run(self, actors, Schedule(todo), missing)
            run.to_the_end()
        finally:
            actors.close()
        if run.failures:
            raise StagesFailedError(run.failures, run.schedule.num_left_out)


class _WorkerReady(NamedTuple):
    """An actor has started."""

    worker: int


class _UnitFinished(NamedTuple):
    """An actor is through with its unit. failures: None where another driver's worker holds it."""

    worker: int
    notes: list[str]
    failures: list[Failure] | None


class _WorkerDied(NamedTuple):
    """An actor is gone, and another will take its place."""

    worker: int
    how: str


_Event = _WorkerReady | _UnitFinished | _WorkerDied


class _Run:
    """The state of one run: which unit is where."""

    def __init__(self, executor: RayExecutor, actors: _Actors, schedule: Schedule, missing: Sequence[Stage]) -> None:
        self.schedule = schedule
        self.failures: list[Failure] = []
        self._store, self._progress = executor.store, executor.progress
        self._retries, self._work = executor.settings.retries, executor.work
        self._actors = actors
        self._missing = missing
        self._through = 0.0  # work
        self._num_begun = 0  # stages
        self._begun: set[str] = set()  # first keys of units
        self._idle: dict[int, str | None] = {}  # ready workers, and the base that each has in memory
        self._given: dict[int, Unit] = {}
        self._deaths: Counter[str] = Counter()  # by the first key of the unit that was being computed
        self._elsewhere: list[Unit] = []  # units that another driver's workers hold

    def to_the_end(self) -> None:
        while self.schedule.num_left:
            self._hand_out()
            events = self._actors.events(_RECHECK if self._elsewhere else 60.0)
            if not events:
                self._offer_again()
            for event in events:
                self._take_in(event)

    def _hand_out(self) -> None:
        for worker in sorted(self._idle):
            unit = self.schedule.take(self._idle[worker])
            if unit is None:
                return
            del self._idle[worker]
            self._given[worker] = unit
            self._tell(unit)
            self._actors.compute(worker, unit)

    def _tell(self, unit: Unit) -> None:
        """Once a unit, however often it is begun."""
        if unit[0].key not in self._begun:
            self._begun.add(unit[0].key)
            tell_overall(self._progress, self._through, 0.0, work_in(self._missing, self._work))
            self._progress.stage(self._num_begun + 1, len(self._missing), unit_label(unit))
            self._num_begun += len(unit)

    def _take_in(self, event: _Event) -> None:
        if isinstance(event, _WorkerReady):
            self._idle[event.worker] = None
        elif isinstance(event, _UnitFinished):
            for note in event.notes:
                self._progress.note(note)
            unit = self._given.pop(event.worker)
            self._idle[event.worker] = base_of(unit)
            if event.failures is None:
                self._elsewhere.append(unit)
            else:
                self._finish(unit, event.failures)
        else:
            self._begin_again(event)

    def _finish(self, unit: Unit, failures: list[Failure]) -> None:
        self.failures += failures
        self._through += work_in(unit, self._work)
        self.schedule.finish(unit, [failure.key for failure in failures])
        self._offer_again()

    def _begin_again(self, death: _WorkerDied) -> None:
        """What the worker was computing is given to another one, or given up."""
        self._idle.pop(death.worker, None)
        unit = self._given.pop(death.worker, None)
        if unit is None:
            return
        self._deaths[unit[0].key] += 1
        num_deaths = self._deaths[unit[0].key]
        if num_deaths <= self._retries:
            self._progress.note(f"{unit_label(unit)}: its worker {death.how}; another one takes it up")
            self.schedule.give_back(unit)
            return
        lost = [Failure.of_deaths(stage, num_deaths, death.how) for stage in unit]
        note_failures(self._store, lost, unit)
        self._finish(unit, lost)

    def _offer_again(self) -> None:
        for unit in self._elsewhere:
            self.schedule.give_back(unit)
        self._elsewhere.clear()


class _Actors:
    """Actors that each keep a base model. Where a node dies its actors start again on others, as soon as there is room.

    Each is known by a number that is never used again. It is given nothing before it has started, so that one for which
    there is no room holds up no unit.
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
            self._start()

    def compute(self, worker: int, unit: Unit) -> None:
        """Have a worker that is ready compute a unit."""
        self._waiting[self._actors[worker].compute.remote(unit)] = (worker, False)

    def events(self, timeout: float) -> list[_Event]:
        """What happened since the last call; waits up to `timeout` seconds for something to happen.

        Raises what a worker met that concerns all: a store that cannot be written.
        """
        ready, _ = self._ray.wait(list(self._waiting), num_returns=1, timeout=timeout)
        if ready:  # and all others that have come in the meantime
            ready, _ = self._ray.wait(list(self._waiting), num_returns=len(self._waiting), timeout=0)
        return [self._event(promise) for promise in ready]

    def close(self) -> None:
        """End all actors."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        self._leave()

    def _event(self, promise: Any) -> _Event:
        worker, is_start = self._waiting.pop(promise)
        try:
            notes, failures = self._ray.get(promise)
        except self._ray.exceptions.RayActorError as error:
            del self._actors[worker]
            self._start()
            return _WorkerDied(worker, f"is gone ({_first_line(error)})")
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, StoreError):
                raise error.cause from None
            raise
        return _WorkerReady(worker) if is_start else _UnitFinished(worker, notes, failures)

    def _start(self) -> None:
        actor = self._kind.remote(*self._given)
        self._actors[self._next] = actor
        self._waiting[actor.start.remote()] = (self._next, True)
        self._next += 1

    def _leave(self) -> None:
        if self._mine:
            self._ray.shutdown()


class _Actor:
    """A worker inside Ray: an executor that keeps its base model between units."""

    def __init__(self, where: str, runtime: Runtime) -> None:
        self._notes = Silent()
        self._executor = LocalExecutor(open_store(where), runtime, self._notes, keep_going=True)
        self._executor.set_threads()

    def start(self) -> tuple[list[str], None]:
        return [], None

    def compute(self, unit: Unit) -> tuple[list[str], list[Failure] | None]:
        """Notes, and what failed of the unit; None where another process holds it."""
        failures = self._executor.attempt(unit, 0)
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
