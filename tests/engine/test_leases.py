"""Leases: one holder, dead ones are replaced, stopped ones notice, and nobody asks what time it is."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from outshine.engine.errors import LostLeaseError, StoreError
from outshine.engine.store import leases
from outshine.engine.store.store import open_store
from outshine.engine.store.url import UrlBackend
from remote_stores import Place, commit, wait_for

KEY = "ab" * 32
TTL = 1.0  # seconds: long against a beat, short enough to wait for
SPAWN = multiprocessing.get_context("spawn")  # as on another host: nothing is inherited


def leases_of(place: Place) -> list[str]:
    return [name for name in place.names() if name.startswith("leases/")]


def _hold(where: str, cache: Path, held: Event, go_on: Event, told: str) -> None:
    """Hold the lease until told to go on, then commit; write down how that went."""
    store = open_store(where, cache=cache, time_to_live=TTL)
    with store.lock(KEY), store.writing(KEY) as folder:
        (folder / "a.txt").write_text("the stopped one's")
        held.set()
        go_on.wait()
        try:
            store.commit(KEY, folder, {})
            Path(told).write_text("committed")
        except LostLeaseError as lost:
            Path(told).write_text(f"lost: {lost}")


class Holder:
    """A process that holds the lease."""

    def __init__(self, place: Place, told: Path) -> None:
        self.held, self.go_on, self.told = SPAWN.Event(), SPAWN.Event(), told
        arguments = (place.where, place.new_cache(), self.held, self.go_on, str(told))
        self.process: BaseProcess = SPAWN.Process(target=_hold, args=arguments)

    def signal(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)


@contextmanager
def holder(place: Place, tmp_path: Path) -> Iterator[Holder]:
    one = Holder(place, tmp_path / "told")
    one.process.start()
    try:
        assert one.held.wait(60)
        yield one
    finally:
        one.process.kill()
        one.process.join(60)


@pytest.mark.slow
def test_a_living_holder_is_not_replaced_however_long_it_takes(remote_place: Place, tmp_path: Path) -> None:
    with holder(remote_place, tmp_path) as one:
        other = remote_place.open(TTL)
        with other.lock(KEY, timeout=2.5 * TTL) as ours:
            assert not ours
        one.go_on.set()
        one.process.join(60)
        assert one.told.read_text() == "committed"
        with other.lock(KEY, timeout=60) as ours:
            assert ours
            assert other.has(KEY)
    assert leases_of(remote_place) == []


@pytest.mark.slow
def test_a_killed_holder_is_replaced_after_the_time_to_live(remote_place: Place, tmp_path: Path) -> None:
    with holder(remote_place, tmp_path) as one:
        one.signal(signal.SIGKILL)
        one.process.join(60)
        other = remote_place.open(TTL)
        with other.lock(KEY, timeout=0) as ours:
            assert not ours  # nobody can tell yet
        commit(other, KEY, **{"a.txt": "the next one's"})  # waits
    assert remote_place.open().file(KEY, "a.txt").read_text() == "the next one's"
    assert leases_of(remote_place) == []


@pytest.mark.slow
def test_a_stopped_holder_notices_that_it_was_replaced(remote_place: Place, tmp_path: Path) -> None:
    with holder(remote_place, tmp_path) as one:
        one.signal(signal.SIGSTOP)
        other = remote_place.open(TTL)
        with other.lock(KEY) as ours:
            assert ours
            one.signal(signal.SIGCONT)
            one.go_on.set()
            one.process.join(60)
            assert one.told.read_text().startswith("lost: ")
            assert not other.has(KEY)
            assert [name for name in remote_place.names() if name.startswith("files/")] == []
            with remote_place.open(TTL).lock(KEY, timeout=2.5 * TTL) as third:
                assert not third  # the one that woke up did not free the key
            with other.writing(KEY) as folder:
                (folder / "a.txt").write_text("the next one's")
                other.commit(KEY, folder, {})
    assert remote_place.open().file(KEY, "a.txt").read_text() == "the next one's"
    assert leases_of(remote_place) == []


@pytest.mark.slow
def test_a_stopped_holder_that_wakes_after_the_other_has_finished_uses_its_artefact(
    remote_place: Place, tmp_path: Path
) -> None:
    with holder(remote_place, tmp_path) as one:
        one.signal(signal.SIGSTOP)
        commit(remote_place.open(TTL), KEY, **{"a.txt": "the next one's"})
        one.signal(signal.SIGCONT)
        one.go_on.set()
        one.process.join(60)
        assert one.told.read_text() == "committed"  # that is, there is an artefact
    reader = remote_place.open()
    assert reader.file(KEY, "a.txt").read_text() == "the next one's"
    assert reader.verify(KEY) == []
    assert len([name for name in remote_place.names() if name.startswith("files/")]) == 1
    assert leases_of(remote_place) == []


def _race(where: str, cache: Path, log: str, start: Event) -> None:
    store = open_store(where, cache=cache)
    start.wait()
    with store.lock(KEY):
        if not store.has(KEY):
            with store.writing(KEY) as folder:
                with Path(log).open("a") as file:
                    file.write("computed\n")
                (folder / "a.txt").write_text("x")
                store.commit(KEY, folder, {})


@pytest.mark.slow
def test_of_several_processes_one_computes(remote_place: Place, tmp_path: Path) -> None:
    start, log = SPAWN.Event(), tmp_path / "log"
    arguments = [(remote_place.where, remote_place.new_cache(), str(log), start) for _ in range(4)]
    workers = [SPAWN.Process(target=_race, args=given) for given in arguments]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert log.read_text() == "computed\n"
    assert leases_of(remote_place) == []


def test_a_failed_holder_leaves_the_count_of_generations_and_nothing_else(remote_place: Place) -> None:
    store = remote_place.open()
    for generation in (1, 2, 3):
        with store.lock(KEY, timeout=0) as ours:
            assert ours
        assert leases_of(remote_place) == [f"leases/{KEY}/{generation:08d}.json"]
        assert not store.is_locked(KEY)
    commit(store, KEY)
    assert leases_of(remote_place) == []


def test_a_beat_that_stands_still_is_judged_by_the_watchers_own_clock(
    remote_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease was written by nobody: its holder's clock, were it read, would be decades away."""
    lease = f"leases/{KEY}/00000007.json"
    text = json.dumps({"holder": "x", "beat": 1, "ttl": 30, "released": False, "time": 10**12}).encode()
    remote_place.write(lease, text)
    now = [1000.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "time", lambda: 0.0)
    store = remote_place.open()

    def is_taken() -> bool:
        with store.lock(KEY, timeout=0) as ours:
            return ours

    assert not is_taken()
    now[0] += 29.9
    assert not is_taken()
    remote_place.write(lease, text.replace(b'"beat": 1', b'"beat": 2'))  # it lives
    now[0] += 1
    assert not is_taken()
    now[0] += 29.9
    assert not is_taken()
    now[0] += 0.2
    assert is_taken()
    assert leases_of(remote_place) == [f"leases/{KEY}/00000008.json"]


