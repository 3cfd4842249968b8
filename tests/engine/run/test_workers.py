"""Worker processes and Ray actors: one process's results, whoever dies; failures that stop nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from numbered import STORY, Number, Numbers, broken_stages_of, job_of, other_stages_of

from outshine.api import label
from outshine.api import run as run_study
from outshine.engine.errors import OutshineError, SettingsError, StoreError
from outshine.engine.progress import Silent
from outshine.engine.run.executors import LocalWorkers, RayWorkers, executor
from outshine.engine.run.failures import StagesFailedError
from outshine.engine.run.local import LocalExecutor
from outshine.engine.run.worker_process import WorkerJob
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import Store
from outshine.w2s.study_file import parse_study

pytestmark = pytest.mark.slow  # real processes, each of which imports torch

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


class Run(NamedTuple):
    """A run by workers: the store that they share, the notes, and how to compute."""

    store: Store
    notes: list[str]
    story: Path
    compute: Callable[[Sequence[Number]], None]

    def computed(self) -> list[int]:
        """Which numbers were begun so far, as often as they were."""
        return sorted(map(int, self.story.read_text().split()))


@pytest.fixture(params=["local", "ray"])
def run(request, tmp_path, monkeypatch) -> Run:
    story = tmp_path / "story"
    if request.param == "ray":
        story = request.getfixturevalue("cluster")
        story.unlink(missing_ok=True)
    monkeypatch.setenv(STORY, str(story))
    progress, store = Silent(), Store(tmp_path / "store")

    def compute(asked: Sequence[Number]) -> None:
        executor(WORKERS[request.param], store, Runtime(threads=1), progress, job_of(*asked)).run(asked)

    return Run(store, progress.notes, story, compute)


def value(store: Store, stage: Number) -> int:
    return int(store.file(stage.key, "n.txt").read_text())


def test_a_graph_is_computed_each_stage_once(run):
    leaves = tuple(Number(n=n) for n in range(5))
    middle = (Number(n=10, needs=leaves[:3]), Number(n=20, needs=leaves[2:]))
    top = Number(n=100, needs=middle)
    run.compute([top])
    assert value(run.store, top) == 100 + 10 + (0 + 1 + 2) + 20 + (2 + 3 + 4)
    assert run.computed() == [0, 1, 2, 3, 4, 10, 20, 100]
    run.compute([top, Number(n=7)])
    assert run.computed() == [0, 1, 2, 3, 4, 7, 10, 20, 100]
    assert run.notes == []


def test_what_fails_stops_nothing_that_does_not_need_it(run):
    bad, odd, good = Number(n=1, does="fail"), Number(n=2, does="defect"), Number(n=3)
    above, beside = Number(n=4, needs=(bad, good)), Number(n=5, needs=(good,))
    with pytest.raises(StagesFailedError) as caught:
        run.compute([above, beside, odd, Number(n=6, needs=(above,))])
    assert run.computed() == [1, 2, 3, 5]
    assert value(run.store, beside) == 8
    told = {failure.label: (failure.message, bool(failure.trace)) for failure in caught.value.failures}
    assert told == {"number 1": ("no such number", False), "number 2": ("KeyError: 'oops'", True)}
    assert "2 stages failed, 2 that need them left out" in str(caught.value)
    kept = run.store.documents("failures").all()
    assert {document["message"] for document in kept.values()} == {"no such number", "KeyError: 'oops'"}
    assert set(kept) == {bad.key, odd.key}


def test_a_stage_whose_worker_dies_goes_on_in_another(run):
    once, after = Number(n=1, does="die once"), Number(n=2)
    run.compute([Number(n=3, needs=(once, after))])
    assert run.computed() == [1, 1, 2, 3]
    assert len(run.notes) == 1
    assert run.notes[0].startswith("number 1: its worker ")


def test_one_that_kills_every_worker_is_given_up(run):
    deadly = Number(n=1, does="die")
    with pytest.raises(StagesFailedError, match="1 stage failed, 1 that need it left out") as caught:
        run.compute([deadly, Number(n=2, needs=(deadly,)), Number(n=3)])
    assert run.computed() == [1, 1, 3]
    assert "2 workers died of it" in caught.value.failures[0].message
    assert len(run.notes) == 1
    assert run.store.documents("failures").read(deadly.key)["label"] == "number 1"


def test_a_store_that_cannot_be_written_ends_the_run_at_once(run):
    with pytest.raises(StoreError, match="the disk is full"):
        run.compute([Number(n=1, does="break"), *(Number(n=n, needs=(Number(n=1, does="break"),)) for n in (2, 3))])


def test_what_another_driver_computes_is_waited_for_and_used(run):
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
    run.compute([Number(n=3, needs=(theirs, ours))])
    thread.join(20)
    assert run.computed() == [2, 3]
    assert value(run.store, Number(n=3, needs=(theirs, ours))) == 1005


def test_ray_is_not_waited_for_where_it_has_too_little(cluster, tmp_path):
    asked = RayWorkers(num_gpus=1)
    with pytest.raises(SettingsError, match="asks for 1 GPU, and the Ray cluster has 0"):
        executor(asked, Store(tmp_path), Runtime(), Silent(), job_of()).run([Number(n=1)])
    asked = RayWorkers(resources={"big": 2})
    with pytest.raises(SettingsError, match="asks for 2 big"):
        executor(asked, Store(tmp_path), Runtime(), Silent(), job_of()).run([Number(n=1)])


def test_one_worker_is_this_process_and_no_other(tmp_path):
    assert isinstance(executor(LocalWorkers(workers=1), Store(tmp_path), Runtime(), Silent(), job_of()), LocalExecutor)
    assert isinstance(
        executor(LocalWorkers(), Store(tmp_path), Runtime(device="cpu"), Silent(), job_of()), LocalExecutor
    )


def by_processes(tmp_path: Path, asked: Sequence[Number], job: WorkerJob, runtime: Runtime | None = None) -> list[str]:
    """Have two processes, or one for each GPU, compute these numbers; the notes."""
    progress = Silent()
    workers = WORKERS["local"] if runtime is None else LocalWorkers()
    executor(workers, Store(tmp_path / "store"), runtime or Runtime(threads=1), progress, job).run(asked)
    return progress.notes


def test_each_worker_has_its_gpu_and_its_share_of_the_threads(tmp_path, monkeypatch):
    monkeypatch.setenv(STORY, str(tmp_path / "story"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    asked = [Number(n=1, does="meet"), Number(n=2, does="meet")]
    assert sorted(by_processes(tmp_path, asked, job_of(*asked), Runtime(device="cuda"))) == ["4 3", "7 3"]


def test_a_worker_that_finds_other_stages_computes_none(tmp_path, monkeypatch):
    monkeypatch.setenv(STORY, str(tmp_path / "story"))
    asked = (Number(n=1), Number(n=2))
    with pytest.raises(OutshineError, match="a worker process would compute other stages"):
        by_processes(tmp_path, asked, WorkerJob(other_stages_of, Numbers(asked=asked)))
    assert not (tmp_path / "story").exists()


def test_a_defect_in_finding_the_stages_is_told_with_its_traceback(tmp_path):
    asked = (Number(n=1), Number(n=2))
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*broken_stages_of.*KeyError: 'oops'"):
        by_processes(tmp_path, asked, WorkerJob(broken_stages_of, Numbers(asked=asked)))


def test_workers_that_never_begin_are_not_replaced_for_ever(tmp_path, monkeypatch):
    asked = (Number(n=1), Number(n=2))
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'worker_process' in str(sys.orig_argv): os._exit(7)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OutshineError, match="2 workers died before they computed anything, the last ended with code 7"):
        by_processes(tmp_path, asked, job_of(*asked))


def test_a_class_of_the_program_itself_is_refused(tmp_path):
    own = type("Own", (Number,), {"__module__": "__main__"})(n=1)
    with pytest.raises(SettingsError, match="is defined in the program that runs"):
        by_processes(tmp_path, [own], WorkerJob(other_stages_of, Numbers(asked=(own,))))


TINY = {
    "name": "small",
    "datasets": ["tiny-home"],
    "weak": "tiny/weak",
    "strong": "tiny/strong",
    "methods": ["vanilla", {"kind": "probe", "probe": "logistic"}],
    "splits": {"n_train": 48, "n_val": 20, "n_test": 20},
    "training": {"epochs": 1},
    "runtime": {"threads": 1},
}


def test_the_tables_of_a_study_are_those_of_one_process(tmp_path):
    alone = run_study(parse_study(TINY), store=tmp_path / "alone", allow_leaks=True)
    study = parse_study({**TINY, "executor": {"kind": "local", "workers": 2}})
    by_two = run_study(study, store=tmp_path / "two", allow_leaks=True)
    assert by_two.scores.equals(alone.scores)


def test_the_folds_of_a_labelling_are_those_of_one_process(tmp_path):
    rows = [{"text": f"word{n} {'good' if n % 2 else 'bad'}", "label": n % 2} for n in range(80)]
    pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)

    def labelled(workers: int) -> pd.DataFrame:
        return label(
            tmp_path / "rows.csv", weak_label="label", strong="tiny/strong", store=tmp_path / f"store{workers}",
            folds=2, training={"epochs": 1}, runtime={"threads": 1}, executor={"kind": "local", "workers": workers},
        ).rows  # fmt: skip

    assert labelled(2).equals(labelled(1))


DRIVER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a shell
from numbered import Number, job_of
from outshine.engine.progress import Silent
from outshine.engine.run.executors import executor
from outshine.engine.run.executors import LocalWorkers
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import Store
class Notes(Silent):
    def note(self, message):
        print(message, flush=True)
asked = [Number(n=1, does="wait"), Number(n=2, does="wait")]
executor(LocalWorkers(workers=2), Store(sys.argv[1]), Runtime(threads=1), Notes(), job_of(*asked)).run(asked)
"""


@pytest.mark.parametrize("how", ["interrupt", "interrupt twice", "kill"])
def test_no_worker_outlives_its_driver(how, tmp_path):
    program = tmp_path / "driver.py"
    program.write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
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
    assert driver.wait(120) != 0
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
