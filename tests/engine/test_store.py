"""The store: whole artefacts or none, one writer, verification, and refusals in one line."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from outshine.engine.errors import StoreError
from outshine.engine.store import records as records_module
from outshine.engine.store.records import FORMAT
from outshine.engine.store.store import Store

KEY = "ab" * 32
OTHER = "cd" * 32


def commit(store: Store, key: str = KEY, **texts: str) -> None:
    with store.lock(key), store.writing(key) as folder:
        for name, text in (texts or {"a.txt": "hello"}).items():
            (folder / name).write_text(text)
        store.commit(key, folder, {"stage": "test"})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_nothing_is_written_before_it_is_needed(store):
    assert not store.has(KEY)
    assert store.keys() == []
    assert not store.root.exists()


def test_a_committed_artefact_is_there_with_its_record(store):
    commit(store, **{"a.txt": "hello", "b.txt": ""})
    assert store.has(KEY)
    assert store.file(KEY, "a.txt").read_text() == "hello"
    record = store.done(KEY)
    assert record["files"]["a.txt"] == {
        "bytes": 5,
        "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    }
    assert record["stage"] == "test"
    assert store.verify(KEY) == []
    assert list((store.root / "tmp").iterdir()) == []


def test_files_in_folders_are_recorded(store):
    with store.lock(KEY), store.writing(KEY) as folder:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "config.json").write_text("{}")
        store.commit(KEY, folder, {})
    assert list(store.done(KEY)["files"]) == ["adapter/config.json"]
    assert store.file(KEY, "adapter/config.json").read_text() == "{}"


def test_a_failed_writer_leaves_nothing(store):
    def fail() -> None:
        with store.lock(KEY), store.writing(KEY) as folder:
            (folder / "a.txt").write_text("half")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    assert not store.has(KEY)
    assert list((store.root / "tmp").iterdir()) == []
    commit(store)
    assert store.has(KEY)


def test_what_a_killed_writer_left_is_swept_by_the_next(store):
    commit(store, OTHER)
    leftover = store.root / "tmp" / f"{KEY}-dead"
    leftover.mkdir()
    (leftover / "half").write_text("x")
    commit(store)
    assert not leftover.exists()


def test_folders_that_were_taken_away_are_made_again(store):
    commit(store, OTHER)
    for name in ("locks", "tmp", "work"):
        shutil.rmtree(store.root / name)
    commit(store)
    assert store.has(KEY)


def test_what_others_left_is_left_alone(store):
    commit(store, OTHER)
    leftover = store.root / "tmp" / f"{OTHER}-busy"
    leftover.mkdir()
    commit(store)
    assert leftover.exists()


def test_the_first_commit_wins(store):
    commit(store, **{"a.txt": "first"})
    commit(store, **{"a.txt": "second"})
    assert store.file(KEY, "a.txt").read_text() == "first"


def test_commit_removes_the_work_folder(store):
    store.work(KEY).mkdir(parents=True)
    commit(store)
    assert not store.work(KEY).exists()


def test_a_truncated_file_is_noticed_when_read(store):
    commit(store)
    (store.path(KEY) / "a.txt").write_text("hell")
    assert not store.has(KEY)
    with pytest.raises(StoreError, match=r"a\.txt has 4 bytes where 5 were written"):
        store.file(KEY, "a.txt")


def test_a_flipped_bit_is_noticed_by_verify(store):
    commit(store)
    (store.path(KEY) / "a.txt").write_text("jello")
    assert store.has(KEY)
    assert [fault.message for fault in store.verify(KEY)] == ["a.txt has changed since it was written (sha256 differs)"]


def test_a_missing_file_and_an_unreadable_record_are_faults(store):
    commit(store)
    commit(store, OTHER)
    (store.path(KEY) / "a.txt").unlink()
    (store.path(OTHER) / "DONE.json").write_text("{")
    assert [fault.message for fault in store.verify(KEY)] == ["a.txt is missing"]
    assert not store.has(OTHER)
    assert "unreadable" in store.verify(OTHER)[0].message


def test_a_damaged_artefact_set_aside_can_be_written_anew(store):
    commit(store)
    (store.path(KEY) / "a.txt").write_text("x")
    aside = store.set_aside(KEY)
    assert Path(aside, "a.txt").read_text() == "x"
    commit(store)
    assert store.has(KEY)


def test_find_by_prefix(store):
    commit(store)
    commit(store, OTHER)
    assert store.find("AB") == KEY
    with pytest.raises(StoreError, match="no artefact"):
        store.find("99")
    with pytest.raises(StoreError, match="2 artefacts"):
        store.find("")


@pytest.mark.parametrize("key", ["../../etc/passwd", "", "ab" * 31, "AB" * 32, "zz" * 32, "ab/" * 21 + "x"])
def test_what_is_no_key_cannot_name_a_path(store, key):
    with pytest.raises(StoreError, match="is no key"):
        store.path(key)


def test_a_newer_format_is_refused(tmp_path):
    (tmp_path / "STORE.json").write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(StoreError, match="newer outshine"):
        Store(tmp_path)


def test_a_file_in_place_of_the_store_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file"):
        Store(tmp_path / "file")


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission"), (errno.EDQUOT, "quota")],
)
@pytest.mark.parametrize("where", ["write_synced", "sync", "sha256_of"])
def test_what_the_system_refuses_is_told_in_one_line(store, monkeypatch, code, words, where):
    commit(store, OTHER)

    def refuse(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(records_module, where, refuse)
    with pytest.raises(StoreError, match=words) as caught:
        commit(store)
    assert "\n" not in str(caught.value)
    assert str(store.root) in str(caught.value)
    assert not store.has(KEY)
    assert list((store.root / "tmp").iterdir()) == []


def test_a_full_disk_while_a_stage_writes_is_told_in_one_line(store):
    def fill() -> None:
        with store.lock(KEY), store.writing(KEY):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StoreError, match="disk is full"):
        fill()


def test_a_refusal_elsewhere_is_not_blamed_on_the_store(store, tmp_path):
    def elsewhere() -> None:
        with store.lock(KEY), store.writing(KEY):
            raise PermissionError(errno.EACCES, "denied", str(tmp_path / "other" / "file"))

    with pytest.raises(PermissionError):
        elsewhere()


@pytest.mark.skipif(shutil.which("mount") is None or os.geteuid() != 0, reason="needs root to mount a small tmpfs")
def test_a_really_full_disk(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], check=False).returncode:
        pytest.skip("this machine refuses to mount a tmpfs")
    try:
        store = Store(small / "store")
        commit(store, OTHER)
        with pytest.raises(StoreError, match="disk is full"):
            commit(store, **{"big.bin": "x" * 1_000_000})
        assert not store.has(KEY)
        assert store.has(OTHER)
        commit(store, **{"a.txt": "fits"})  # nothing of the failed try is left in the way
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None or os.geteuid() != 0, reason="needs root to mount a read-only tmpfs")
def test_a_really_read_only_store_can_be_read_and_not_written(tmp_path):
    mounted = tmp_path / "ro"
    mounted.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(mounted)], check=False).returncode:
        pytest.skip("this machine refuses to mount a tmpfs")
    try:
        commit(Store(mounted))
        subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
        store = Store(mounted)
        assert store.file(KEY, "a.txt").read_text() == "hello"
        with pytest.raises(StoreError, match="read-only"):
            commit(store, OTHER)
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def _append_under_lock(root: str, log: str) -> None:
    store = Store(Path(root))
    with store.lock(KEY):
        if not store.has(KEY):
            with store.writing(KEY) as folder:
                with Path(log).open("a") as file:
                    file.write("computed\n")
                (folder / "a.txt").write_text("x")
                store.commit(KEY, folder, {})


def test_of_many_processes_one_computes(tmp_path):
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    workers = [context.Process(target=_append_under_lock, args=(str(tmp_path / "s"), str(log))) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0] * 6
    assert log.read_text() == "computed\n"


def _hold_and_die(root: str) -> None:
    store = Store(Path(root))
    with store.lock(KEY), store.writing(KEY) as folder:
        (folder / "half").write_text("x")
        os.kill(os.getpid(), 9)


def test_a_dead_writer_is_not_in_the_way(tmp_path):
    worker = multiprocessing.get_context("fork").Process(target=_hold_and_die, args=(str(tmp_path / "s"),))
    worker.start()
    worker.join(30)
    assert worker.exitcode == -9
    store = Store(tmp_path / "s")
    with store.lock(KEY, timeout=0) as ours:
        assert ours
    commit(store)
    assert [path.name for path in (store.root / "tmp").iterdir()] == []


def test_a_held_lock_is_not_taken_twice(store):
    with store.lock(KEY) as first:
        assert first
        other = Store(store.root)
        with other.lock(KEY, timeout=0.05) as second:
            assert not second