def test_a_lease_that_cannot_be_read_is_waited_for_and_replaced(remote_place: Place) -> None:
    remote_place.write(f"leases/{KEY}/00000001.json", b"")
    store = remote_place.open(time_to_live=0.3)
    with store.lock(KEY, timeout=60) as ours:
        assert ours


def test_one_that_looked_too_early_steps_back(remote_place: Place) -> None:
    """It saw no lease; meanwhile others came, and one of them holds the second generation."""
    store = remote_place.open()
    assert isinstance(store.backend, UrlBackend)
    with remote_place.open().lock(KEY):
        pass
    with remote_place.open().lock(KEY):
        late = leases.Lease(store.backend.objects, f"leases/{KEY}", 1, TTL)
        assert not late.take()
        assert leases_of(remote_place) == [f"leases/{KEY}/00000002.json"]


def test_a_holder_whose_lease_was_removed_does_not_write_it_again(remote_place: Place) -> None:
    store = remote_place.open(time_to_live=0.1)
    assert isinstance(store.backend, UrlBackend)
    with store.lock(KEY), store.writing(KEY) as folder:
        thread = store.backend._held[KEY]._thread
        remote_place.remove(f"leases/{KEY}/00000001.json")
        wait_for(lambda: not thread.is_alive())
        with pytest.raises(LostLeaseError, match=f"{KEY[:16]}.*another took over"):
            store.commit(KEY, folder, {})
    assert leases_of(remote_place) == []


def test_a_beat_that_fails_is_made_up_for(remote_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = remote_place.open(time_to_live=0.2)
    assert isinstance(store.backend, UrlBackend)
    failed = []
    write = store.backend.objects.write

    def fail_once(name: str, data: bytes) -> None:
        if name.startswith("leases/") and not failed:
            failed.append(name)
            raise StoreError("unreachable")
        write(name, data)

    monkeypatch.setattr(store.backend.objects, "write", fail_once)
    with store.lock(KEY):
        lease = f"leases/{KEY}/00000001.json"
        wait_for(lambda: json.loads(remote_place.read(lease))["beat"] > 2)
        assert failed
