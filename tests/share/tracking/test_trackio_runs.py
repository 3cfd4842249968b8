"""trackio: what is called, and the real package on this machine where it is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

INSTALLED = importlib.util.find_spec("trackio") is not None


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The package in place of the real one, which prints as that does."""
    told = SimpleNamespace(started={}, logged=[], finished=0, breaks=False)
    module = ModuleType("trackio")

    def init(**started: object) -> None:
        print("* Trackio project initialized")  # noqa: T201
        told.started = started

    def log(values: dict, step: int) -> None:
        if told.breaks:
            raise ConnectionError("gone")
        told.logged.append((step, values))

    def finish() -> None:
        told.finished += 1

    vars(module).update(init=init, log=log, finish=finish)
    monkeypatch.setitem(sys.modules, "trackio", module)
    return told


def test_a_run_is_a_trackio_run_and_standard_output_stays_clean(fake, a_run, capsys):
    from outshine.share.trackers import Trackio

    Trackio().write(a_run)
    assert capsys.readouterr().out == ""
    assert fake.started["project"] == "outshine"
    assert fake.started["name"] == a_run.name
    assert fake.started["group"] == "small"
    assert fake.started["config"] == a_run.config
    assert fake.started["auto_log_cpu"] is False
    assert fake.started["auto_log_gpu"] is False
    assert fake.logged == [*a_run.points, (2, {"test/auroc": 0.875})]
    assert fake.finished == 1


def test_a_run_that_breaks_is_finished_and_told(fake, a_run):
    from outshine.share.trackers import Trackio

    fake.breaks = True
    with pytest.raises(ConnectionError):
        Trackio().write(a_run)
    assert fake.finished == 1


REAL = """
import json
from outshine.share.tracked_runs import TrackedRun
from outshine.share.trackers import Trackio
points = [(1, {"train/loss": 0.75}), (2, {"train/loss": 0.5})]
Trackio().write(TrackedRun("ab" * 32, "a name", "small", {"dataset": "sciq"}, points, {"test/auroc": 0.875}))
from trackio.sqlite_storage import SQLiteStorage
logs = SQLiteStorage.get_logs("outshine", "a name")
print(json.dumps([[one["step"], one.get("train/loss"), one.get("test/auroc")] for one in logs]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="trackio is not installed: its real package is not tried")
def test_the_real_package_on_this_machine(tmp_path):
    environment = {"TRACKIO_DIR": str(tmp_path / "trackio"), "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", REAL], cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr.decode()
    assert json.loads(ended.stdout) == [[1, 0.75, None], [2, 0.5, None], [2, None, 0.875]]
