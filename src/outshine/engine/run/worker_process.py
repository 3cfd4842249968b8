"""One of several processes that compute the same stages on one store: `python -m outshine.engine.run.worker_process`.

`outshine.engine.run.processes` starts it and gives it a job. It finds the stages by itself and computes those that no
other process is computing. The two speak in lines of JSON. The worker sends, on what was its stdout,

    {"event": "note", "text": …}          something for the user
    {"event": "begin", "keys": […]}       it holds the locks of these stages, and waits for the answer
    {"event": "end", "failures": […]}     it computes them no more; their locks are still held
    {"event": "through", "keys": […]}     these are finished or failed, whoever computed them
    {"event": "error", "text": …, …}      it ends by what concerns all
    {"event": "done"}                     nothing is left to do

and reads, on stdin,

    {"answer": [keys]}                    compute them all but these, which have failed
    {"through": [keys], "failed": [keys]} these are finished, and of them these have failed

The end of stdin is the end of the parent, and of the worker.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TextIO

from outshine.engine.errors import OutshineError, StoreError
from outshine.engine.key import digest
from outshine.engine.progress import Silent
from outshine.engine.run.failures import Failure, StagesFailedError
from outshine.engine.run.local import LocalExecutor
from outshine.engine.run.schedule import Unit
from outshine.engine.runtime import Runtime
from outshine.engine.settings import Settings
from outshine.engine.stage import Stage, in_order
from outshine.engine.store.store import Store, open_store

PATIENCE = 10.0  # seconds for a worker to put away what it is doing


class WorkerJob(NamedTuple):
    """From which settings a worker finds the stages that it computes, and by which function of a module."""

    stages_of: Callable[[dict[str, Any], Store], Sequence[Stage]]  # given the settings as JSON keeps them
    settings: Settings

    def document(self) -> dict[str, Any]:
        """The job as JSON keeps it, with the modules that define what the settings hold."""
        function = f"{self.stages_of.__module__}:{self.stages_of.__qualname__}"
        settings = self.settings.model_dump(mode="json")
        return {"stages_of": function, "settings": settings, "modules": sorted(set(_modules(self.settings)))}


def _modules(value: Any) -> Iterable[str]:
    """The modules of all settings in a value."""
    if isinstance(value, Settings):
        yield type(value).__module__
        value = [getattr(value, name) for name in type(value).model_fields]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _modules(item)


def _stages(document: dict[str, Any], store: Store) -> Sequence[Stage]:
    """The stages of a job."""
    for module in document["modules"]:
        importlib.import_module(module)
    module, _, function = document["stages_of"].partition(":")
    return getattr(importlib.import_module(module), function)(document["settings"], store)


class ParentProcess(Silent):
    """The process that started this one. It is told notes; how far a stage is stands in the store."""

    def __init__(self, events: TextIO, answers: TextIO, through: Iterable[str], failed: Iterable[str]) -> None:
        super().__init__()
        self.through = set(through)  # keys of stages that are finished or failed
        self.failed = set(failed)
        self.is_over = False  # whether the end of the parent is no longer of interest
        self._events = events
        self._lock = threading.Lock()
        self._answers: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(answers,), daemon=True).start()

    def note(self, message: str) -> None:
        self.tell("note", text=message)

    def tell(self, event: str, **facts: Any) -> None:
        """Send an event."""
        with self._lock:
            try:
                self._events.write(json.dumps({"event": event, **facts}) + "\n")
                self._events.flush()
            except OSError:  # the parent is gone: `_listen` ends this process
                return

    def ask(self, keys: Sequence[str]) -> list[str]:
        """Which of these stages are not to be computed, having failed. Their locks are to be held."""
        self.tell("begin", keys=keys)
        return self._answers.get()

    def _listen(self, answers: TextIO) -> None:
        for line in answers:
            message = json.loads(line)
            if "answer" in message:
                self._answers.put(message["answer"])
            else:
                self.failed.update(message["failed"])  # first: who sees a stage through must see that it failed
                self.through.update(message["through"])
        if self.is_over:
            return
        os.kill(os.getpid(), signal.SIGTERM)  # the parent is gone or wants no more: what is under way is for nobody
        time.sleep(PATIENCE)
        os.kill(os.getpid(), signal.SIGKILL)  # with no parent left to do it


class ChildExecutor(LocalExecutor):
    """Computes what the parent found missing, in the same units, and tells it what it does."""

    def __init__(
        self, store: Store, runtime: Runtime, parent: ParentProcess, every: str, missing: Iterable[str]
    ) -> None:
        super().__init__(store, runtime, parent, keep_going=True)
        self.told_of_waiting = Silent()  # the others of this run are meant to be computing
        self._parent = parent
        self._every = every  # digest of the keys of all stages
        self._missing = set(missing)

    def missing(self, requested: Sequence[Stage]) -> list[Stage]:
        stages = in_order(list(requested))
        if digest([stage.key for stage in stages]) != self._every:
            raise OutshineError(
                "a worker process would compute other stages than the process that started it; files that the study "
                "reads have changed meanwhile, or the two import different code"
            )
        return [stage for stage in stages if stage.key in self._missing]

    def attempt(self, unit: Unit, timeout: float) -> list[Failure] | None:
        keys = [stage.key for stage in unit]
        if self._parent.through.issuperset(keys):
            return self._failed_before(unit, self._parent.failed)
        failures = super().attempt(unit, timeout)
        if failures is not None:
            self._parent.tell("through", keys=keys)
        return failures

    def _tried(self, lacking: Unit) -> list[Failure]:
        if not lacking:
            return []
        refused = self._parent.ask([stage.key for stage in lacking])
        before = self._failed_before(lacking, refused)
        rest = tuple(stage for stage in lacking if stage.key not in refused)
        if not rest:
            return before
        failures: list[Failure] = []
        try:
            failures = super()._tried(rest)
        finally:
            self._parent.tell("end", failures=[failure._asdict() for failure in failures])
        return [*before, *failures]

    def _failed_before(self, unit: Unit, failed: Iterable[str]) -> list[Failure]:
        known = set(failed)
        return [Failure(stage.key, stage.label, "it failed before") for stage in unit if stage.key in known]


def main() -> None:
    """Compute the job that the open file of the given number holds, until nothing is left or the parent is gone."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no event
    answers = os.fdopen(os.dup(0), encoding="utf-8")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers
    signal.signal(signal.SIGTERM, _stop)
    place = int(sys.argv[1])
    job = json.loads(os.pread(place, os.fstat(place).st_size, 0))
    parent = ParentProcess(events, answers, job["through"], job["failed"])
    try:
        store = open_store(job["store"])
        executor = ChildExecutor(store, Runtime(**job["runtime"]), parent, job["every"], job["missing"])
        executor.run(_stages(job, store))
    except StagesFailedError:  # the parent was told of each
        pass
    except OutshineError as error:
        _end_by(parent, str(error), of_store=isinstance(error, StoreError))
    except Exception:
        _end_by(parent, traceback.format_exc(), is_defect=True)
    parent.is_over = True
    parent.tell("done")
    sys.stderr.flush()
    os._exit(0)  # nothing is left to put away, and to take all modules apart takes seconds


def _end_by(parent: ParentProcess, text: str, *, of_store: bool = False, is_defect: bool = False) -> None:
    parent.is_over = True
    parent.tell("error", text=text, of_store=of_store, is_defect=is_defect)
    raise SystemExit(1)


def _stop(*_: object) -> None:
    """Leave as from an error: temporary files are removed, locks given back.

    Once: the parent's signal and the end of its pipe come together, and the second would cut this short.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)


if __name__ == "__main__":
    main()
