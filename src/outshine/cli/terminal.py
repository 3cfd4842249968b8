"""What the terminal shows: tables, progress bars, sizes."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table

from outshine.engine.messages import duration, one_line, visible
from outshine.engine.progress import Pace, Work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import TaskID
    from rich.text import Text

    from outshine.engine.progress import Progress
    from outshine.report.tables import TextTable


PLAIN_WIDTH = 160  # columns where the output is no terminal
_LINE_EVERY = 10.0  # seconds between two plain lines of one stage
_WIDE, _WIDE_BAR, _NARROW_BAR = 110, 24, 10  # columns
_WHOLE = Column(no_wrap=True)  # it is never cut
_LONG_PATH = re.compile(r"[^\s,]*/([^\s/,]+/[^\s/,]+)")
_FEW = 10  # units per second below which a decimal is told
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
    rich_table = Table(title=escape(title) or None, title_justify="left", title_style="bold")
    for name in columns:
        rich_table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        rich_table.add_row(*(_cell(cell) for cell in row))
    return rich_table


def _cell(text: str) -> str | Text:
    from rich.text import Text

    colour = COLOURS.get(text)
    return Text(text, style=colour) if colour else escape(text)


def report_table(text_table: TextTable) -> Table:
    """A table of the report as a table of the terminal."""
    return table(text_table.title, text_table.columns, text_table.rows, right=text_table.right)


class TerminalProgress:
    """Two lines: the stage, with a bar, units per second and the time left; and the same for all stages together.

    A long label gives way, never the numbers.
    """

    def __init__(self) -> None:
        screen = console(stderr=True)
        numbers = ("count", "rate", "left")
        self._bars = Bars(
            TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=_WIDE_BAR if screen.width >= _WIDE else _NARROW_BAR),
            *(TextColumn(f"{{task.fields[{name}]}}", justify="right", table_column=_WHOLE) for name in numbers),
            console=screen,
            transient=True,
            expand=True,
        )
        self._stage: TaskID | None = None
        self._all: TaskID | None = None
        self._pace, self._work = Pace(), Work()

    def stage(self, number: int, total: int, label: str) -> None:
        self._bars.start()
        for task in (self._stage, self._all):
            if task is not None:
                self._bars.remove_task(task)
        self._pace = Pace()
        named, counted = escape(f"[{number}/{total}] {_short(label)}"), f"{number - 1}/{total} stages"
        self._stage = self._bars.add_task(named, total=None, count="", rate="", left="")
        self._all = self._bars.add_task("all stages", total=1, count=counted, rate="", left="")
        self._show_work((number - 1) / total)

    def overall(self, done: float, next_stage: float, total: float) -> None:
        self._work.overall(done, next_stage, total)

    def advance(self, done: int, total: int, unit: str) -> None:
        if self._stage is None:
            return
        self._pace.advance(done, total, unit)
        self._work.advance(self._pace.share)
        rate = "" if self._pace.rate is None else f"{_rate(self._pace.rate)}/s"
        self._bars.update(
            self._stage,
            completed=done,
            total=total,
            count=f"{done}/{total} {unit}",
            rate=rate,
            left=_clock(self._pace.left),
        )
        self._show_work()

    def note(self, message: str) -> None:
        self._bars.console.print(f"note: {one_line(message)}", markup=False)

    def close(self) -> None:
        """Take the lines away."""
        self._bars.stop()

    def _show_work(self, share: float = 0.0) -> None:
        """The line of all stages; `share`: of the stages, where the work in them is not known."""
        if self._all is not None:
            self._bars.update(self._all, completed=self._work.share or share, left=_clock(self._work.left))


class LineProgress:
    """One plain line a stage, and one every few seconds of a long one."""

    def __init__(self) -> None:
        self._label = ""
        self._printed_at = 0.0
        self._pace, self._work = Pace(), Work()

    def stage(self, number: int, total: int, label: str) -> None:
        self._label, self._pace = f"[{number}/{total}] {one_line(label)}", Pace()
        self._printed_at = time.monotonic()
        print(self._label, file=sys.stderr, flush=True)  # noqa: T201

    def overall(self, done: float, next_stage: float, total: float) -> None:
        self._work.overall(done, next_stage, total)

    def advance(self, done: int, total: int, unit: str) -> None:
        self._pace.advance(done, total, unit)
        self._work.advance(self._pace.share)
        now, rate, left = time.monotonic(), self._pace.rate, self._pace.left
        if now - self._printed_at < _LINE_EVERY or rate is None or left is None:
            return
        self._printed_at = now
        whole = "" if self._work.left is None else f"; all stages: about {duration(self._work.left)}"
        line = f"{self._label}: {done} of {total} {unit}, {_rate(rate)}/s, {left:,.0f} s left{whole}"
        print(line, file=sys.stderr, flush=True)  # noqa: T201

    def note(self, message: str) -> None:
        print(f"note: {one_line(message)}", file=sys.stderr, flush=True)  # noqa: T201

    def close(self) -> None:
        """Nothing is to be taken away."""


def _short(label: str) -> str:
    """A label for a bar: of long paths, such as a model's folder, the last two parts."""
    return _LONG_PATH.sub(r"\1", one_line(label))


def _rate(units: float) -> str:
    return f"{units:,.0f}" if units >= _FEW else f"{units:.1f}"


def _clock(seconds: float | None) -> str:
    """`0:01:05`, or days where there are some."""
    return "-:--:--" if seconds is None else str(timedelta(seconds=round(seconds)))


def size_text(num_bytes: float) -> str:
    """A number of bytes in a few characters."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} GB"
