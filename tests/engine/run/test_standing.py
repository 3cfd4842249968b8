"""How far a study is: what is done, running where and failed why, counted by hand; what retry forgets."""

from __future__ import annotations

import os
import platform
import threading
import time

import pytest
from numbered import Number

from outshine.engine.key import digest
from outshine.engine.messages import duration
from outshine.engine.progress import Silent
from outshine.engine.run import local
from outshine.engine.run.failures import StagesFailedError, start_over
from outshine.engine.run.local import LocalExecutor
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import Store
from outshine.w2s.status import study_status, summary_rows


class Slow(Number):
    """Says how far it is, and goes on when it is told to."""

    stage = "slow"

    def run(self, context):
        context.progress.advance(3, 8, "examples")
        STARTED.set()
        assert GO_ON.wait(20)
        super().run(context)


STARTED, GO_ON = threading.Event(), threading.Event()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def keys(*stages: Number) -> set[str]:
    return {stage.key for stage in stages}


def finished(kind: str, seconds: float) -> dict[str, object]:
    """The record of a stage of this kind that took so long."""
    return {
        "stage": kind,
        "label": "one",
        "inputs": [],
        "made": {"at": "2026-01-01T00:00:00+00:00", "seconds": seconds},
    }


def test_done_running_failed_and_waiting_are_told_apart(store, monkeypatch):
    monkeypatch.setattr(local, "FIRST", 0.01)
    STARTED.clear()
    GO_ON.clear()
    done, bad, slow, waiting = Number(n=1), Number(n=2, does="fail"), Slow(n=3), Number(n=4)
    run = LocalExecutor(store, Runtime(), Silent(), keep_going=True)
    with pytest.raises(StagesFailedError):
        run.run([done, bad])
    thread = threading.Thread(target=run.run, args=([slow],))
    thread.start()
    try:
        assert STARTED.wait(20)
        until = time.monotonic() + 20
        while not store.documents("running").all() and time.monotonic() < until:
            time.sleep(0.01)
        now = study_status("four", keys(done, bad, slow, waiting), store)
    finally:
        GO_ON.set()
        thread.join(20)
    assert (now.total, now.done, now.num_running, len(now.failed), now.waiting) == (4, 1, 1, 1, 1)
    (running,) = now.running
    assert (running.host, running.pid, running.done, running.total, running.unit) == (
        platform.node(), os.getpid(), 3, 8, "examples",
    )  # fmt: skip
    assert now.line.startswith("four: 1 of 4 stages done, 1 running, 1 failed, 1 waiting")
    assert [row[:2] for row in summary_rows(now)] == [("running", "number 3"), ("failed", "number 2")]
    assert summary_rows(now)[0][2].endswith(", 3 of 8 examples")
    assert summary_rows(now)[1][2] == "no such number"
    after = study_status("four", keys(done, bad, slow, waiting), store)
    assert (after.done, after.num_running, store.documents("running").all()) == (2, 0, {})


def test_what_a_killed_process_said_is_not_believed(store):
    number = Number(n=1)
    assert study_status("one", keys(number), store).seconds_left is None  # nothing to judge by
    store.documents("running").write(number.key, {"keys": [number.key], "label": "number 1", "host": "gone", "pid": 1})
    assert study_status("one", keys(number), store).running == []
    with store.lock(number.key):
        assert [one.host for one in study_status("one", keys(number), store).running] == ["gone"]


def test_time_left_is_the_mean_over_the_workers(store):
    kinds = {key: "number" for n in range(6) for key in keys(Number(n=n))}
    stages = [Number(n=n) for n in range(6)]
    for stage, seconds in zip(stages[:2], (10, 20), strict=True):
        with store.lock(stage.key), store.writing(stage.key) as folder:
            store.commit(stage.key, folder, finished("number", seconds))
    now = study_status("six", keys(*stages), store, kinds)
    assert now.seconds_left == 4 * 15
    assert now.line.endswith("4 waiting, about 60 s left")


