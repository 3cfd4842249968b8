"""Stages computed by several processes on this machine: one for each GPU, or for a share of the cores.

Each is `outshine.engine.run.worker_process`, finds the same stages and computes those that no other is computing: the
locks of the store share them out. This process watches, replaces a worker that dies, and tells the user.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

from outshine.engine.errors import OutshineError, SettingsError, StoreError
from outshine.engine.key import digest
from outshine.engine.progress import Progress, tell_overall
from outshine.engine.run.failures import Failure, StagesFailedError, note_failures
from outshine.engine.run.local import LocalExecutor, unit_label, work_in
from outshine.engine.run.schedule import units
from outshine.engine.run.worker_process import PATIENCE, WorkerJob
from outshine.engine.runtime import Runtime
from outshine.engine.stage import Stage, in_order
from outshine.engine.store.store import Store
from outshine.engine.threads import ASLEEP, POLICY

_WORKER = "outshine.engine.run.worker_process"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_GRACE = 1.0  # seconds for the news that the last one to compute a stage is dead, or through with it
_RECHECK = 0.02  # seconds between two looks whether it came


class ProcessExecutor:
    """Runs stages in processes of their own. The results are those of one process: all commit to the same store."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        progress: Progress,
        job: WorkerJob,
        size: int,
        retries: int,
        work: Mapping[str, float] | None = None,
    ) -> None:
        self.store = store
        self.runtime = runtime
        self.progress = progress
        self.job = job
        self.size = size
        self.retries = retries
        self.work = work or {}

    def missing(self, requested: Sequence[Stage]) -> list[Stage]:
        """Return what the store lacks of the stages and all they depend on, in the order of computation."""
        return LocalExecutor(self.store, self.runtime, self.progress).missing(requested)

    def run(self, requested: Sequence[Stage]) -> None:
        """Compute what is missing of the stages and all they depend on, which are those of the job.

        Raises StagesFailedError when all is finished that does not need what failed, and StoreError at once.
        """
        missing = self.missing(requested)
        if missing:
            _Run(self, self._document(requested, missing), missing).to_the_end()

    def _document(self, requested: Sequence[Stage], missing: Sequence[Stage]) -> dict[str, Any]:
        """Return the document that every worker is given."""
        job = self.job.document()
        if "__main__" in job["modules"]:
            raise SettingsError(
                "a class that the study uses is defined in the program that runs, which a worker process does not "
                "see; put it into a module of its own, or compute in this process alone (executor.workers=1)"
            )
        return {
            **job,
            "store": self.store.address,
            "every": digest([stage.key for stage in in_order(list(requested))]),
            "missing": [stage.key for stage in missing],
        }


