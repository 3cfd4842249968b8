"""The command in this process, in a home, folder and store of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from outshine.cli.main import main

Run = Callable[..., "Outcome"]
ROWS = [{"text": f"the number {i} is odd" if i % 2 else f"here {i} is even", "label": i % 2} for i in range(120)]
TINY = ("--weak=tiny/weak", "--strong=tiny/strong", "--set=compute_dtype=float32", "--set=runtime.threads=1")
SMALL = ("--n-train=64", "--n-val=24", "--n-test=24", "--set=training.epochs=1", "--allow-leaks")


class Outcome(NamedTuple):
    """What a command returned and printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def cage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder deep in a tree that is all the test's: home, store, hub cache and temporary files are in it."""
    here = tmp_path / "some" / "where" / "deep"
    here.mkdir(parents=True)
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setenv("OUTSHINE_STORE", str(here / "store"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    return here


@pytest.fixture
def outshine(cage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`outshine("run", ...)` in the cage."""

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


def write_rows(path: Path, rows: list[dict] = ROWS) -> Path:
    """Rows as a .jsonl file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