def commit(store: Store, stage: Number, kind: str, seconds: float) -> None:
    with store.lock(stage.key), store.writing(stage.key) as folder:
        store.commit(stage.key, folder, finished(kind, seconds))


def test_time_left_is_told_by_kind_where_kinds_are_known(store):
    """Two of three quick ones and one of three slow ones are finished."""
    stages = [Number(n=n) for n in range(6)]
    kinds = dict(zip((one.key for one in stages), ("quick", "quick", "slow", "quick", "slow", "slow"), strict=True))
    for stage, seconds in zip(stages[:3], (1, 3, 26), strict=True):
        commit(store, stage, kinds[stage.key], seconds)
    assert study_status("six", keys(*stages), store, kinds).seconds_left == 1 * 2 + 2 * 26


def test_a_kind_of_which_none_is_finished_is_told_by_its_work(store):
    """Rows were split in a second, one supervisor trained in 100 s; three students have 6 times its work each."""
    split, weak, other, *students = [Number(n=n) for n in range(6)]
    stages = [split, weak, other, *students]
    kinds = {split.key: "prepare", weak.key: "supervised", other.key: "supervised"} | dict.fromkeys(
        keys(*students), "student"
    )
    work = {weak.key: 1e9, other.key: 2e9} | dict.fromkeys(keys(*students), 6e9)
    commit(store, split, "prepare", 1)
    assert study_status("it", keys(*stages), store, kinds, work).line.endswith("5 waiting, time left not known yet")
    commit(store, weak, "supervised", 100)
    assert study_status("it", keys(*stages), store, kinds, work).seconds_left == pytest.approx(200 + 3 * 600)
    assert study_status("it", keys(*stages), store, kinds).seconds_left is None  # nothing says what a student takes


def test_what_runs_is_told_by_its_own_pace_and_tells_the_rate(store):
    """A tenth of the first training was done in 60 s: it has 9 minutes left, and the other, twice as much, 20."""
    split, first, second = [Number(n=n) for n in range(3)]
    kinds = {split.key: "prepare", first.key: "supervised", second.key: "student"}
    work = {first.key: 1e12, second.key: 2e12}
    commit(store, split, "prepare", 1)
    told = {"keys": [first.key], "label": "first", "host": "here", "pid": 1, "since": "2026-01-01T00:00:00+00:00"}
    far = {"at": "2026-01-01T00:01:00+00:00", "done": 1, "total": 10, "unit": "examples", "share": 0.1, "left": 540.0}
    store.documents("running").write(first.key, told)
    with store.lock(first.key):
        three = keys(split, first, second)
        assert study_status("it", three, store, kinds, work).seconds_left is None  # it was only just begun
        store.documents("running").write(first.key, told | far)
        now = study_status("it", three, store, kinds, work)
        assert now.seconds_left == pytest.approx(540 + 1200)
        assert now.line.endswith("about 29 min left")
        store.documents("running").write(first.key, told | far | {"share": "x", "left": [], "at": 3, "since": None})
        assert study_status("it", three, store, kinds, work).seconds_left is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (180000, "2 days")],
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


def test_starting_over_forgets_failures_and_what_they_left(store):
    mine, other = Number(n=1, does="fail"), Number(n=2, does="fail")
    run = LocalExecutor(store, Runtime(), Silent(), keep_going=True)
    with pytest.raises(StagesFailedError):
        run.run([mine, other])
    cohort = store.work(digest(sorted([mine.key])))
    cohort.mkdir()
    assert store.work(mine.key).exists()
    assert [failure.message for failure in start_over(store, [mine.key])] == ["no such number"]
    assert not store.work(mine.key).exists()
    assert not cohort.exists()
    assert set(store.documents("failures").all()) == {other.key}
    assert store.work(other.key).exists()
    assert start_over(store, [mine.key]) == []
