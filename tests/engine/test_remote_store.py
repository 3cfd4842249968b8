"""A store below a URL: what it asks the server, what a process that dies half-way leaves, what damage does."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from outshine.engine.errors import StoreError
from outshine.engine.store.folder import FolderBackend
from outshine.engine.store.objects import FolderObjects, Objects
from outshine.engine.store.store import Store, default_store, open_store
from outshine.engine.store.url import UrlBackend
from remote_stores import BucketPlace, Place, commit

KEY = "ab" * 32
OTHER = "cd" * 32
SPAWN = multiprocessing.get_context("spawn")


def objects_of(store: Store) -> Objects:
    assert isinstance(store.backend, UrlBackend)
    return store.backend.objects


# -- opening -----------------------------------------------------------------------------------------


def test_a_path_opens_a_folder_and_a_url_what_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(open_store(tmp_path).backend, FolderBackend)
    assert isinstance(open_store(tmp_path.as_uri()).backend, UrlBackend)
    assert open_store(str(tmp_path)).root == tmp_path
    assert open_store(tmp_path.as_uri()).where == tmp_path.as_uri()
    monkeypatch.setenv("OUTSHINE_STORE", "memory://named/in/the/environment")
    assert default_store() == "memory://named/in/the/environment"
    assert open_store().where == "memory://named/in/the/environment"
    monkeypatch.setenv("OUTSHINE_STORE", str(tmp_path))
    assert default_store() == tmp_path


def test_the_cache_lies_where_it_is_told_and_apart_for_each_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTSHINE_CACHE", str(tmp_path / "cache"))
    one, two = open_store("memory://cached/one"), open_store("memory://cached/two")
    assert one.root.parent == two.root.parent == tmp_path / "cache"
    assert one.root != two.root
    assert open_store("memory://cached/one/").root == one.root


def test_memory_holds_a_store_for_trials(tmp_path: Path) -> None:
    commit(open_store("memory://trial", cache=tmp_path / "one"), KEY)
    assert open_store("memory://trial", cache=tmp_path / "two").file(KEY, "a.txt").read_text() == "hello"


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("http://example.org/store", "known: file://"),
        ("s3://", "a bucket is expected"),
        ("file://relative/path", "an absolute path is expected"),
        (Path("s3://bucket/prefix"), "give it as text, s3://"),
        ("memory://user:word@trial/x", "understood for s3:// only"),
    ],
)
def test_what_cannot_be_opened_is_told_in_one_line(where: str | Path, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        open_store(where)
    assert "\n" not in str(caught.value)
    assert "word@" not in str(caught.value)


# -- what is asked -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_listing_tells_what_is_there(bucket: BucketPlace) -> None:
    present = [f"{number:064x}" for number in range(1100)]  # more than a page of a listing
    for key in present:
        bucket.write(f"artefacts/{key}/DONE.json", b"{}")
    absent = [f"{number:064x}" for number in range(2000, 2900)]
    store = bucket.open()
    bucket.server.requests()
    assert store.lacking([*present, *absent]) == absent
    assert all(store.has(key) for key in present)
    asked = bucket.server.requests()
    assert len([one for one in asked if "list-type=2" in one]) == len(asked) == 2


def test_a_missing_artefact_is_asked_for_again_and_a_known_one_is_not(bucket: BucketPlace) -> None:
    store, writer = bucket.open(), bucket.open()
    assert not store.has(KEY)
    commit(writer, KEY)
    assert store.has(KEY)
    bucket.server.requests()
    assert store.has(KEY)
    assert writer.has(KEY)
    assert bucket.server.requests() == []


def test_a_file_is_fetched_once(bucket: BucketPlace) -> None:
    writer = bucket.open()
    commit(writer, KEY, **{"a.txt": "hello", "large.bin": "x" * 10_000})
    cache = bucket.new_cache()
    bucket.server.requests()
    for _ in range(2):
        store = open_store(bucket.where, cache=cache)
        for _ in range(2):
            assert store.file(KEY, "a.txt").read_text() == "hello"
    asked = bucket.server.requests()
    assert len([one for one in asked if one.startswith("GET") and "a.txt" in one]) == 1
    assert not [one for one in asked if "large.bin" in one]
    writer.file(KEY, "large.bin")
    assert bucket.server.requests() == []  # the writer kept its own


def test_records_for_a_list_are_fetched_before_it_is_walked(bucket: BucketPlace) -> None:
    writer = bucket.open()
    commit(writer, KEY)
    commit(writer, OTHER)
    store = bucket.open()
    store.look_ahead(store.keys())
    bucket.server.requests()
    assert [store.done(key)["stage"] for key in (KEY, OTHER)] == ["test", "test"]
    assert bucket.server.requests() == []


def test_objects_go_up_before_the_one_that_makes_them_an_artefact(bucket: BucketPlace) -> None:
    store = bucket.open()
    with store.lock(KEY), store.writing(KEY) as folder:
        for name in ("a.txt", "b.txt"):
            (folder / name).write_text(name)
        bucket.server.requests()
        store.commit(KEY, folder, {})
    puts = [one.split("?")[0].rsplit("/", 1)[1] for one in bucket.server.requests() if one.startswith("PUT")]
    assert puts == ["a.txt", "b.txt", "DONE.json"]


# -- dying half-way ----------------------------------------------------------------------------------


def _commit_both_and_die(where: str, cache: Path, operation: str, name: str) -> None:
    """Commit two together; the process kills itself before this operation on an object of this name."""
    store = open_store(where, cache=cache, time_to_live=0.5)
    objects = objects_of(store)
    real = getattr(objects, operation)

    def die(given: str, *rest: bytes) -> object:
        if given.startswith(name):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(given, *rest)

    setattr(objects, operation, die)
    with store.lock(KEY), store.lock(OTHER), store.writing(KEY) as one, store.writing(OTHER) as two:
        (one / "a.txt").write_text("one")
        (two / "a.txt").write_text("two")
        store.commit_together([(KEY, one, {}), (OTHER, two, {})])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "name", "finished"),
    [
        ("write", "commits/", False),
        ("create", f"artefacts/{KEY}", True),
        ("create", f"artefacts/{OTHER}", True),
        ("remove", "commits/", True),
    ],
)
def test_a_commit_of_several_is_finished_by_the_next(
    remote_place: Place, operation: str, name: str, finished: bool
) -> None:
    arguments = (remote_place.where, remote_place.new_cache(), operation, name)
    worker = SPAWN.Process(target=_commit_both_and_die, args=arguments)
    worker.start()
    worker.join(120)
    assert worker.exitcode == -signal.SIGKILL
    store = remote_place.open(time_to_live=0.5)
    with store.lock(KEY), store.lock(OTHER):
        store.finish_commits(["ef" * 32])
        assert store.has(KEY) == (operation == "remove" or OTHER in name)  # nothing of theirs was touched
        store.finish_commits([OTHER])
        assert [store.has(key) for key in (KEY, OTHER)] == [finished, finished]
    if finished:
        assert [store.file(key, "a.txt").read_text() for key in (KEY, OTHER)] == ["one", "two"]
        assert not [left for left in remote_place.names() if left.startswith(("commits/", "leases/"))]


def test_a_folder_keeps_no_empty_folders_of_what_was_removed(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    for name in ("files/a/one/x.txt", "files/a/one/adapter/y.txt", "files/a/two/x.txt"):
        objects.write(name, b"1")
    for name in objects.list("files/a/one"):
        objects.remove(name)
    assert [path.name for path in tmp_path.glob("files/*/*")] == ["two"]
    objects.remove("files/a/two/x.txt")
    assert not (tmp_path / "files").exists()
    objects.write("files/a/one/x.txt", b"2")
    assert objects.list("files") == {"files/a/one/x.txt": 1}


def test_a_commit_of_several_that_is_interrupted_is_made_up_for(
    remote_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = remote_place.open()
    create, seen = objects_of(store).create, []

    def interrupted(name: str, data: bytes) -> bool:
        if name.startswith(f"artefacts/{OTHER}") and not seen:
            seen.append(name)
            raise KeyboardInterrupt
        return create(name, data)

    monkeypatch.setattr(objects_of(store), "create", interrupted)

    def both() -> None:
        with store.lock(KEY), store.lock(OTHER), store.writing(KEY) as one, store.writing(OTHER) as two:
            (one / "a.txt").write_text("one")
            (two / "a.txt").write_text("two")
            store.commit_together([(KEY, one, {}), (OTHER, two, {})])

    with pytest.raises(KeyboardInterrupt):
        both()
    assert remote_place.open().keys() == [KEY, OTHER]
    assert store.file(KEY, "a.txt").read_text() == "one"


def test_a_half_sent_artefact_is_none_and_is_swept_by_the_next_commit(remote_place: Place) -> None:
    remote_place.write(f"files/{KEY}/{'0' * 32}/a.txt", b"hel")
    store = remote_place.open()
    assert not store.has(KEY)
    assert store.keys() == []
    assert store.lacking([KEY]) == [KEY]
    assert not store.is_damaged(KEY)
    commit(store, KEY)
    assert [name for name in remote_place.names() if name.startswith("files/")] == [remote_place.the(KEY, "a.txt")]
    assert store.verify(KEY) == []


def test_what_cannot_be_sent_leaves_nothing(remote_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = remote_place.open()
    send = objects_of(store).send

    def refuse(path: Path, name: str) -> None:
        if name.endswith("b.txt"):
            raise StoreError("the store refuses")
        send(path, name)

    monkeypatch.setattr(objects_of(store), "send", refuse)
    with pytest.raises(StoreError, match="refuses"):
        commit(store, KEY, **{"a.txt": "a", "b.txt": "b"})
    assert [name for name in remote_place.names() if name.startswith(("files/", "artefacts/", "leases/"))] == [
        f"leases/{KEY}/00000001.json"  # released
    ]


def test_unfinished_files_of_a_living_process_are_left_alone(remote_place: Place) -> None:
    """It may have lost the lease and not know it yet; a dead one's are swept."""
    store = remote_place.open()
    commit(store, OTHER)
    dead = SPAWN.Process(target=int)
    dead.start()
    dead.join(60)
    with store.writing(KEY) as ours:
        ours.with_name(ours.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-")).mkdir()
        commit(store, KEY)
        assert list((store.root / "tmp").iterdir()) == [ours]


# -- damage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"hell", r"a\.txt has 4 bytes where 5 were written"),
        (b"jello", r"a\.txt has changed since it was written"),
        (None, r"a\.txt is missing"),
    ],
)
def test_damage_is_noticed_when_a_file_is_fetched_and_remembered(
    remote_place: Place, data: bytes | None, words: str
) -> None:
    commit(remote_place.open(), KEY)
    name = remote_place.the(KEY, "a.txt")
    if data is None:
        remote_place.remove(name)
    else:
        remote_place.write(name, data)
    cache = remote_place.new_cache()
    with pytest.raises(StoreError, match=f"{words}.*; run again to compute it anew"):
        open_store(remote_place.where, cache=cache).file(KEY, "a.txt")
    assert not list(cache.rglob("a.txt*"))
    again = open_store(remote_place.where, cache=cache)
    assert not again.has(KEY)
    assert again.lacking([KEY]) == [KEY]
    assert again.is_damaged(KEY)
    remote_place.write(name, b"hello")  # somebody puts it right
    assert again.verify(KEY) == []
    assert again.has(KEY)


