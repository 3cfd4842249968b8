"""The command in this process, in a home, folder and store of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from calling import Run, caller


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
    return caller(monkeypatch, capsys)
