"""Progress of long work: what a listener is told of stages, rows and notes. Silent by default."""

from __future__ import annotations

import time
from typing import Protocol, runtime_checkable

_FIRST_PASS = 0.9  # of a stage: training, where predictions follow


class Progress(Protocol):
    """A listener that a run tells how far it is."""

    def stage(self, number: int, total: int, label: str) -> None:
        """Take note that a stage begins.

        Args:
            number: Its place among all stages, from 1.
            total: How many stages there are.
            label: A few words that name it.
        """
        ...

    def advance(self, done: int, total: int, unit: str) -> None:
        """Take note of how far the current stage is.

        Args:
            done: Units that are through.
            total: Units in all.
            unit: What is counted, such as examples or rows.
        """
        ...

    def note(self, message: str) -> None:
        """Take note of something that the user should know.

        Args:
            message: One sentence: a guessed default, a shortened text, a damaged artefact.
        """
        ...


@runtime_checkable
class WholeProgress(Protocol):
    """A listener that also wants to know how much of all the work is done."""

    def overall(self, done: float, next_stage: float, total: float) -> None:
        """Of all work `done` is through; the stage that begins now is `next_stage` of it. Cheap stages are 0."""
        ...


def tell_overall(progress: Progress, done: float, next_stage: float, total: float) -> None:
    """Tell it to those who want to know, where the work is known."""
    if total > 0 and isinstance(progress, WholeProgress):
        progress.overall(done, next_stage, total)


class Silent:
    """A listener for libraries and tests: nothing is shown, notes are kept."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def stage(self, number: int, total: int, label: str) -> None:
        """Shown nowhere."""

    def advance(self, done: int, total: int, unit: str) -> None:
        """Shown nowhere."""

    def note(self, message: str) -> None:
        self.notes.append(message)


class Pace:
    """The rate of the current pass and the time left. What a resumed run had done before is not counted."""

    def __init__(self) -> None:
        self.unit = ""
        self.passes = 0  # that were begun
        self._began = self._now = 0.0
        self._first = self._done = self._total = 0

    def advance(self, done: int, total: int, unit: str) -> None:
        """`done` of `total` units are through; another unit is another pass."""
        self._now = time.monotonic()
        if unit != self.unit or total != self._total or done < self._done:
            self.unit, self._began, self._first = unit, self._now, done
            self.passes += 1
        self._done, self._total = done, total

    @property
    def rate(self) -> float | None:
        """Units a second; None where too little is known."""
        seconds = self._now - self._began
        return (self._done - self._first) / seconds if seconds > 0 and self._done > self._first else None

    @property
    def left(self) -> float | None:
        """Seconds until the pass is through."""
        return None if self.rate is None else (self._total - self._done) / self.rate

    @property
    def share(self) -> float:
        """How much of its stage is done: the first pass, training, is the most of it."""
        share = self._done / max(1, self._total)
        return _FIRST_PASS * share if self.passes < 2 else _FIRST_PASS + (1 - _FIRST_PASS) * share


class Work:
    """The share of all work that is done, and the time left at the rate so far."""

    def __init__(self) -> None:
        self.share = 0.0
        self._done = self._next = self._total = 0.0
        self._began, self._first = 0.0, None  # when it was first told how much was done, and how much that was

    def overall(self, done: float, next_stage: float, total: float) -> None:
        """As a listener is told."""
        if total != self._total or done < self._done:
            self._began, self._first = 0.0, None
        self._done, self._next, self._total = done, next_stage, total
        self.advance(0.0)

    def advance(self, share: float) -> None:
        """So much of the current stage is done."""
        self.share = (self._done + share * self._next) / self._total if self._total else 0.0
        if self._first is None:
            self._began, self._first = time.monotonic(), self.share

    @property
    def left(self) -> float | None:
        """Seconds; None where nothing is known yet."""
        through = self.share - (self._first or 0.0)
        return (time.monotonic() - self._began) * (1 - self.share) / through if through > 0 else None