def test_a_damaged_copy_is_fetched_again(remote_place: Place) -> None:
    store = remote_place.open()
    commit(store, KEY)
    store.file(KEY, "a.txt").write_text("hell")
    (store.path(KEY) / "DONE.json").write_text("{")
    assert store.file(KEY, "a.txt").read_text() == "hello"


def test_what_another_host_computed_anew_takes_the_place_of_old_copies(remote_place: Place) -> None:
    commit(remote_place.open(), KEY, **{"a.txt": "old", "b.txt": "old"})
    reader, mender = remote_place.open(), remote_place.open()
    assert reader.file(KEY, "a.txt").read_text() == "old"
    remote_place.write(remote_place.the(KEY, "b.txt"), b"cut")
    assert mender.verify(KEY)
    mender.set_aside(KEY)
    commit(mender, KEY, **{"a.txt": "new", "b.txt": "new"})
    assert reader.file(KEY, "b.txt").read_text() == "new"
    assert reader.file(KEY, "a.txt").read_text() == "new"


def test_a_journal_of_nobody_is_not_in_the_way(remote_place: Place) -> None:
    remote_place.write("commits/cut.json", b'[["')
    record = json.dumps({"files": {"a.txt": {"bytes": 5, "sha256": ""}}, "upload": "removed"})
    remote_place.write("commits/gone.json", json.dumps([[KEY, "removed", record]]).encode())
    store = remote_place.open()
    with store.lock(KEY):
        store.finish_commits([KEY, OTHER])
    commit(store, KEY)
    assert store.file(KEY, "a.txt").read_text() == "hello"
