"""How far a study is: what is done, running where and failed why, counted by hand; what retry forgets."""

from __future__ import annotations

import os
import platform
import threading
import time

import pytest
from numbered import Number

from outshine.core.key import digest
from outshine.core.progress import Silent
from outshine.core.runtime import Runtime
from outshine.core.store import Store
from outshine.execution import herald
from outshine.execution.failures import StagesFailedError, start_over
from outshine.execution.local import LocalExecutor
from outshine.execution.standing import duration, standing, summary_rows


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
    monkeypatch.setattr(herald, "FIRST", 0.01)
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
        now = standing("four", keys(done, bad, slow, waiting), store)
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
    after = standing("four", keys(done, bad, slow, waiting), store)
    assert (after.done, after.num_running, store.documents("running").all()) == (2, 0, {})


def test_what_a_killed_process_said_is_not_believed(store):
    number = Number(n=1)
    assert standing("one", keys(number), store).seconds_left is None  # nothing to judge by
    store.documents("running").write(number.key, {"keys": [number.key], "label": "number 1", "host": "gone", "pid": 1})
    assert standing("one", keys(number), store).running == []
    with store.lock(number.key):
        assert [one.host for one in standing("one", keys(number), store).running] == ["gone"]


def test_time_left_is_the_mean_over_the_workers(store):
    stages = [Number(n=n) for n in range(6)]
    for stage, seconds in zip(stages[:2], (10, 20), strict=True):
        with store.lock(stage.key), store.writing(stage.key) as folder:
            store.commit(stage.key, folder, finished("number", seconds))
    now = standing("six", keys(*stages), store)
    assert now.seconds_left == 4 * 15
    assert now.line.endswith("4 waiting, about 60 s left")


def test_time_left_is_told_by_kind_where_kinds_are_known(store):
    """Two of three quick ones and one of three slow ones are finished; of a third kind none: it counts as the mean."""
    stages = [Number(n=n) for n in range(8)]
    for stage, kind, seconds in zip(stages[:3], ("quick", "quick", "slow"), (1, 3, 26), strict=True):
        with store.lock(stage.key), store.writing(stage.key) as folder:
            store.commit(stage.key, folder, finished(kind, seconds))
    now = standing("eight", keys(*stages), store, {"quick": 3, "slow": 3, "new": 2})
    assert now.seconds_left == 1 * 2 + 2 * 26 + 2 * 10
    assert standing("eight", keys(*stages), store, {"quick": 3}).seconds_left == 5 * 10  # no count of all: one mean


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
