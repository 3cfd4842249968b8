"""A study computed by several workers: who gets what, and what happens when one dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from outshine.engine.progress import Progress, tell_overall
from outshine.engine.run.failures import Failure, StagesFailedError, note_failures
from outshine.engine.run.local import LocalExecutor, unit_label, work_in
from outshine.engine.run.schedule import Schedule, Unit, base_of, units
from outshine.engine.runtime import Runtime
from outshine.engine.stage import Stage
from outshine.engine.store.store import Store

RECHECK = 0.5  # seconds until units that other drivers hold are offered again


class Ready(NamedTuple):
    """A worker can be given a unit."""

    worker: int


class Ended(NamedTuple):
    """A worker is through with its unit. failures: None where another driver's worker holds it."""

    worker: int
    failures: list[Failure] | None


class Said(NamedTuple):
    """A worker has something for the user."""

    worker: int
    message: str


class Died(NamedTuple):
    """A worker is gone, and another will take its place."""

    worker: int
    how: str


class Broke(NamedTuple):
    """A worker met what concerns all: a store that cannot be written."""

    worker: int
    error: Exception


Event = Ready | Ended | Said | Died | Broke


class Crew(Protocol):
    """Workers that compute units, wherever they are. Each is known by a number that is never used again."""

    def give(self, worker: int, unit: Unit) -> None:
        """Have a ready worker compute a unit."""
        ...

    def events(self, timeout: float) -> Sequence[Event]:
        """What happened since the last call; waits up to `timeout` seconds for something to happen."""
        ...

    def close(self, *, at_once: bool) -> None:
        """End all workers; `at_once`: also those that are computing."""
        ...


class CrewExecutor:
    """Runs stages on a crew. The results are those of one process: workers commit to the same store themselves."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        progress: Progress,
        start: Callable[[int], Crew],
        retries: int,
        work: Mapping[str, float] | None = None,
    ) -> None:
        self.store = store
        self.runtime = runtime
        self.progress = progress
        self._start = start  # given how many workers have something to do at most
        self._retries = retries
        self._work = work or {}

    def missing(self, asked: Sequence[Stage]) -> list[Stage]:
        """Of the stages and all they depend on, those that the store lacks, in the order of computation."""
        return LocalExecutor(self.store, self.runtime, self.progress).missing(asked)

    def run(self, asked: Sequence[Stage]) -> None:
        """Compute what is missing of the stages and all they depend on.

        Raises StagesFailedError when all is finished that does not need what failed, and StoreError at once.
        """
        missing = self.missing(asked)
        if not missing:
            return
        todo = units(missing, self.runtime.cohort)
        crew = self._start(len(todo))
        finished = False
        try:
            run = _Run(crew, Schedule(todo), self.progress, missing, self._retries, self._work)
            run.to_the_end()
            finished = True
        finally:
            crew.close(at_once=not finished)
        for lost, unit in run.lost:
            note_failures(self.store, lost, unit)
        if run.failures:
            raise StagesFailedError(run.failures, run.schedule.num_left_out)


class _Run:
    """The state of one run."""

    def __init__(
        self,
        crew: Crew,
        schedule: Schedule,
        progress: Progress,
        missing: Sequence[Stage],
        retries: int,
        work: Mapping[str, float],
    ) -> None:
        self.crew = crew
        self.schedule = schedule
        self.failures: list[Failure] = []
        self.lost: list[tuple[list[Failure], Unit]] = []  # units whose workers died
        self._progress = progress
        self._total = len(missing)
        self._work = work
        self._through, self._all_work = 0.0, work_in(missing, work)
        self._retries = retries
        self._begun = 0
        self._told: set[str] = set()  # first keys of the units that were begun
        self._idle: dict[int, str | None] = {}  # ready workers, and the base that each has in memory
        self._given: dict[int, Unit] = {}
        self._deaths: Counter[str] = Counter()  # by the first key of the unit that was being computed
        self._elsewhere: list[Unit] = []

    def to_the_end(self) -> None:
        while self.schedule.num_left:
            self._hand_out()
            happened = self.crew.events(RECHECK if self._elsewhere else 60.0)
            if not happened:
                self._offer_again()
            for event in happened:
                self._take_in(event)

    def _hand_out(self) -> None:
        for worker in sorted(self._idle):
            unit = self.schedule.take(self._idle[worker])
            if unit is None:
                return
            del self._idle[worker]
            self._given[worker] = unit
            self._tell(unit)
            self.crew.give(worker, unit)

    def _tell(self, unit: Unit) -> None:
        """Once a unit, however often it is begun."""
        if unit[0].key not in self._told:
            self._told.add(unit[0].key)
            tell_overall(self._progress, self._through, 0.0, self._all_work)
            self._progress.stage(self._begun + 1, self._total, unit_label(unit))
            self._begun += len(unit)

    def _take_in(self, event: Event) -> None:
        if isinstance(event, Ready):
            self._idle[event.worker] = None
        elif isinstance(event, Said):
            self._progress.note(event.message)
        elif isinstance(event, Broke):
            raise event.error
        elif isinstance(event, Ended):
            unit = self._given.pop(event.worker)
            self._idle[event.worker] = base_of(unit)
            if event.failures is None:
                self._elsewhere.append(unit)
            else:
                self._finish(unit, event.failures)
        else:
            self._bury(event)

    def _finish(self, unit: Unit, failures: list[Failure]) -> None:
        self.failures += failures
        self._through += work_in(unit, self._work)
        self.schedule.finish(unit, [failure.key for failure in failures])
        self._offer_again()

    def _bury(self, event: Died) -> None:
        self._idle.pop(event.worker, None)
        unit = self._given.pop(event.worker, None)
        if unit is None:
            return
        name = unit[0].key
        self._deaths[name] += 1
        if self._deaths[name] <= self._retries:
            self._progress.note(f"{unit_label(unit)}: its worker {event.how}; another one takes it up")
            self.schedule.give_back(unit)
            return
        message = f"{self._deaths[name]} workers died of it, the last one {event.how}; too little memory?"
        lost = [Failure(stage.key, stage.label, message) for stage in unit]
        self.lost.append((lost, unit))
        self._finish(unit, lost)

    def _offer_again(self) -> None:
        for unit in self._elsewhere:
            self.schedule.give_back(unit)
        self._elsewhere.clear()


class Worker:
    """What each worker of a crew is, wherever it runs: an executor that keeps its base model between units."""

    def __init__(self, store: Store, runtime: Runtime, progress: Progress) -> None:
        self._executor = LocalExecutor(store, runtime, progress, keep_going=True)
        self._executor.set_threads()

    def compute(self, unit: Unit) -> list[Failure] | None:
        """What failed of a unit; None where another process holds it."""
        return self._executor.attempt(unit, 0)
