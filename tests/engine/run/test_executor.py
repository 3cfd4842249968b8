"""The local executor: inputs first, each stage once, failures leave what is finished, damage is mended."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import numbered
import pytest

from outshine.engine.key import digest
from outshine.engine.progress import Silent
from outshine.engine.run import local
from outshine.engine.run.local import LocalExecutor
from outshine.engine.runtime import Runtime
from outshine.engine.stage import Context, Stage
from outshine.engine.store.store import Store, open_store

LOG: list[str] = []


class Number(Stage):
    stage: ClassVar[str] = "number"
    n: int

    def run(self, context: Context) -> None:
        LOG.append(f"number {self.n}")
        if self.n < 0:
            raise RuntimeError("no negative numbers")
        (context.folder / "n.txt").write_text(str(self.n))


class Sum(Stage):
    stage: ClassVar[str] = "sum"
    parts: tuple[Number, ...]

    def run(self, context: Context) -> None:
        LOG.append("sum")
        total = sum(int(context.store.file(part.key, "n.txt").read_text()) for part in self.parts)
        (context.folder / "n.txt").write_text(str(total))


@pytest.fixture
def executor(tmp_path: Path) -> LocalExecutor:
    LOG.clear()
    return LocalExecutor(Store(tmp_path / "store"), Runtime(), Silent())


def test_inputs_are_computed_first_and_shared_ones_once(executor):
    a, b = Number(n=1), Number(n=2)
    whole = Sum(parts=(a, b))
    executor.run([whole, Sum(parts=(b,))])
    assert LOG == ["number 1", "number 2", "sum", "sum"]
    assert executor.store.file(whole.key, "n.txt").read_text() == "3"


def test_what_is_there_is_not_computed_again(executor):
    executor.run([Sum(parts=(Number(n=1),))])
    LOG.clear()
    executor.run([Sum(parts=(Number(n=1),)), Sum(parts=(Number(n=1), Number(n=5)))])
    assert LOG == ["number 5", "sum"]


def test_a_failure_keeps_what_is_finished_and_leaves_no_litter(executor):
    stage = Sum(parts=(Number(n=1), Number(n=-1)))
    with pytest.raises(RuntimeError, match="negative"):
        executor.run([stage])
    assert executor.store.has(Number(n=1).key)
    assert not executor.store.has(Number(n=-1).key)
    assert list((executor.store.root / "tmp").iterdir()) == []


def test_the_record_tells_what_was_computed_where_and_how(executor):
    stage = Sum(parts=(Number(n=1),))
    executor.run([stage])
    record = executor.store.done(stage.key)
    assert record["stage"] == "sum"
    assert record["inputs"] == [Number(n=1).key]
    assert record["fields"] == {"parts": [{"stage": Number(n=1).key}]}
    assert record["made"]["packages"]["torch"]
    assert record["made"]["runtime"]["token_budget"] == Runtime().token_budget
    assert record["made"]["peak_memory_mb"] > 1


class Steps(Stage):
    stage: ClassVar[str] = "steps"
    ticks: tuple[int, ...]  # of a clock: before each update, and after the last

    def run(self, context: Context) -> None:
        for number, ticks in enumerate(self.ticks):
            CLOCK[0] += ticks
            if number < len(self.ticks) - 1:
                context.progress.advance(number + 1, len(self.ticks) - 1, "examples")


CLOCK = [0.0]


def test_the_record_tells_how_long_the_first_update_took_to_come(executor, monkeypatch):
    CLOCK[0] = 1000.0
    monkeypatch.setattr(local.time, "monotonic", lambda: CLOCK[0])
    executor.run([Steps(ticks=(7, 1, 2)), Steps(ticks=(5,)), Steps(ticks=(3, 4))])
    for ticks, seconds, start in (((7, 1, 2), 10, 7), ((5,), 5, None), ((3, 4), 7, 3)):
        made = executor.store.done(Steps(ticks=ticks).key)["made"]
        assert (made["seconds"], made.get("start_seconds")) == (seconds, start)


@pytest.mark.parametrize("damage", ["truncate", "delete file", "delete record", "break record"])
def test_a_damaged_artefact_is_set_aside_and_computed_anew(executor, damage):
    stage = Number(n=7)
    executor.run([stage])
    folder = executor.store.path(stage.key)
    match damage:
        case "truncate":
            (folder / "n.txt").write_text("")
        case "delete file":
            (folder / "n.txt").unlink()
        case "delete record":
            (folder / "DONE.json").unlink()
        case "break record":
            (folder / "DONE.json").write_text("{}")
    executor.run([stage])
    assert LOG == ["number 7", "number 7"]
    assert executor.store.file(stage.key, "n.txt").read_text() == "7"
    assert any("damaged artefact set aside" in note for note in executor.progress.notes)
    assert len(list((executor.store.root / "damaged").iterdir())) == 1


def test_a_second_process_waits_says_so_and_finds_the_result(executor, monkeypatch):
    monkeypatch.setattr(local, "_WORTH_A_NOTE", 0.05)
    stage = Number(n=3)
    other = Store(executor.store.root)
    held, noted = threading.Event(), threading.Event()

    def first_writer() -> None:
        with other.lock(stage.key), other.writing(stage.key) as folder:
            held.set()
            noted.wait(10)
            (folder / "n.txt").write_text("by the other")
            other.commit(stage.key, folder, {})

    thread = threading.Thread(target=first_writer)
    thread.start()
    held.wait(10)

    class Listening(Silent):
        def note(self, message: str) -> None:
            super().note(message)
            noted.set()

    executor.progress = Listening()
    executor.run([stage])
    thread.join(10)
    assert executor.store.file(stage.key, "n.txt").read_text() == "by the other"
    assert LOG == []
    assert "another process is computing it; waiting" in executor.progress.notes[0]


KILLED_AFTER_ITS_COMMIT = """
import os, shutil, sys, time
sys.path.insert(0, {tests!r})
from numbered import Number
from outshine.engine.progress import Silent
from outshine.engine.run import local
from outshine.engine.run.local import LocalExecutor
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import open_store

