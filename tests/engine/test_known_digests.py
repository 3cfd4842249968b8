"""Remembered digests: never another than the file's, whatever became of the file and of what was remembered."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import time
from pathlib import Path

import pytest

from outshine.engine import known_digests
from outshine.engine.known_digests import SMALLEST, sha256_of_each

LIE = "0" * 64


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is remembered, in a folder of the test; the clock is a minute ahead, so that files count as settled."""
    monkeypatch.setattr(known_digests, "user_cache_path", lambda *names, **options: tmp_path / "cache")
    later = time.time_ns() + 60 * 10**9
    monkeypatch.setattr(known_digests.time, "time_ns", lambda: later)
    return tmp_path / "cache" / "digests.json"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return write(tmp_path / "large", b"a")


def write(path: Path, beginning: bytes, size: int = SMALLEST) -> Path:
    path.write_bytes(beginning)
    os.truncate(path, size)
    return path


def truth(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lie(cache: Path) -> None:
    """Let every entry hold a digest that no file has, so that it shows where one is trusted."""
    entries = json.loads(cache.read_text())
    assert entries
    cache.write_text(json.dumps({where: [*entry[:-1], LIE] for where, entry in entries.items()}))


def test_a_large_file_is_read_once(large, cache, tmp_path):
    assert sha256_of_each([large]) == [truth(large)]
    lie(cache)
    (tmp_path / "link").symlink_to(large)
    assert sha256_of_each([large, tmp_path / "link"]) == [LIE, LIE]  # of that real path
    copied = shutil.copy2(large, tmp_path / "copied")
    assert sha256_of_each([copied, large]) == [truth(large), LIE]


def test_another_content_of_the_same_size_and_time_of_modification_is_read_anew(large, cache):
    sha256_of_each([large])
    before = large.stat()
    time.sleep(0.05)  # more than a tick of the kernel's clock
    write(large, b"b")
    os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = large.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
    assert sha256_of_each([large]) == [truth(large)]
    assert len(json.loads(cache.read_text())) == 1  # the entry of what it was before is gone


def test_another_file_in_its_place_is_read_anew(large, cache, tmp_path):
    sha256_of_each([large])
    lie(cache)
    before = large.stat()
    other = write(tmp_path / "other", b"b")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(large)
    assert sha256_of_each([large]) == [truth(large)]


def test_what_was_changed_a_moment_ago_is_not_remembered(large, cache, monkeypatch):
    monkeypatch.setattr(known_digests.time, "time_ns", lambda: large.stat().st_ctime_ns + 4 * 10**9)
    assert sha256_of_each([large]) == [truth(large)]
    assert not cache.exists()
    old = time.time_ns() - 10**12
    os.utime(large, ns=(old, old))  # the time of modification can be set back; that of the change cannot
    assert sha256_of_each([large]) == [truth(large)]
    assert not cache.exists()


def test_small_files_are_always_read(tmp_path, cache):
    small = write(tmp_path / "small", b"a", SMALLEST - 1)
    assert sha256_of_each([small]) == [truth(small)]
    assert not cache.exists()


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[1]",
        "[" * 100_000,
        '{"%s": null}',
        '{"%s": []}',
        '{"%s": {"a": 1}}',
        '{"%s": [1, 2, 3, 4, 5, "0"]}',
        "cut",
    ],
)
def test_a_damaged_cache_is_no_error(damage, large, cache):
    sha256_of_each([large])
    whole = cache.read_text()
    cache.write_text(whole[: len(whole) // 2] if damage == "cut" else damage.replace("%s", str(large)))
    assert sha256_of_each([large]) == [truth(large)]
    assert cache.read_text() == whole


@pytest.mark.parametrize("digest", [None, 7, "", "0" * 63, "x" * 64])
def test_a_digest_that_is_none_is_not_believed(digest, large, cache):
    sha256_of_each([large])
    ((where, entry),) = json.loads(cache.read_text()).items()
    cache.write_text(json.dumps({where: [*entry[:-1], digest]}))
    assert sha256_of_each([large]) == [truth(large)]


@pytest.mark.parametrize("blocked", ["folder", "file"])
def test_a_cache_that_cannot_be_written_is_no_error(blocked, large, cache):
    if blocked == "folder":
        cache.parent.write_text("a file where the folder should be")
    else:
        cache.mkdir(parents=True)
    assert sha256_of_each([large]) == [truth(large)]
    assert sha256_of_each([large]) == [truth(large)]


def test_a_bounded_number_of_files_is_remembered(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(known_digests, "MOST", 3)
    files = [write(tmp_path / str(number), str(number).encode()) for number in range(4)]
    for file in files:
        sha256_of_each([file])
    assert list(json.loads(cache.read_text())) == [str(file) for file in files[1:]]


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        sha256_of_each([tmp_path / "nowhere"])


def _remember(place: Path, files: list[Path], barrier) -> None:
    known_digests.user_cache_path = lambda *names, **options: place
    known_digests.SETTLED_NS = -(10**12)  # a process of its own has its own clock
    barrier.wait()
    for file in files:
        assert sha256_of_each([file]) == [truth(file)]


def test_several_processes_at_once_leave_a_whole_cache(tmp_path, cache):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    files = [write(tmp_path / str(number), str(number).encode()) for number in range(4)]
    workers = [context.Process(target=_remember, args=(cache.parent, files[n:] + files[:n], barrier)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    entries = json.loads(cache.read_text())
    assert entries
    assert {where: entry[-1] for where, entry in entries.items()} == {where: truth(Path(where)) for where in entries}
    assert [path.name for path in cache.parent.iterdir()] == ["digests.json"]
