"""What commands print: progress while they run, tables when they are done."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from outshine.core.messages import one_line, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import TaskID
    from rich.text import Text

    from outshine.core.progress import Progress
    from outshine.report.sheets import Sheet

PLAIN_WIDTH = 160  # columns where the output is no terminal
_LINE_EVERY = 10.0  # seconds between two plain lines of one stage
COLOURS = {  # of words that tell a state; the word alone says the same
    "leak": "bold red",
    "failed": "bold red",
    "warning": "yellow",
    "cue": "cyan",
    "passed": "green",
    "in store": "green",
    "running": "cyan",
}


class SafeConsole(Console):
    """A console that writes control characters out: names and texts are others', and a terminal would obey them."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)


def console(stderr: bool = False, *, quiet: bool = False) -> Console:
    """A console: coloured in a terminal, plain and wide in a file or pipe; `quiet`: it prints nothing.

    rich reads NO_COLOR (no colours), TERM=dumb (nothing but text) and FORCE_COLOR (colours in a pipe too).
    """
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PLAIN_WIDTH
    return SafeConsole(stderr=stderr, highlight=False, emoji=False, width=width, quiet=quiet)


@contextmanager
def progress() -> Iterator[Progress]:
    """Progress on the error stream while the block runs: a bar in a terminal, lines elsewhere."""
    is_screen = sys.stderr.isatty() and not console(stderr=True).is_dumb_terminal
    shown = TerminalProgress() if is_screen else LineProgress()
    try:
        yield shown
    finally:
        shown.close()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> Table:
    """A table whose cells are plain text (never markup); `right`: names of right-aligned columns.

    A cell that is one of the words of `COLOURS` has its colour.
    """
    made = Table(title=escape(title) or None, title_justify="left", title_style="bold")
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(_cell(cell) for cell in row))
    return made


def _cell(text: str) -> str | Text:
    from rich.text import Text

    colour = COLOURS.get(text)
    return Text(text, style=colour) if colour else escape(text)


def sheet(one: Sheet) -> Table:
    """A sheet of the report as a table of the terminal."""
    return table(one.title, one.columns, one.rows, right=one.right)


class TerminalProgress:
    """Stage k of n and a bar with units per second and time left."""

    def __init__(self) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}  {task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console(stderr=True),
            transient=True,
        )
        self._task: TaskID | None = None
        self._unit = ""
        self._began = 0.0

    def stage(self, number: int, total: int, label: str) -> None:
        self._bars.start()
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._unit, self._began = "", time.monotonic()
        self._task = self._bars.add_task(escape(f"[{number}/{total}] {one_line(label)}"), total=None, unit="", rate="")

    def advance(self, done: int, total: int, unit: str) -> None:
        if self._task is None:
            return
        if unit != self._unit:
            self._unit, self._began = unit, time.monotonic()
            self._bars.reset(self._task, total=total)
        rate = done / max(1e-9, time.monotonic() - self._began)
        self._bars.update(self._task, completed=done, total=total, unit=unit, rate=f"{rate:,.0f}/s")

    def note(self, message: str) -> None:
        self._bars.console.print(f"note: {one_line(message)}", markup=False)

    def close(self) -> None:
        """Take the bar away."""
        self._bars.stop()


class LineProgress:
    """One plain line a stage, and one every few seconds of a long one."""

    def __init__(self) -> None:
        self._label = ""
        self._unit = ""
        self._began = self._told = 0.0

    def stage(self, number: int, total: int, label: str) -> None:
        self._label, self._unit = f"[{number}/{total}] {one_line(label)}", ""
        self._began = self._told = time.monotonic()
        print(self._label, file=sys.stderr, flush=True)  # noqa: T201

    def advance(self, done: int, total: int, unit: str) -> None:
        now = time.monotonic()
        if unit != self._unit:
            self._unit, self._began = unit, now
        if now - self._told < _LINE_EVERY or now <= self._began:
            return
        self._told = now
        rate = done / (now - self._began)
        left = (total - done) / max(rate, 1e-9)
        line = f"{self._label}: {done} of {total} {unit}, {rate:,.0f}/s, {left:,.0f} s left"
        print(line, file=sys.stderr, flush=True)  # noqa: T201

    def note(self, message: str) -> None:
        print(f"note: {one_line(message)}", file=sys.stderr, flush=True)  # noqa: T201

    def close(self) -> None:
        """Nothing is to be taken away."""
