"""Running the command in this process, as a shell would see it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from calling import Outcome, Run, caller


@pytest.fixture
def outshine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`outshine("run", ...)` in an empty folder with a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUTSHINE_STORE", str(tmp_path / "store"))
    return caller(monkeypatch, capsys)


DRAWN = {"test_odd_studies.py", "test_report_command.py", "test_score_command.py", "test_select_command.py"}
"""Tests that look at figures, or try what might trouble them."""


@pytest.fixture(autouse=True)
def _undrawn_elsewhere(request: pytest.FixtureRequest) -> None:
    if request.path.name not in DRAWN:
        request.getfixturevalue("undrawn")


@pytest.fixture(scope="session")
def earlier_runs() -> dict[tuple[bool, *tuple[str, ...]], tuple[Outcome, Path]]:
    """What `run_once` did so far, figures drawn or not: how each command ended, and a copy of the files that it left."""
    return {}


@pytest.fixture
def run_once(
    outshine: Run,
    request: pytest.FixtureRequest,
    earlier_runs: dict[tuple[bool, *tuple[str, ...]], tuple[Outcome, Path]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """`run_once("run", ...)` is `outshine("run", ...)` in the empty folder; later tests get a copy of what it left."""

    def run(*arguments: str) -> Outcome:
        assert not list(Path().iterdir())
        known = (request.path.name in DRAWN, *arguments)
        if known in earlier_runs:
            shutil.copytree(earlier_runs[known][1], Path(), dirs_exist_ok=True)
        else:
            outcome, kept = outshine(*arguments), tmp_path_factory.mktemp("ran") / "files"
            shutil.copytree(Path(), kept)
            earlier_runs[known] = outcome, kept
        return earlier_runs[known][0]

    return run


@pytest.fixture
def rows_file(tmp_path: Path) -> Callable[..., str]:
    """`rows_file(rows)` writes a jsonl file and gives its path."""

    def write(rows: list[dict], name: str = "mine.jsonl") -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write