local.FIRST = 0.0
seen = open_store(sys.argv[1]).documents(local.RUNNING)

def die(path, **options):  # instead of removing the checkpoints
    while not seen.names():
        time.sleep(0.01)
    os._exit(9)

shutil.rmtree = die
LocalExecutor(open_store(sys.argv[1]), Runtime(), Silent()).run([Number(n=1)])
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["folder", "file://"])
def test_what_a_process_left_that_was_killed_just_after_its_commit_is_removed_by_the_next(tmp_path, where, monkeypatch):
    monkeypatch.setenv("OUTSHINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OUTSHINE_LEASE_SECONDS", "1")
    address = str(tmp_path / "store") if where == "folder" else f"file://{tmp_path / 'store'}"
    script = KILLED_AFTER_ITS_COMMIT.format(tests=str(Path(__file__).parent))
    assert subprocess.run([sys.executable, "-c", script, address], timeout=60).returncode == 9
    store, one = open_store(address), numbered.Number(n=1)
    assert store.has(one.key)
    assert store.documents(local.RUNNING).names() == [one.key]
    assert store.work(one.key).is_dir()
    LocalExecutor(store, Runtime(), Silent()).run([numbered.Number(n=2)])
    assert store.documents(local.RUNNING).names() == [one.key]  # of a stage that this run does not concern
    LocalExecutor(store, Runtime(), Silent()).run([one])
    assert store.documents(local.RUNNING).names() == []
    assert not store.work(one.key).exists()


def test_checkpoints_of_stages_that_were_computed_in_one_pass_are_removed_too(tmp_path):
    store, both = Store(tmp_path / "store"), [numbered.Number(n=1), numbered.Number(n=2)]
    LocalExecutor(store, Runtime(), Silent()).run(both)
    shared = store.work(digest(sorted(stage.key for stage in both)))
    shared.mkdir(parents=True)
    store.documents(local.RUNNING).write(both[0].key, {"keys": [stage.key for stage in both]})
    LocalExecutor(store, Runtime(), Silent()).run(both[:1])
    assert shared.is_dir()  # one of them might still be needed
    LocalExecutor(store, Runtime(), Silent()).run(both)
    assert not shared.exists()
    assert store.documents(local.RUNNING).names() == []


@pytest.mark.parametrize("keys", [None, [], "x", [1], [[]], ["x" * 64], [None, {}]])
def test_an_odd_document_of_what_is_running_stays_and_stops_nothing(tmp_path, keys):
    store = Store(tmp_path / "store")
    store.documents(local.RUNNING).write("odd", {"keys": keys})
    LocalExecutor(store, Runtime(), Silent()).run([numbered.Number(n=1)])
    LocalExecutor(store, Runtime(), Silent()).run([numbered.Number(n=1)])
    assert store.documents(local.RUNNING).names() == ["odd"]
