"""wandb: what is called, that nothing but what is logged leaves, and the real package offline where it is installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from outshine.engine.errors import SettingsError

INSTALLED = importlib.util.find_spec("wandb") is not None


class FakeRun:
    """A wandb run that keeps what it is given."""

    def __init__(self, started: dict) -> None:
        self.started = started
        self.logged: list[tuple[int, dict]] = []
        self.summary: dict = {}
        self.finished = False

    def __enter__(self) -> FakeRun:
        return self

    def __exit__(self, *error: object) -> None:
        self.finished = True

    def log(self, values: dict, step: int) -> None:
        self.logged.append((step, values))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The package in place of the real one: `runs`, and how often a login was asked for."""
    told = SimpleNamespace(runs=[], logins=0, refuses=False)
    module = ModuleType("wandb")

    def login(verify: bool) -> bool:
        told.logins += 1
        if told.refuses:
            raise RuntimeError("No API key configured.")
        return True

    def init(**started: object) -> FakeRun:
        told.runs.append(FakeRun(started))
        return told.runs[-1]

    vars(module).update(login=login, init=init, Settings=lambda **fields: fields)
    monkeypatch.setitem(sys.modules, "wandb", module)
    for name in ("WANDB_MODE", "WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    return told


def test_a_run_is_a_wandb_run_with_steps_and_a_summary(fake, tmp_path, a_run):
    from outshine.share.trackers import Wandb

    Wandb(tmp_path / "out").write(a_run)
    (run,) = fake.runs
    assert run.started["project"] == "outshine"
    assert run.started["group"] == "small"
    assert run.started["name"] == a_run.name
    assert run.started["config"] == a_run.config
    assert run.started["dir"] == str(tmp_path / "out")
    assert (tmp_path / "out").is_dir()
    assert run.logged == a_run.points
    assert run.summary == a_run.final
    assert run.finished


def test_nothing_is_captured_beside_what_is_logged(fake, tmp_path, a_run):
    from outshine.share.trackers import Wandb

    Wandb(tmp_path).write(a_run)
    settings = fake.runs[0].started["settings"]
    assert settings["console"] == "off"
    assert settings["save_code"] is False
    for name in ("disable_git", "disable_code", "x_disable_meta", "x_disable_machine_info", "x_disable_stats"):
        assert settings[name] is True


def test_its_own_environment_is_heeded(fake, tmp_path, a_run, monkeypatch):
    from outshine.share.trackers import Wandb

    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    Wandb(tmp_path).write(a_run)
    assert fake.runs[0].started["project"] == "mine"
    assert fake.runs[0].started["dir"] == str(tmp_path / "elsewhere")
    assert fake.logins == 0


def test_without_a_login_it_is_refused_before_anything_is_computed(fake, tmp_path):
    from outshine.share.trackers import Wandb

    fake.refuses = True
    with pytest.raises(SettingsError, match=r"not logged in .No API key configured.*WANDB_MODE=offline"):
        Wandb(tmp_path)
    assert fake.runs == []


REAL = """
from pathlib import Path
from outshine.share.tracked_runs import TrackedRun
from outshine.share.trackers import Wandb
points = [(1, {"train/loss": 0.75}), (2, {"train/loss": 0.5})]
Wandb(Path("out")).write(TrackedRun("ab" * 32, "a name", "small", {"dataset": "sciq"}, points, {"test/auroc": 0.875}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="wandb is not installed: its real package is not tried")
def test_the_real_package_offline(tmp_path):
    environment = {
        "WANDB_MODE": "offline",
        "HOME": str(tmp_path),
        "WANDB_API_KEY": "f" * 40,
        "SECRET_KEY": "MARKER-9b74c9",
    }
    ended = subprocess.run(
        [sys.executable, "-c", REAL],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    assert ended.stdout == b""
    (kept,) = Path(tmp_path, "out", "wandb").glob("offline-run-*/run-*.wandb")
    uploaded = [kept, *(path for path in (kept.parent / "files").rglob("*") if path.is_file())]
    whole = b"".join(path.read_bytes() for path in uploaded)
    assert "wandb-metadata.json" not in {path.name for path in uploaded}  # command line, host, machine
    for word in (b"train/loss", b"test/auroc", b"sciq", b"a name"):
        assert word in whole
    for word in (b"MARKER-9b74c9", b"f" * 40, str(tmp_path).encode()):
        assert word not in whole
