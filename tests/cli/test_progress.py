"""How far a run is, on terminals of usual widths and in pipes: the numbers are there whatever models are called."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

import outshine
from outshine.cli import terminal
from outshine.engine import progress
from outshine.engine.progress import Pace, Silent, Work, tell_overall

SOURCES = Path(outshine.__file__).parents[1]
MODEL = "/home/somebody/models/sentence-transformers/all-MiniLM-L6-v2"
LABEL = f"{MODEL} on label-tickets, fold 1 of 5 strong_train, labels of cheap, xent, seed 0"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WIDTHS = (80, 100, 120)
SCRIPT = f"""
import time
from outshine.cli.terminal import progress
with progress() as shown:
    shown.overall(0.0, 25.0, 100.0)
    shown.stage(1, 12, {LABEL!r})
    for done in range(0, 12345, 1000):
        shown.advance(done, 12345, "predictions")
        time.sleep(0.04)
"""


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def screen_of(columns: int) -> Console:
    return Console(file=io.StringIO(), width=columns, force_terminal=True)


def lines(shown: terminal.TerminalProgress, columns: int) -> list[str]:
    """The lines as they stand on the terminal now."""
    screen = screen_of(columns)
    screen.print(shown._bars.get_renderable())
    return ESCAPE.sub("", screen.file.getvalue()).splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("columns", WIDTHS)
def test_every_number_is_seen_beside_a_long_name(columns, clock, monkeypatch):
    monkeypatch.setattr(terminal, "console", lambda **_: screen_of(columns))
    shown = terminal.TerminalProgress()
    shown.overall(0.0, 25.0, 100.0)
    shown.stage(1, 12, LABEL)
    shown.advance(0, 40350, "predictions")
    clock.now += 100
    shown.advance(4035, 40350, "predictions")  # a tenth of a stage that is a quarter of the work
    stage, whole = lines(shown, columns)
    shown.close()
    assert stage.startswith("[1/12] sentence-transformers")
    for part in ("4035/40350 predictions", "40/s", "0:15:00"):
        assert part in stage
    left = 100 * (1 - 0.9 * 0.1 * 0.25) / (0.9 * 0.1 * 0.25)
    assert whole.startswith("all stages")
    assert "0/12 stages" in whole
    assert str(timedelta(seconds=round(left))) in whole
    assert all("━" in line and len(line) <= columns for line in (stage, whole))


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_real_terminal_shows_bar_count_rate_and_time_left(columns, tmp_path):
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], env={**kept, "PYTHONPATH": str(SOURCES), "TERM": "xterm-256color"},
        stdin=its, stdout=its, stderr=its, cwd=tmp_path,
    )  # fmt: skip
    os.close(its)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait(60) == 0
    plain = ESCAPE.sub("", written.decode())
    frames = [line.strip() for line in re.split(r"[\r\n]+", plain)]
    told = [one for one in frames if re.search(r"^\[1/12\] sentence-transformers.* [1-9]\d*/12345 predictions", one)]
    assert told
    for frame in told:
        assert re.search(r"━.* [1-9]\d*/12345 predictions +[\d,.]+/s +\d:\d\d:\d\d$", frame), frame
        assert len(frame) <= columns
    assert any(re.search(r"^all stages +.*━.* 0/12 stages +\d:\d\d:\d\d$", frame) for frame in frames)


def test_lines_in_a_pipe_tell_the_time_of_all_stages(clock, capsys):
    shown = terminal.LineProgress()
    shown.overall(0.0, 50.0, 100.0)
    shown.stage(1, 2, LABEL)
    shown.advance(0, 100, "examples")
    clock.now += 20
    shown.advance(10, 100, "examples")
    printed = capsys.readouterr().err.splitlines()
    assert printed[0] == f"[1/2] {LABEL}"  # whole: a file is not narrow
    left = 20 * (1 - 0.9 * 0.1 * 0.5) / (0.9 * 0.1 * 0.5)
    assert printed[1] == f"[1/2] {LABEL}: 10 of 100 examples, 0.5/s, 180 s left; all stages: about {left / 60:.0f} min"


def test_the_pace_of_a_run_that_goes_on_is_its_own(clock):
    """From a checkpoint at 9,000 of 10,000: what was done before took none of this time."""
    pace = Pace()
    pace.advance(9000, 10000, "examples")
    assert (pace.rate, pace.left) == (None, None)
    clock.now += 10
    pace.advance(9100, 10000, "examples")
    assert (pace.rate, pace.left) == (10, 90)
    clock.now += 5
    pace.advance(1, 500, "predictions")  # another pass
    assert pace.rate is None
    assert pace.share > 0.9


def test_the_time_of_all_work_is_that_of_the_rest_at_the_pace_so_far(clock):
    work = Work()
    assert work.left is None
    work.overall(0.0, 30.0, 120.0)
    assert work.left is None
    clock.now += 60
    work.advance(1.0)
    assert work.left == pytest.approx(60 / 30 * 90)
    work.overall(30.0, 90.0, 120.0)
    clock.now += 60
    work.advance(0.5)
    assert work.share == pytest.approx(75 / 120)
    assert work.left == pytest.approx(120 / 75 * 45)
    work.overall(0.0, 1.0, 2.0)  # another run of stages
    assert work.left is None


def test_a_listener_without_the_method_is_not_asked():
    tell_overall(Silent(), 1.0, 1.0, 2.0)
    told: list[tuple[float, ...]] = []

    class Whole(Silent):
        def overall(self, *amounts: float) -> None:
            told.append(amounts)

    tell_overall(Whole(), 1.0, 1.0, 2.0)
    tell_overall(Whole(), 0.0, 0.0, 0.0)  # nothing is known
    assert told == [(1.0, 1.0, 2.0)]
