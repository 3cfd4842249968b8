"""Crews of processes and of Ray actors: one process's results, whoever dies; failures that stop nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from numbered import STORY, Number

from outshine.engine.errors import SettingsError, StoreError
from outshine.engine.progress import Silent
from outshine.engine.run.executors import executor
from outshine.engine.run.failures import StagesFailedError
from outshine.engine.run.local import LocalExecutor
from outshine.engine.run.workers import LocalWorkers, RayWorkers
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import Store

HERE = Path(__file__).parent
WORKERS = {"local": LocalWorkers(workers=2, retries=1), "ray": RayWorkers(workers=2, num_cpus=0.5, retries=1)}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Ray on this machine, with the path to the tests' stages; started once."""
    import ray

    story = tmp_path_factory.mktemp("story") / "story"
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    variables = {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), STORY: str(story)}
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error",
        runtime_env={"env_vars": variables},
    )  # fmt: skip
    yield story
    ray.shutdown()


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def crew(request, tmp_path, monkeypatch):
    """(executor over a store, its notes, what was computed so far)."""
    story = tmp_path / "story"
    if request.param == "ray":
        story = request.getfixturevalue("cluster")
        story.unlink(missing_ok=True)
    monkeypatch.setenv(STORY, str(story))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    progress = Silent()
    made = executor(WORKERS[request.param], Store(tmp_path / "store"), Runtime(threads=1), progress)
    return made, progress.notes, lambda: sorted(map(int, story.read_text().split()))


def value(store: Store, stage: Number) -> int:
    return int(store.file(stage.key, "n.txt").read_text())


def test_a_graph_is_computed_each_stage_once(crew):
    run, notes, computed = crew
    leaves = tuple(Number(n=n) for n in range(5))
    middle = (Number(n=10, needs=leaves[:3]), Number(n=20, needs=leaves[2:]))
    top = Number(n=100, needs=middle)
    run.run([top])
    assert value(run.store, top) == 100 + 10 + (0 + 1 + 2) + 20 + (2 + 3 + 4)
    assert computed() == [0, 1, 2, 3, 4, 10, 20, 100]
    run.run([top, Number(n=7)])
    assert computed() == [0, 1, 2, 3, 4, 7, 10, 20, 100]
    assert notes == []


def test_what_fails_stops_nothing_that_does_not_need_it(crew):
    run, _, computed = crew
    bad, odd, good = Number(n=1, does="fail"), Number(n=2, does="defect"), Number(n=3)
    above, beside = Number(n=4, needs=(bad, good)), Number(n=5, needs=(good,))
    with pytest.raises(StagesFailedError) as caught:
        run.run([above, beside, odd, Number(n=6, needs=(above,))])
    assert computed() == [1, 2, 3, 5]
    assert value(run.store, beside) == 8
    told = {failure.label: (failure.message, bool(failure.trace)) for failure in caught.value.failures}
    assert told == {"number 1": ("no such number", False), "number 2": ("KeyError: 'oops'", True)}
    assert "2 stages failed, 2 that need them left out" in str(caught.value)
    kept = run.store.documents("failures").all()
    assert {document["message"] for document in kept.values()} == {"no such number", "KeyError: 'oops'"}
    assert set(kept) == {bad.key, odd.key}


def test_a_stage_whose_worker_dies_goes_on_in_another(crew):
    run, notes, computed = crew
    once, after = Number(n=1, does="die once"), Number(n=2)
    run.run([Number(n=3, needs=(once, after))])
    assert computed() == [1, 1, 2, 3]
    assert len(notes) == 1
    assert notes[0].startswith("number 1: its worker ")


def test_one_that_kills_every_worker_is_given_up(crew):
    run, notes, computed = crew
    deadly = Number(n=1, does="die")
    with pytest.raises(StagesFailedError, match="1 stage failed, 1 that need it left out") as caught:
        run.run([deadly, Number(n=2, needs=(deadly,)), Number(n=3)])
    assert computed() == [1, 1, 3]
    assert "2 workers died of it" in caught.value.failures[0].message
    assert len(notes) == 1
    assert run.store.documents("failures").read(deadly.key)["label"] == "number 1"


