"""Running the command in this process, as a shell would see it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from calling import Run, caller


@pytest.fixture
def outshine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`outshine("run", ...)` in an empty folder with a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUTSHINE_STORE", str(tmp_path / "store"))
    return caller(monkeypatch, capsys)


@pytest.fixture
def rows_file(tmp_path: Path) -> Callable[..., str]:
    """`rows_file(rows)` writes a jsonl file and gives its path."""

    def write(rows: list[dict], name: str = "mine.jsonl") -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write