class _Run:
    """The state of one run."""

    def __init__(self, executor: ProcessExecutor, document: dict[str, Any], missing: Sequence[Stage]) -> None:
        self._store, self._progress = executor.store, executor.progress
        self._retries, self._work = executor.retries, executor.work
        self._document = document
        self._missing = missing
        self._units = units(missing, executor.runtime.cohort)
        self._unit_of = {stage.key: i for i, unit in enumerate(self._units) for stage in unit}
        size = min(executor.size, len(self._units))
        threads = executor.runtime.threads or max(1, (os.cpu_count() or 1) // size)
        self._runtime = executor.runtime.model_copy(update={"threads": threads})
        self._workers = [_Worker(environment_of(place, self._runtime)) for place in range(size)]
        self._through: set[str] = set()  # keys of stages that are finished or failed
        self._failures: dict[str, Failure] = {}
        self._begun: set[int] = set()  # units
        self._deaths: Counter[int] = Counter()  # by the unit that was being computed
        self._deaths_idle = 0  # of workers that computed nothing, since one last began something

    def to_the_end(self) -> None:
        is_finished = False
        try:
            for worker in self._workers:
                self._start(worker)
            while any(not worker.is_done for worker in self._workers):
                for worker in _with_news(self._workers, _RECHECK if self._asking else 60.0):
                    self._hear(worker)
                for worker in self._asking:
                    self._answer(worker)
            is_finished = True
        finally:
            _end(self._workers, at_once=not is_finished)
        if self._failures:
            num_left_out = sum(
                stage.key not in self._through and stage.key not in self._failures for stage in self._missing
            )
            raise StagesFailedError([*self._failures.values()], num_left_out)

    @property
    def _asking(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.asks is not None]

    def _start(self, worker: _Worker) -> None:
        so_far = {"through": sorted(self._through), "failed": [*self._failures]}
        worker.start({**self._document, "runtime": self._runtime.model_dump(mode="json"), **so_far})

    def _hear(self, worker: _Worker) -> None:
        events, is_gone = worker.read()
        for event in events:
            self._take_in(worker, event)
        if is_gone and not worker.is_done:
            self._replace(worker)

    def _take_in(self, worker: _Worker, event: dict[str, Any]) -> None:
        match event["event"]:
            case "note":
                self._progress.note(event["text"])
            case "begin":
                worker.asks = _Question(event["keys"], time.monotonic())
            case "end":
                worker.unit = None
                self._failures |= {failure["key"]: Failure(**failure) for failure in event["failures"]}
            case "through":
                self._finish(worker, event["keys"])
            case "done":
                worker.is_done = True
            case _:
                raise _error(event)

    def _answer(self, worker: _Worker) -> None:
        """Let a worker compute what it asks for, but for what failed.

        It holds the locks. If another one seems to be computing the same, that one is dead or through, and the news of
        it is about to come; or it stood still for so long that it lost its lease.
        """
        assert worker.asks is not None
        keys, since = worker.asks
        unit = self._unit_of[keys[0]]
        if any(other.unit == unit for other in self._workers) and time.monotonic() - since < _GRACE:
            return
        failed = [key for key in keys if key in self._failures]
        worker.asks = None
        self._deaths_idle = 0
        if len(failed) < len(keys):
            worker.unit = unit
            self._tell(unit)
        worker.send({"answer": failed})

    def _tell(self, unit: int) -> None:
        """Once a unit, however often it is begun."""
        if unit not in self._begun:
            through = work_in((stage for stage in self._missing if stage.key in self._through), self._work)
            tell_overall(self._progress, through, 0.0, work_in(self._missing, self._work))
            num_begun = sum(len(self._units[i]) for i in self._begun)
            self._progress.stage(num_begun + 1, len(self._missing), unit_label(self._units[unit]))
            self._begun.add(unit)

    def _finish(self, worker: _Worker, keys: Sequence[str]) -> None:
        """The others need not look whether these are there."""
        if self._through.issuperset(keys):
            return
        self._through.update(keys)
        failed = [key for key in keys if key in self._failures]
        for other in self._workers:
            if other is not worker and not other.is_done:
                other.send({"through": keys, "failed": failed})

    def _replace(self, worker: _Worker) -> None:
        """A worker died. Its locks are free by themselves: whoever looks next takes up what it was computing."""
        how, unit = worker.reap(), worker.unit
        worker.asks = worker.unit = None
        if unit is None:
            self._deaths_idle += 1
            if self._deaths_idle > self._retries:
                raise OutshineError(f"{self._deaths_idle} workers died before they computed anything, the last {how}")
        else:
            self._count(unit, how)
        if not any(other.is_done for other in self._workers):  # else nothing is left to do
            self._start(worker)
        else:
            worker.is_done = True

    def _count(self, unit: int, how: str) -> None:
        """Begin a unit again, or give it up."""
        stages = self._units[unit]
        self._deaths[unit] += 1
        if self._deaths[unit] <= self._retries:
            self._progress.note(f"{unit_label(stages)}: its worker {how}; another one takes it up")
            return
        lost = [stage for stage in stages if not self._store.has(stage.key)]
        failures = [Failure.of_deaths(stage, self._deaths[unit], how) for stage in lost]
        self._failures |= {failure.key: failure for failure in failures}
        note_failures(self._store, failures, stages)


class _Question(NamedTuple):
    """What a worker waits to be allowed to compute."""

    keys: list[str]
    since: float


class _Worker:
    """A worker process, or the next one in its place."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.unit: int | None = None  # that it is computing
        self.asks: _Question | None = None
        self.is_done = False
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = environment
        self._rest = b""  # of what it said: the beginning of a line

    def start(self, job: Mapping[str, Any]) -> None:
        """Start a process, the first or one in place of a dead one."""
        self._rest = b""
        with TemporaryFile() as file, _interrupts_blocked():
            file.write(json.dumps(job).encode())
            file.flush()
            number = file.fileno()
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", _WORKER, str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **self._environment},
                pass_fds=[number],
            )

    @property
    def output(self) -> IO[bytes]:
        """What it says. It has been started."""
        assert self.process is not None
        assert self.process.stdout is not None
        return self.process.stdout

    def send(self, message: Mapping[str, Any]) -> None:
        """Tell it something. It has been started."""
        assert self.process is not None
        assert self.process.stdin is not None
        with suppress(OSError):  # it died: `read` says so
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """Return what it said since, and whether that is the last."""
        data = os.read(self.output.fileno(), 1 << 16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines], not data

    def reap(self) -> str:
        """Wait for the dead process; return how it died."""
        assert self.process is not None
        _end([self], at_once=False)
        code = self.process.returncode
        return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


def _with_news(workers: Sequence[_Worker], timeout: float) -> list[_Worker]:
    """Those that said something or died; waits for one."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            if not worker.is_done:
                selector.register(worker.output, selectors.EVENT_READ, worker)
        return [key.data for key, _ in selector.select(timeout)]


def _end(workers: Sequence[_Worker], *, at_once: bool) -> None:
    """End all workers, `at_once` also those that are computing.

    Asks first; who has not ended after some seconds, or at a second interrupt, is killed.
    """
    processes = [worker.process for worker in workers if worker.process]
    until = time.monotonic() + PATIENCE
    try:
        for process in processes:
            if at_once:
                process.terminate()
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.close()
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
    finally:
        for process in processes:
            process.kill()  # does nothing to one that has ended
        for process in processes:
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _error(event: Mapping[str, Any]) -> Exception:
    """What ends a worker ends the run."""
    if event["is_defect"]:
        return RuntimeError(f"a worker process ended by a defect:\n{event['text']}")
    return StoreError(event["text"]) if event["of_store"] else OutshineError(event["text"])


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """For processes started inside, from their first moment: Ctrl-C, which a terminal sends to all, is not for them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def visible_gpus() -> list[str]:
    """List the GPUs that CUDA_VISIBLE_DEVICES names; where that is not set, torch names those of this machine."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu for gpu in named.split(",") if gpu.strip()]
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]


def environment_of(place: int, runtime: Runtime) -> dict[str, str]:
    """Return the environment variables of the worker at a place: its threads, its GPU, and our module paths."""
    gpus = visible_gpus() if runtime.device in ("auto", "cuda") else []
    own = {"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} if gpus else {}
    path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
    waiting = {POLICY: os.environ.get(POLICY, ASLEEP), "PYTHONPATH": path}
    return {**dict.fromkeys(_THREADS, str(runtime.threads)), **waiting, **own}
