"""Stages computed one after the other in this process; what the store has is not computed again.

While a stage is computed a document in the store says so, for `outshine watch` on any machine. Afterwards `DONE.json`
says beside the files what was computed, and (unhashed) where and how.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from threading import Event, Thread
from typing import Any

from outshine.engine.errors import LostLeaseError, StoreError
from outshine.engine.files import named
from outshine.engine.key import canonical_fields, digest
from outshine.engine.progress import Pace, Progress, tell_overall
from outshine.engine.run.failures import Failure, StagesFailedError, forget_failures, note_failures
from outshine.engine.run.schedule import Schedule, Unit, base_of, units
from outshine.engine.runtime import Runtime, version_if_there, version_of
from outshine.engine.stage import Context, Stage, in_order
from outshine.engine.store.store import Store
from outshine.engine.threads import spinning_note, wait_asleep

_RECORDED = (
    "outshine",
    "torch",
    "transformers",
    "huggingface-hub",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "tokenizers",
)
_RECORDED_IF_THERE = ("bitsandbytes",)
RUNNING = "running"  # the kind of the documents that say what is being computed
FIRST, EVERY = 1.0, 5.0  # seconds until the first announcement, which short stages never make, and between two
_PATIENCE = 0.5  # seconds at a time that a process waits for another one's stage
_WORTH_A_NOTE = 5.0  # seconds of waiting


class LocalExecutor:
    """Runs stages in this process and keeps the last base model in memory between them.

    Several of them, on one store, share the work: each computes what no other is computing.
    """

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        progress: Progress,
        *,
        keep_going: bool = False,
        work: Mapping[str, float] | None = None,
    ) -> None:
        self.store = store
        self.runtime = runtime
        self.progress = progress
        self.heartbeat = Heartbeat(store, progress)
        self.keep_going = keep_going
        self.work = work or {}  # of stages, by key, for the progress; a stage that costs next to nothing has none
        self.memory: dict[str, Any] = {}
        self.told_of_waiting: Progress | None = None  # for stages that other processes compute, if not `progress`
        self._base: str | None = None  # the base model that was used last
        self._noted: set[str] = set()

    def missing(self, requested: Sequence[Stage]) -> list[Stage]:
        """Return what the store lacks of the stages and all they depend on, in the order of computation."""
        stages = in_order(list(requested))
        lacking = set(self.store.lacking([stage.key for stage in stages]))
        remove_leftovers(self.store, {stage.key for stage in stages} - lacking)
        return [stage for stage in stages if stage.key in lacking and not self._is_mended(stage)]

    def run(self, requested: Sequence[Stage]) -> None:
        """Compute what is missing of the stages and all they depend on.

        Raises the first failure; what is finished stays. With `keep_going` a stage that fails stops none that does
        not need it, and StagesFailedError is raised when the others are finished; at once only what concerns all: a
        StoreError, an interrupt.
        """
        missing = self.missing(requested)
        if not missing:
            return
        self.set_threads()
        schedule = Schedule(units(missing, self.runtime.cohort))
        failures: list[Failure] = []
        done, elsewhere = 0, _Elsewhere(self.told_of_waiting or self.progress)
        through, total = 0.0, work_in(missing, self.work)
        while schedule.num_left:
            unit = schedule.take(self._base)
            if unit is None:
                unit = elsewhere.next()
            own = work_in(unit, self.work)
            if not elsewhere.knows(unit):
                tell_overall(self.progress, through, own, total)
                self.progress.stage(done + 1, len(missing), unit_label(unit))
            failed = self.attempt(unit, 0 if schedule.has_ready else _PATIENCE)
            if failed is None:
                elsewhere.add(unit)
                continue
            failures += failed
            done += len(unit)
            through += own
            schedule.finish(unit, [failure.key for failure in failed])
            elsewhere.give_back(schedule)
        if failures:
            raise StagesFailedError(failures, schedule.num_left_out)

    def attempt(self, unit: Unit, timeout: float) -> list[Failure] | None:
        """Compute a unit, and say what failed of it; None where another process holds it longer than `timeout` s."""
        keys = sorted(stage.key for stage in unit)  # in one order everywhere: no two processes wait for each other
        try:
            with ExitStack() as locks:
                if not all(locks.enter_context(self.store.lock(key, timeout=timeout)) for key in keys):
                    return None
                self._note_once(self.store.finish_commits(keys))
                return self._tried(tuple(stage for stage in unit if not self.store.has(stage.key)))
        except LostLeaseError as lost:  # the other computes it, or has
            self.progress.note(f"{unit_label(unit)}: {lost}")
            return None

    def _note_once(self, notes: Sequence[str]) -> None:
        for note in notes:
            if note not in self._noted:
                self._noted.add(note)
                self.progress.note(note)

    def _tried(self, lacking: Unit) -> list[Failure]:
        """Compute what is lacking, its locks held."""
        if not lacking:
            return []
        forget_failures(self.store, lacking)
        self._base = base_of(lacking) or self._base
        try:
            with self.heartbeat.announcing(lacking):
                self._write(lacking)
        except StoreError:
            raise
        except Exception as error:  # a defect too: it stays with its stage, and is told with it
            failures = error.failures if isinstance(error, StagesFailedError) else self._failed(lacking, error)
            note_failures(self.store, failures, lacking)
            if not self.keep_going:
                raise
            return failures
        return []

    def _failed(self, unit: Unit, error: Exception) -> list[Failure]:
        return [Failure.of(stage, error) for stage in unit if not self.store.has(stage.key)]

    def _is_mended(self, stage: Stage) -> bool:
        """Set what is damaged aside. True where the stage turns out to be there: another process computed it anew."""
        if not self.store.is_damaged(stage.key):
            return False
        mended = self.store.mend(stage.key)
        if mended.aside:
            reason, aside = mended.faults[0].message, mended.aside
            self.progress.note(f"{stage.label}: damaged artefact set aside ({reason}) in {aside}; computing it anew")
        return not mended.aside and not mended.is_held and self.store.has(stage.key)

    def _write(self, unit: Unit) -> None:
        """Compute a stage, or several in one pass; a member that fails stops none of the others."""
        if len(unit) > 1:
            self._write_together(unit)
            return
        for stage in unit:
            began = time.monotonic()
            with self.store.writing(stage.key) as folder:
                stage.run(self._context(stage, folder))
                self.store.commit(stage.key, folder, self._record(stage, time.monotonic() - began))

    def _write_together(self, members: Unit) -> None:
        began = time.monotonic()
        keys = [stage.key for stage in members]
        work = self.store.work(digest(sorted(keys)))
        with ExitStack() as folders:
            contexts = [self._context(stage, folders.enter_context(self.store.writing(stage.key))) for stage in members]
            errors = members[0].run_together(members, contexts, work)
            seconds = (time.monotonic() - began) / len(members)
            self.store.commit_together(
                [
                    (stage.key, context.folder, self._record(stage, seconds, cohort=keys))
                    for stage, context, error in zip(members, contexts, errors, strict=True)
                    if error is None
                ]
            )
        shutil.rmtree(work, ignore_errors=True)
        failures = [Failure.of(stage, error) for stage, error in zip(members, errors, strict=True) if error is not None]
        if failures:
            raise StagesFailedError(failures)

    def _context(self, stage: Stage, folder: Path) -> Context:
        return Context(self.store, folder, self.store.work(stage.key), self.runtime, self.heartbeat, self.memory)

    def _record(self, stage: Stage, seconds: float, cohort: Sequence[str] = ()) -> dict[str, Any]:
        record = record_of(stage, seconds, self.runtime, cohort)
        if self.heartbeat.start_seconds is not None:
            record["made"]["start_seconds"] = round(self.heartbeat.start_seconds, 3)
        return record

    def set_threads(self) -> None:
        """Take the number of threads that was asked for; say where several will wait by spinning."""
        wait_asleep()
        import torch

        if self.runtime.threads is not None:
            torch.set_num_threads(self.runtime.threads)
        if torch.get_num_threads() > 1 and (note := spinning_note()):
            self.progress.note(note)


class _Elsewhere:
    """Units that others are computing: looked at again after each of our own, and when nothing else is left."""

    def __init__(self, progress: Progress) -> None:
        self._units: list[Unit] = []
        self._progress = progress
        self._since: dict[str, float] = {}  # by the first key of a unit: when it was first found taken
        self._told: set[str] = set()

    def add(self, unit: Unit) -> None:
        self._units.append(unit)
        key = unit[0].key
        waited = time.monotonic() - self._since.setdefault(key, time.monotonic())
        if waited > _WORTH_A_NOTE and key not in self._told:
            self._told.add(key)
            self._progress.note(f"{unit_label(unit)}: another process is computing it; waiting")

    def knows(self, unit: Unit) -> bool:
        return unit[0].key in self._since

    def next(self) -> Unit:
        return self._units.pop(0)

    def give_back(self, schedule: Schedule) -> None:
        for unit in self._units:
            schedule.give_back(unit)
        self._units.clear()


def remove_leftovers(store: Store, finished: Set[str]) -> None:
    """Remove what a process left that was killed when its stages, of keys `finished`, had just become artefacts.

    Nobody needs it any more: checkpoints to resume from, and the document that says what is being computed.
    """
    with suppress(OSError, StoreError):  # a store that cannot be written keeps it
        running = store.documents(RUNNING)
        for name, document in running.all().items():
            keys = document.get("keys")
            if isinstance(keys, list) and keys and all(str(key) in finished for key in keys):
                shutil.rmtree(store.work(digest(sorted(map(str, keys)))), ignore_errors=True)
                running.remove(name)
        for folder in named(store.root / "work"):
            if folder.name in finished:
                shutil.rmtree(folder, ignore_errors=True)


def work_in(stages: Iterable[Stage], work: Mapping[str, float]) -> float:
    """The work in these stages together."""
    return sum(work.get(stage.key, 0.0) for stage in stages)


def unit_label(unit: Unit) -> str:
    """A stage's label, or the first one's and how many go with it."""
    others = len(unit) - 1
    return unit[0].label + (f" and {others} more in one pass" if others else "")


class Heartbeat:
    """Progress that is also told in the store. A document each that takes longer than a second.

    `start_seconds`: from the beginning of the unit until its first update, or first batch, was through: loading and
    trial passes. None: none is through.
    """

    def __init__(self, store: Store, progress: Progress) -> None:
        self._store = store
        self._progress = progress
        self._far: dict[str, Any] = {}
        self._pace = Pace()
        self._began = 0.0
        self.start_seconds: float | None = None

    def stage(self, number: int, total: int, label: str) -> None:
        self._progress.stage(number, total, label)

    def advance(self, done: int, total: int, unit: str) -> None:
        self._pace.advance(done, total, unit)
        if self.start_seconds is None:
            self.start_seconds = time.monotonic() - self._began
        self._far = {"done": done, "total": total, "unit": unit, "share": self._pace.share, "left": self._pace.left}
        self._progress.advance(done, total, unit)

    def note(self, message: str) -> None:
        self._progress.note(message)

    @contextmanager
    def announcing(self, unit: Unit) -> Iterator[None]:
        """Say in the store that the unit is being computed, as long as the block runs."""
        self._far, self._pace = {}, Pace()
        self._began, self.start_seconds = time.monotonic(), None
        facts = {
            "keys": [stage.key for stage in unit],
            "label": unit[0].label,
            "host": platform.node(),
            "pid": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        over = Event()
        thread = Thread(target=self._announce, args=(unit[0].key, facts, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _announce(self, name: str, facts: dict[str, Any], over: Event) -> None:
        documents, pause = self._store.documents(RUNNING), FIRST
        while not over.wait(pause):
            pause = EVERY
            now = datetime.now(UTC).isoformat(timespec="seconds")
            with suppress(OSError, StoreError):  # a store that cannot be written has its own error
                documents.write(name, {**facts, **self._far, "at": now})
        with suppress(OSError, StoreError):
            documents.remove(name)  # perhaps that of a process that was killed


def record_of(stage: Stage, seconds: float, runtime: Runtime, cohort: Sequence[str] = ()) -> dict[str, Any]:
    """The record of a stage that took `seconds`; of a member of a cohort (the keys trained in one pass) its share."""
    return {
        "stage": stage.stage,
        "version": stage.VERSION,
        "label": stage.label,
        "fields": canonical_fields(stage),
        "inputs": [input_.key for input_ in stage.inputs()],
        "made": {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "peak_memory_mb": round(_peak_memory_mb(), 1),
            "host": platform.node(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "packages": _versions(),
            "runtime": runtime.model_dump(),
            **({"cohort": list(cohort)} if cohort else {}),
        },
    }


@cache
def _versions() -> dict[str, str]:
    """Of what is recorded: looked up once, it takes longer than many a stage."""
    optional = {name: version_if_there(name) for name in _RECORDED_IF_THERE}
    return {name: version_of(name) for name in _RECORDED} | {name: text for name, text in optional.items() if text}


def _peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
