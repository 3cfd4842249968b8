"""Colours are for terminals: none reaches a pipe, and NO_COLOR, TERM=dumb and FORCE_COLOR are heeded."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

import outshine

SOURCES = str(Path(outshine.__file__).parents[1])
COLOURFUL = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
OF_THE_TERMINAL = ("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3\d|4\d|9\d|10\d)(?:;\d+)*m")  # SGR codes of colours, not of weight

LISTING = ("models",)
REFUSED = ("gc", "--older-than", "soon")


def environment(folder: Path, given: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in OF_THE_TERMINAL}
    own = {"PYTHONPATH": SOURCES, "HOME": str(folder), "OUTSHINE_STORE": str(folder / "store")}
    return {**kept, **own, **given}


def piped(folder: Path, *arguments: str, **given: str) -> bytes:
    """All that a command writes into pipes."""
    ended = subprocess.run(
        [sys.executable, "-m", "outshine", *arguments],
        cwd=folder,
        env=environment(folder, given),
        capture_output=True,
        timeout=120,
    )
    assert ended.stdout or ended.stderr
    return ended.stdout + ended.stderr


def on_a_terminal(folder: Path, *arguments: str, **given: str) -> str:
    """All that a command writes on a terminal."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "outshine", *arguments],
        cwd=folder,
        env=environment(folder, given),
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux's word for the end
            break
        if not part:
            break
        written += part
    os.close(ours)
    process.wait(timeout=120)
    return written.decode()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [LISTING, REFUSED, ("--help",), ("run", "--no-such-option"), ("ls", "--json")])
def test_no_escape_sequence_reaches_a_pipe(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert b"\x1b" not in piped(tmp_path, *arguments, **COLOURFUL)


@pytest.mark.slow
def test_a_run_writes_plain_text_into_pipes(tmp_path: Path) -> None:
    small = ("--n-train=32", "--n-val=16", "--n-test=16", "--set=training.epochs=1", "--set=runtime.threads=1")
    run = ("run", "--dataset=tiny-home", "--weak=tiny/weak", "--strong=tiny/strong", *small)
    written = piped(tmp_path, *run, **COLOURFUL)
    assert b"\x1b" not in written
    assert "│ tiny-home │".encode() in written
    assert b"[1/" in written


@pytest.mark.slow
def test_a_terminal_gets_colours(tmp_path: Path) -> None:
    assert COLOUR.search(on_a_terminal(tmp_path, *REFUSED, **COLOURFUL))
    assert "\x1b[" in on_a_terminal(tmp_path, *LISTING, **COLOURFUL)


@pytest.mark.slow
def test_no_color_leaves_no_colour(tmp_path: Path) -> None:
    for arguments in (REFUSED, LISTING):
        assert not COLOUR.search(on_a_terminal(tmp_path, *arguments, **COLOURFUL, NO_COLOR="1"))


@pytest.mark.slow
def test_a_dumb_terminal_gets_text_alone(tmp_path: Path) -> None:
    for arguments in (REFUSED, LISTING, ("datasets", "show", "tiny-home", "--n-train=32", "--n-val=16", "--n-test=16")):
        assert "\x1b" not in on_a_terminal(tmp_path, *arguments, TERM="dumb")


@pytest.mark.slow
def test_force_color_colours_a_pipe(tmp_path: Path) -> None:
    assert COLOUR.search(piped(tmp_path, *REFUSED, **COLOURFUL, FORCE_COLOR="1").decode())


def test_words_of_a_state_are_coloured_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from outshine.cli.terminal import console, table

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    console().print(table("", ["", "name"], [("leak", "[red]leak[/red]"), ("fine", "leaky")]))
    printed = capsys.readouterr().out
    (coloured,) = re.findall(r"\x1b\[1;31m(.*?)\x1b\[0m", printed)
    assert coloured.strip() == "leak"
    assert "[red]leak[/red]" in printed
