"""Stages that only take time, for the measurement of what computes them."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from outshine.engine.settings import Settings
from outshine.engine.stage import Context, Stage
from outshine.engine.store.store import Store


class Busy(Stage):
    """Computes for about so many seconds of a core, or not at all."""

    stage: ClassVar[str] = "busy"
    n: int
    rounds: int = 0  # of a fixed piece of work

    def run(self, context: Context) -> None:
        work(self.rounds)
        (context.folder / "n.txt").write_text(str(self.n), encoding="utf-8")


class BusyStages(Settings):
    """From which a worker process finds the stages."""

    asked: tuple[Busy, ...]


def stages_of(settings: dict[str, Any], store: Store) -> tuple[Busy, ...]:
    """The stages, as a worker process finds them."""
    return BusyStages(**settings).asked


def work(rounds: int) -> int:
    """A fixed piece of work, so many times."""
    total = 0
    for _ in range(rounds):
        total += sum(i * i for i in range(10_000))
    return total


def rounds_of(seconds: float) -> int:
    """How many rounds take so many seconds here."""
    began, rounds = time.perf_counter(), 200
    work(rounds)
    return max(1, round(rounds * seconds / (time.perf_counter() - began)))