def test_a_store_that_cannot_be_written_ends_the_run_at_once(crew):
    run, _, _ = crew
    with pytest.raises(StoreError, match="the disk is full"):
        run.run([Number(n=1, does="break"), *(Number(n=n, needs=(Number(n=1, does="break"),)) for n in (2, 3))])


def test_what_another_driver_computes_is_waited_for_and_used(crew):
    run, _, computed = crew
    theirs, ours = Number(n=1), Number(n=2)
    other = Store(run.store.root)
    held = threading.Event()

    def compute() -> None:
        with other.lock(theirs.key), other.writing(theirs.key) as folder:
            held.set()
            while not run.store.has(ours.key):
                time.sleep(0.02)
            (folder / "n.txt").write_text("1000")
            other.commit(theirs.key, folder, {"made": {"seconds": 1}})

    thread = threading.Thread(target=compute)
    thread.start()
    assert held.wait(20)
    run.run([Number(n=3, needs=(theirs, ours))])
    thread.join(20)
    assert computed() == [2, 3]
    assert value(run.store, Number(n=3, needs=(theirs, ours))) == 1005


def test_ray_is_not_waited_for_where_it_has_too_little(cluster, tmp_path):
    asked = RayWorkers(num_gpus=1)
    with pytest.raises(SettingsError, match="asks for 1 GPU, and the Ray cluster has 0"):
        executor(asked, Store(tmp_path), Runtime(), Silent()).run([Number(n=1)])
    asked = RayWorkers(resources={"big": 2})
    with pytest.raises(SettingsError, match="asks for 2 big"):
        executor(asked, Store(tmp_path), Runtime(), Silent()).run([Number(n=1)])


def test_one_worker_is_this_process_and_no_other(tmp_path):
    assert isinstance(executor(LocalWorkers(workers=1), Store(tmp_path), Runtime(), Silent()), LocalExecutor)
    assert isinstance(executor(LocalWorkers(), Store(tmp_path), Runtime(device="cpu"), Silent()), LocalExecutor)


DRIVER = """
import sys
from numbered import Number
from outshine.engine.run.workers import LocalWorkers
from outshine.engine.progress import Silent
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import Store
from outshine.engine.run.executors import executor
class Notes(Silent):
    def note(self, message):
        print(message, flush=True)
if __name__ == "__main__":
    run = executor(LocalWorkers(workers=2), Store(sys.argv[1]), Runtime(threads=1), Notes())
    run.run([Number(n=1, does="wait"), Number(n=2, does="wait")])
"""


@pytest.mark.parametrize("how", ["interrupt", "interrupt twice", "kill"])
def test_no_worker_outlives_its_driver(how, tmp_path):
    program = tmp_path / "driver.py"
    program.write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    driver = subprocess.Popen(
        [sys.executable, str(program), str(tmp_path / "store")],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip
    assert sorted(driver.stdout.readline().strip() for _ in range(2)) == ["number 1 waits", "number 2 waits"]
    if how == "kill":
        driver.kill()
    else:
        os.killpg(driver.pid, signal.SIGINT)  # as a terminal does
        if how == "interrupt twice":
            os.killpg(driver.pid, signal.SIGINT)
    assert driver.wait(30) != 0
    driver.stdout.close()
    for _ in range(600):
        if not alive(driver.pid):
            break
        time.sleep(0.05)
    assert alive(driver.pid) == []
    assert not Store(tmp_path / "store").keys()
    store = Store(tmp_path / "store")
    assert not any(store.is_locked(Number(n=n, does="wait").key) for n in (1, 2))
    if how == "interrupt":
        assert list((tmp_path / "store" / "tmp").iterdir()) == []


def alive(session: int) -> list[str]:
    """Command lines of the processes of a session that run."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            stat = (path / "stat").read_text().rpartition(")")[2].split()
            if int(stat[3]) == session and stat[0] != "Z":
                found.append((path / "cmdline").read_text())
        except (OSError, IndexError):
            continue
    return found
