"""Stages as small as can be, for tests of what computes them; importable by workers."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, ClassVar

from outshine.engine.errors import StoreError, TrainingError
from outshine.engine.run.worker_process import WorkerJob
from outshine.engine.settings import Settings
from outshine.engine.stage import Context, Stage
from outshine.engine.store.store import Store

STORY = "OUTSHINE_TEST_STORY"  # environment: a file that gets a line for each computation


class Number(Stage):
    """A number. Some kill their worker, fail, or last."""

    stage: ClassVar[str] = "number"
    n: int
    does: str = ""  # die: kill the worker; die once; fail; defect; break; wait; meet: wait for another, tell its share
    needs: tuple[Number, ...] = ()

    @property
    def label(self) -> str:
        return f"number {self.n}"

    def run(self, context: Context) -> None:
        append_to_story(f"{self.n}")
        context.work.mkdir(parents=True, exist_ok=True)
        again = (context.work / "begun").exists()
        (context.work / "begun").touch()
        if self.does == "die" or (self.does == "die once" and not again):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.does == "fail":
            raise TrainingError("no such number")
        if self.does == "break":
            raise StoreError("cannot write to the store: the disk is full")
        if self.does == "defect":
            raise KeyError("oops")
        if self.does == "wait":
            context.progress.note(f"number {self.n} waits")
            time.sleep(60)
        if self.does == "meet":
            meet()
            context.progress.note(f"{os.environ['CUDA_VISIBLE_DEVICES']} {os.environ['OMP_NUM_THREADS']}")
        total = self.n + sum(int(context.store.file(one.key, "n.txt").read_text()) for one in self.needs)
        (context.folder / "n.txt").write_text(str(total))


def append_to_story(line: str) -> None:
    """One line more in the story."""
    if STORY in os.environ:
        with Path(os.environ[STORY]).open("a") as file:
            file.write(line + "\n")


def meet() -> None:
    """Wait until two stages have begun, each in a worker of its own."""
    until = time.monotonic() + 60
    while len(Path(os.environ[STORY]).read_text().split()) < 2 and time.monotonic() < until:
        time.sleep(0.02)


class Numbers(Settings):
    """What a worker process finds the stages by."""

    asked: tuple[Number, ...]


def stages_of(settings: dict[str, Any], store: Store) -> tuple[Number, ...]:
    """The stages as a worker process finds them."""
    return Numbers(**settings).asked


def other_stages_of(settings: dict[str, Any], store: Store) -> tuple[Number, ...]:
    """As a worker process finds them whose code is another."""
    return tuple(stage.model_copy(update={"n": stage.n + 1}) for stage in stages_of(settings, store))


def broken_stages_of(settings: dict[str, Any], store: Store) -> tuple[Number, ...]:
    """As a worker process finds them that meets a defect."""
    raise KeyError("oops")


def job_of(*asked: Number) -> WorkerJob:
    """The job of computing these numbers."""
    return WorkerJob(stages_of, Numbers(asked=asked))
