"""Stages as small as can be, for tests of what computes them; importable by workers."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import ClassVar

from outshine.engine.errors import StoreError, TrainingError
from outshine.engine.stage import Context, Stage

STORY = "OUTSHINE_TEST_STORY"  # environment: a file that gets a line for each computation


class Number(Stage):
    """A number. Some kill their worker, fail, or last."""

    stage: ClassVar[str] = "number"
    n: int
    does: str = ""  # die: kill the worker; die once; fail; break; wait
    needs: tuple[Number, ...] = ()

    @property
    def label(self) -> str:
        return f"number {self.n}"

    def run(self, context: Context) -> None:
        broadcast(f"{self.n}")
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
        total = self.n + sum(int(context.store.file(one.key, "n.txt").read_text()) for one in self.needs)
        (context.folder / "n.txt").write_text(str(total))


def broadcast(line: str) -> None:
    """One line more in the story."""
    if STORY in os.environ:
        with Path(os.environ[STORY]).open("a") as file:
            file.write(line + "\n")
