"""A crew of processes on this machine: one for each GPU, or for a share of the cores."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from outshine.engine.errors import OutshineError, StoreError
from outshine.engine.progress import Silent
from outshine.engine.run.crew import Broke, Died, Ended, Event, Ready, Said, Worker
from outshine.engine.run.failures import Failure
from outshine.engine.run.schedule import Unit
from outshine.engine.runtime import Runtime
from outshine.engine.store.open_store import open_store
from outshine.engine.store.store import Store
from outshine.engine.threads import ASLEEP, POLICY

PATIENCE = 10.0  # seconds for a worker to put away what it is doing
# how many threads a worker has
_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class _Hired(NamedTuple):
    process: Any  # multiprocessing has no public type for those of a context
    talk: Connection
    place: int  # which GPU or share of the cores it has


class Pool:
    """Processes that each keep a base model, on places of their own. One that dies is replaced at once."""

    def __init__(self, store: Store, runtime: Runtime, size: int) -> None:
        self._store = store
        self._runtime = runtime if runtime.threads else runtime.model_copy(update={"threads": _share(size)})
        self._hired: dict[int, _Hired] = {}
        self._next = 0
        for place in range(size):
            self._hire(place)

    def give(self, worker: int, unit: Unit) -> None:
        with suppress(OSError):  # it died: `events` says so
            self._hired[worker].talk.send(unit)

    def events(self, timeout: float) -> Sequence[Event]:
        by_talk = {hired.talk: worker for worker, hired in self._hired.items()}
        found: list[Event] = []
        for talk in wait(list(by_talk), timeout):
            worker = by_talk[talk]  # type: ignore[index]
            try:
                while self._hired[worker].talk.poll():
                    found.append(_event(worker, *self._hired[worker].talk.recv()))
            except (EOFError, OSError):
                found.append(self._replace(worker))
        return found

    def close(self, *, at_once: bool) -> None:
        """Asks first; who has not ended after some seconds, or at a second interrupt, is killed."""
        processes = [hired.process for hired in self._hired.values()]
        try:
            for hired in self._hired.values():
                hired.talk.close()
                if at_once:
                    hired.process.terminate()
            for process in processes:
                process.join(PATIENCE)
        finally:
            for process in processes:
                if process.is_alive():
                    process.kill()
            for process in processes:
                process.join()

    def _hire(self, place: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        given = (theirs, self._store.address, self._runtime)
        process = context.Process(target=_work, args=given, name=f"outshine worker {place}", daemon=True)
        with _environment(_surroundings(place, self._runtime)):
            process.start()
        theirs.close()  # the worker's end closes when it dies
        self._hired[self._next] = _Hired(process, ours, place)
        self._next += 1

    def _replace(self, worker: int) -> Died:
        hired = self._hired.pop(worker)
        hired.talk.close()
        hired.process.join(PATIENCE)
        code = hired.process.exitcode
        self._hire(hired.place)
        return Died(worker, f"was killed by signal {-code}" if code and code < 0 else f"ended with code {code}")


def _event(worker: int, kind: str, value: Any) -> Event:
    if kind == "ready":
        return Ready(worker)
    if kind == "said":
        return Said(worker, value)
    if kind == "broke":
        return Broke(worker, StoreError(value))
    return Ended(worker, None if value is None else [Failure(*one) for one in value])


def _share(size: int) -> int:
    """Threads of each worker: the cores divided evenly."""
    return max(1, (os.cpu_count() or 1) // size)


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES names, or all GPUs of this machine; asks torch only where the variable is not set."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [one for one in named.split(",") if one.strip()]
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]


def _surroundings(place: int, runtime: Runtime) -> dict[str, str]:
    """Environment variables of the worker at a place."""
    gpus = visible_gpus() if runtime.device in ("auto", "cuda") else []
    own = {"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} if gpus else {}
    waiting = {POLICY: os.environ.get(POLICY, ASLEEP)}
    return {**dict.fromkeys(_POOLS, str(runtime.threads)), **waiting, **own}


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """For processes started inside: libraries read these when they are first imported."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Notes(Silent):
    """Notes go to the driver; how far a stage is stands in the store."""

    def __init__(self, talk: Connection) -> None:
        super().__init__()
        self._talk = talk

    def note(self, message: str) -> None:
        self._talk.send(("said", message))


def _work(talk: Connection, where: str, runtime: Runtime) -> None:
    """The life of a worker: units in, what failed of them out, until the driver closes the pipe or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the driver, which ends its workers
    signal.signal(signal.SIGTERM, _stop)
    todo: queue.SimpleQueue[Unit] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(talk, todo), daemon=True).start()
    try:
        worker = Worker(open_store(where), runtime, _Notes(talk))
        talk.send(("ready", None))
        while True:
            failures = worker.compute(todo.get())
            talk.send(("ended", None if failures is None else [tuple(one) for one in failures]))
    except OutshineError as error:
        talk.send(("broke", str(error)))


def _listen(talk: Connection, todo: queue.SimpleQueue[Unit]) -> None:
    try:
        while True:
            todo.put(talk.recv())
    except (EOFError, OSError):  # the driver is gone or wants no more: what is under way is for nobody
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
        os.kill(os.getpid(), signal.SIGKILL)  # with no driver left to do it


def _stop(*_: object) -> None:
    """Leave as from an error: temporary files are removed, locks given back.

    Once: the driver's signal and the end of its pipe come together, and the second would cut this short.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)
