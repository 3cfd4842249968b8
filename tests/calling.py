"""The command in this process, as a shell would see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from outshine.cli.main import main

Run = Callable[..., "Outcome"]


class Outcome(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def caller(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`caller(…)("run", …)` calls `outshine run …`."""

    def call(*arguments: str) -> Outcome:
        monkeypatch.setattr("sys.argv", ["outshine", *arguments])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call
