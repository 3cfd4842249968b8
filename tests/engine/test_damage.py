"""What comes back from a disk: odd documents, flipped bits, refusals of every kind, and what others do meanwhile."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from outshine.engine import errors as refusals_module
from outshine.engine.checked_reading import as_date, as_seconds, parse_json, read_bytes
from outshine.engine.errors import StoreError, advice, is_below
from outshine.engine.files import write_synced
from outshine.engine.store.backend import Backend
from outshine.engine.store.index import INDEX, Query
from outshine.engine.store.records import parse_record
from outshine.engine.store.store import Store, open_store
from outshine.engine.store.url import UrlBackend
from remote_stores import Place, commit

KEY = "ab" * 32
OTHER = "cd" * 32
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def sealed(**said: Any) -> str:
    """A record whose own digest fits."""
    text = json.dumps(said, sort_keys=True)
    return json.dumps(said | {"sha256": hashlib.sha256(text.encode()).hexdigest()})


# -- one reader --------------------------------------------------------------------------------------

NO_DOCUMENTS = [
    b"",
    b"{",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b"[" * 150 + b"]" * 150,
    b'{"a":' * 200 + b"1" + b"}" * 200,
    b"9" * 5000,
]


@pytest.mark.parametrize("text", NO_DOCUMENTS, ids=lambda text: repr(text[:12]))
def test_what_is_no_document_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


@pytest.mark.parametrize("text", ["null", "[1, [2]]", '{"a": {"b": [NaN, Infinity, 1e400]}}', "[" * 90 + "]" * 90])
def test_what_is_json_is_read_as_json_reads_it(text):
    assert repr(parse_json(text)) == repr(json.loads(text))


def test_a_pipe_a_folder_and_a_file_too_long_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "long").write_bytes(b"x" * 11)
    for name in ("pipe", "folder", "long"):
        with pytest.raises(ValueError, match=r"no plain file|longer than 10 bytes"):
            read_bytes(tmp_path / name, most=10)
    assert read_bytes(tmp_path / "long", most=11) == b"x" * 11
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "none")


@pytest.mark.parametrize(
    "text",
    [None, 5, [], "", "soon", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+14:00", "0001-01-01", "2026-02-30"],
)
def test_a_date_that_cannot_be_counted_with_is_a_value_error(text):
    with pytest.raises(ValueError, match="date"):
        as_date(text)


def test_a_date_is_a_moment_in_utc():
    assert as_date("2026-01-02T03:04:05+02:00").isoformat() == "2026-01-02T01:04:05+00:00"


@pytest.mark.parametrize("number", [None, "1", True, -1, float("nan"), float("inf"), 10**400, [1]])
def test_seconds_that_are_none(number):
    with pytest.raises(ValueError, match=r"."):
        as_seconds(number)


@pytest.mark.parametrize(
    "change",
    [
        {"label": 5},
        {"stage": None},
        {"version": "1"},
        {"version": True},
        {"inputs": "x"},
        {"inputs": [5]},
        {"inputs": ["../up"]},
        {"fields": []},
        {"made": 3},
        {"made": {"at": "9999-12-31T23:59:59-23:59"}},
        {"made": {"seconds": float("inf")}},
        {"files": {"a": {"bytes": 10**400, "sha256": "0"}}},
        {"files": {"a": {"bytes": -1, "sha256": "0"}}},
        {"files": {"a": {"bytes": True, "sha256": "0"}}},
        {"files": {f"a{i}": {"bytes": 2**49, "sha256": "0"} for i in range(3)}},
        {"files": {"../a": {"bytes": 1, "sha256": "0"}}},
    ],
    ids=str,
)
def test_a_record_with_odd_values_is_none(change):
    assert parse_record(sealed(files={}))
    with pytest.raises(ValueError, match=r"."):
        parse_record(sealed(**{"files": {}, **change}))


def test_a_changed_record_is_noticed_wherever_the_change_is(store):
    """Its label, its time and its seconds are in no other digest."""
    commit(store, KEY)
    path = store.path(KEY) / "DONE.json"
    whole = json.loads(path.read_text())
    said = {name: value for name, value in whole.items() if name != "sha256"}
    assert whole["sha256"] == hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    path.write_text(path.read_text().replace('"stage": "test"', '"stage": "tent"'))
    assert not store.has(KEY)
    assert "has changed since it was written" in store.verify(KEY)[0].message
    with pytest.raises(StoreError, match="has changed since it was written"):
        store.done(KEY)


def test_a_record_of_an_older_version_has_no_digest_and_is_read(store):
    commit(store, KEY)
    path = store.path(KEY) / "DONE.json"
    path.write_text(json.dumps({name: value for name, value in store.done(KEY).items() if name != "sha256"}))
    assert store.has(KEY)
    assert store.verify(KEY) == []


@pytest.mark.parametrize(
    "text", [*NO_DOCUMENTS, b"null", b"[1]", b'{"format": null}', b'{"format": "1"}'], ids=lambda t: repr(t[:12])
)
def test_an_odd_marker_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "STORE.json").write_bytes(text)
    for where in (tmp_path, tmp_path.as_uri()):
        with pytest.raises(StoreError) as caught:
            open_store(where, cache=tmp_path / "cache")
        assert len(str(caught.value)) < 2100


def test_a_marker_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "STORE.json")
    for where in (tmp_path, tmp_path.as_uri()):
        with pytest.raises(StoreError, match="no plain file"):
            open_store(where, cache=tmp_path / "cache")


@pytest.mark.parametrize("text", NO_DOCUMENTS, ids=lambda text: repr(text[:12]))
def test_a_document_that_cannot_be_read_is_none(store, text):
    store.documents("running").write("good", {"a": 1})
    (store.root / "running" / "bad.json").write_bytes(text)
    os.mkfifo(store.root / "running" / "pipe.json")
    (store.root / "running" / "no name.json").write_text("{}")
    assert store.documents("running").all() == {"good": {"a": 1}}
    assert store.documents("running").names() == ["bad", "good", "pipe"]


# -- the index ---------------------------------------------------------------------------------------


def looping(db: sqlite3.Connection) -> None:
    """A view without an end in place of a table."""
    db.executescript(
        "ALTER TABLE artefacts RENAME TO other; CREATE VIEW artefacts AS WITH RECURSIVE n(i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS key, 0 AS inode, 0 AS changed, '' AS fault FROM n;"
    )


@pytest.mark.parametrize(
    "damage",
    [
        looping,
        lambda db: db.execute("CREATE TRIGGER t AFTER DELETE ON artefacts BEGIN DELETE FROM store; END"),
        lambda db: db.execute("UPDATE artefacts SET inputs = ?", ("[" * 100_000,)),
        lambda db: db.execute("UPDATE artefacts SET inputs = '5'"),
        lambda db: db.execute("UPDATE artefacts SET inputs = '[5]'"),
        lambda db: db.execute("UPDATE artefacts SET seconds = 'long'"),
        lambda db: db.execute("UPDATE artefacts SET label = x'ff'"),
        lambda db: db.execute("UPDATE artefacts SET bytes = 'many'"),
        lambda db: db.execute("UPDATE artefacts SET bytes = 9223372036854775807"),
    ],
    ids=["view", "trigger", "deep", "number", "numbers", "seconds", "label", "bytes", "sum"],
)
def test_an_index_that_holds_what_is_none_is_made_anew(store, damage):
    for key in (KEY, OTHER):
        with store.lock(key), store.writing(key) as folder:
            made = {"at": "2026-01-02T03:04:05+00:00", "seconds": 2.0}
            store.commit(key, folder, {"stage": "test", "label": "one", "inputs": [], "made": made})
    good = store.listing(Query())
    assert len(good.entries) == 2
    time.sleep(0.01)
    with sqlite3.connect(store.root / INDEX) as db:
        damage(db)
    found = store.listing(Query(text="one"))
    assert [entry._replace(bytes=0) for entry in found.entries] == good.entries


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to nothing"])
def test_an_index_that_is_no_file_is_done_without(store, kind, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    commit(store, KEY)
    index = store.root / INDEX
    {"pipe": os.mkfifo, "folder": os.mkdir, "link to nothing": lambda path: path.symlink_to("none")}[kind](index)
    assert [entry.key for entry in store.listing(Query()).entries] == [KEY]


# -- flipped bits ------------------------------------------------------------------------------------


def test_what_is_read_is_what_was_written_or_refused(store):
    commit(store, KEY, **{"a.txt": "hello", "b.json": '{"a": 1}'})
    assert store.read(KEY, "a.txt") == b"hello"
    assert store.document(KEY, "b.json") == {"a": 1}
    (store.path(KEY) / "a.txt").write_text("jello")
    (store.path(KEY) / "b.json").write_text('{"a": 2}')
    for ask in (store.read, store.file, Store(store.root).file):
        with pytest.raises(StoreError, match=r"a\.txt has changed since it was written .*`outshine verify --mend`"):
            ask(KEY, "a.txt")
    with pytest.raises(StoreError, match=r"b\.json has changed"):
        store.document(KEY, "b.json")


def test_a_file_is_hashed_once_in_a_process_and_again_when_it_changes(store, monkeypatch):
    commit(store, KEY)
    hashed = []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: hashed.append(1) or real(file, name))
    for _ in range(3):
        store.file(KEY, "a.txt")
    assert len(hashed) == 1
    (store.path(KEY) / "a.txt").write_text("jello")
    with pytest.raises(StoreError, match="has changed"):
        store.file(KEY, "a.txt")


def test_a_document_of_an_artefact_that_is_no_json_is_told(store):
    commit(store, KEY, **{"deep.json": "[" * 100_000})
    with pytest.raises(StoreError, match=r"deep\.json cannot be read"):
        store.document(KEY, "deep.json")


def test_a_flipped_bit_in_a_local_copy_is_never_read(remote_place: Place) -> None:
    commit(remote_place.open(), KEY, **{"a.txt": "hello", "b.json": '{"a": 1}'})
    cache = remote_place.new_cache()
    reader = open_store(remote_place.where, cache=cache)
    assert reader.file(KEY, "a.txt").read_text() == "hello"
    assert reader.document(KEY, "b.json") == {"a": 1}
    for again in (reader, open_store(remote_place.where, cache=cache)):
        (again.path(KEY) / "a.txt").write_text("jello")
        (again.path(KEY) / "b.json").write_text('{"a": 2}')
        assert again.file(KEY, "a.txt").read_text() == "hello"
        assert again.document(KEY, "b.json") == {"a": 1}
        assert again.has(KEY)


def test_verify_finds_what_changed_in_a_local_copy_and_mend_takes_nothing_else(remote_place: Place) -> None:
    commit(remote_place.open(), KEY)
    store = open_store(remote_place.where, cache=remote_place.new_cache())
    store.file(KEY, "a.txt").write_text("jello")
    (fault,) = store.verify(KEY)
    assert fault.message == "the local copy of a.txt has changed since it was written (sha256 differs)"
    assert fault.of_copy
    assert store.has(KEY)
    before = remote_place.names()
    mended = store.mend(KEY)
    assert (mended.faults, mended.aside, mended.is_held) == ([fault], "", False)
    assert remote_place.names() == before
    assert store.verify(KEY) == []
    assert store.file(KEY, "a.txt").read_text() == "hello"


def test_mend_sets_aside_what_is_damaged_and_nothing_else(place: Place) -> None:
    store = place.open()
    commit(store, KEY)
    commit(store, OTHER)
    assert store.mend(KEY) == ([], "", False)
    name = next(name for name in place.names() if KEY in name and name.endswith("a.txt"))
    place.write(name, b"jello")
    with store.lock(KEY):  # another is at it
        assert place.open().mend(KEY).is_held
    mended = store.mend(KEY)
    assert mended.aside
    assert store.keys() == [OTHER]
    assert store.mend(KEY) == ([], "", False)


# -- refusals ----------------------------------------------------------------------------------------

CODES = [
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.EIO,
    errno.ESTALE,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ELOOP,
    errno.EMFILE,
    errno.EXDEV,
]
DOINGS = {
    "mkdir": lambda store: commit(store, OTHER),
    "rename": lambda store: commit(store, OTHER),
    "replace": lambda store: store.documents("studies").write("name", {}),
    "unlink": lambda store: store.documents("studies").remove("name"),
    "is_file": lambda store: store.has(KEY),
    "stat": lambda store: store.has(KEY),
    "read_bytes": lambda store: store.read(KEY, "a.txt"),
}


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
@pytest.mark.parametrize("doing", DOINGS)
def test_whatever_the_system_refuses_on_the_stores_path_is_one_line(store, monkeypatch, code, doing):
    commit(store, KEY)

    def refuse(path: Path, *_: object, **more: object) -> None:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(Path, doing, refuse)
    if doing == "stat" and code in (errno.ENOTDIR, errno.ELOOP):  # nothing lies below a file, or at the end of a circle
        assert not DOINGS[doing](store)
        return
    with pytest.raises(StoreError) as caught:
        DOINGS[doing](store)
    monkeypatch.undo()
    assert str(store.root) in str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert store.read(KEY, "a.txt") == b"hello"


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
def test_a_listing_that_is_refused_is_one_line(store, monkeypatch, code):
    commit(store, KEY)

    def refuse(path: Path) -> None:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    expected = [] if code == errno.ENOTDIR else None
    for ask in (store.keys, store.documents("studies").names):
        if expected is None:
            with pytest.raises(StoreError, match="cannot"):
                ask()
        else:
            assert ask() == expected


def test_a_refusal_of_something_else_is_not_the_stores(store, tmp_path):
    assert is_below(OSError(errno.EIO, "", str(store.root / "a")), store.root)
    assert is_below(OSError(errno.ENOTDIR, "", str(store.root.parent)), store.root)
    assert is_below(OSError(errno.EIO, ""), store.root)
    assert not is_below(OSError(errno.EIO, "", str(tmp_path / "other")), store.root)
    assert not is_below(ConnectionResetError(errno.ECONNRESET, ""), store.root)
    assert not is_below(OSError("no number"), store.root)


@pytest.mark.parametrize(("left", "words"), [(0, "no inode left"), (5, "disk is full")])
def test_a_file_system_without_inodes_is_told_from_a_full_one(tmp_path, monkeypatch, left, words):
    class Facts:
        f_files, f_favail = 200, left

    monkeypatch.setattr(refusals_module.os, "statvfs", lambda path: Facts)
    assert words in advice(OSError(errno.ENOSPC, ""), tmp_path)


@pytest.mark.parametrize("depth", ["x", "x/y/z"])
def test_a_store_below_a_file_is_refused_with_that_files_name(tmp_path, depth):
    (tmp_path / "plain").write_text("")
    with pytest.raises(StoreError, match=r"plain is a file; a folder is expected"):
        Store(tmp_path / "plain" / depth)


def test_local_copies_below_a_file_are_refused_in_one_line(tmp_path):
    (tmp_path / "plain").write_text("")
    store = open_store((tmp_path / "url").as_uri(), cache=tmp_path / "plain")
    with pytest.raises(StoreError, match=r"the local copies of file://.*a part of its path is a file"):
        commit(store, KEY)


def test_a_file_system_without_locks_is_told(store, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(StoreError, match="has no locks"), store.lock(KEY):
        pass


# -- journals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [*NO_DOCUMENTS, b"null", b"[1]", b'[["x", "y"]]', b'[["' + KEY.encode() + b'", "../x"]]', b"[[1, 2]]"],
    ids=lambda text: repr(text[:12]),
)
def test_a_damaged_list_of_a_commit_is_passed_over_and_told(place: Place, text: bytes) -> None:
    store = place.open()
    commit(store, OTHER)
    place.write(f"commits/{'a' * 32}.json", text)
    with store.lock(KEY):
        (note,) = store.finish_commits([KEY])
    assert "cannot be read and is passed over" in note
    commit(store, KEY)
    assert store.keys() == [KEY, OTHER]


# -- others at the same time -------------------------------------------------------------------------


def test_what_goes_away_while_it_is_verified_is_no_fault(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = place.open()
    commit(store, KEY)
    name = next(name for name in place.names() if KEY in name and name.endswith("a.txt"))
    assert store.verify(OTHER) == []
    place.write(name, b"jello")
    backend = store.backend
    real = backend.objects.fetch if isinstance(backend, UrlBackend) else store.done

    def gone(*given: Any) -> Any:
        found = real(*given)
        store.set_aside(KEY)
        return found

    if isinstance(backend, UrlBackend):
        monkeypatch.setattr(backend.objects, "fetch", gone)
    else:
        monkeypatch.setattr(store, "done", gone)
    assert store.verify(KEY) == []


def test_what_was_made_anew_while_it_was_verified_is_no_fault(store, monkeypatch):
    commit(store, KEY)
    (store.path(KEY) / "a.txt").write_text("jello")
    real, seen = Store.done, []

    def done(self: Store, key: str) -> Any:
        found = real(self, key)
        if not seen:
            seen.append(key)
            self.set_aside(key)
            commit(self, key)
        return found

    monkeypatch.setattr(Store, "done", done)
    assert store.verify(KEY) == []
    assert seen == [KEY]


def test_a_copy_that_a_neighbour_drops_is_fetched_again(remote_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(remote_place.open(), KEY)
    store = open_store(remote_place.where, cache=remote_place.new_cache())
    real, dropped = UrlBackend.reading, []

    def reading(self: Backend) -> Any:
        if len(dropped) < 3:
            dropped.append(shutil.rmtree(self.path(KEY)))
        return real(self)

    monkeypatch.setattr(UrlBackend, "reading", reading)
    assert store.read(KEY, "a.txt") == b"hello"
    assert len(dropped) == 3


@pytest.mark.slow
def test_copies_that_neighbours_drop_all_the_time_are_kept_in_the_end(tmp_path):
    """Two processes that keep and drop the same record; neither fails."""
    root, cache = (tmp_path / "url").as_uri(), tmp_path / "cache"
    commit(open_store(root, cache=cache), KEY)

    def work() -> None:
        store = open_store(root, cache=cache)
        assert isinstance(store.backend, UrlBackend)
        until = time.monotonic() + 2
        while time.monotonic() < until:
            time.sleep(0.01)
            store.backend.drop_copies(KEY)
            assert store.file(KEY, "a.txt")
            with suppress(FileNotFoundError):
                store.path(KEY).joinpath("DONE.json").unlink()

    workers = [FORK.Process(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]


def _write_slowly(root: str, ready: Any, go_on: Any) -> None:
    store = Store(Path(root))
    with store.lock(KEY), store.writing(KEY) as folder:
        (folder / "a.txt").write_text("hello")
        ready.set()
        assert go_on.wait(60)
        store.commit(KEY, folder, {"stage": "test"})


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_where_locks_do_nothing_two_writers_both_end_well(tmp_path, monkeypatch, first):
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    ready, go_on = FORK.Event(), FORK.Event()
    other = FORK.Process(target=_write_slowly, args=(str(tmp_path / "s"), ready, go_on))
    other.start()
    assert ready.wait(60)
    store = Store(tmp_path / "s")
    with store.lock(KEY) as held, store.writing(KEY) as folder:
        assert held
        assert len(list((store.root / "tmp").iterdir())) == 2
        (folder / "a.txt").write_text("hello")
        if first == "ours":
            store.commit(KEY, folder, {"stage": "test"})
        go_on.set()
        other.join(60)
        if first == "theirs":
            store.commit(KEY, folder, {"stage": "test"})
    assert other.exitcode == 0
    assert store.verify(KEY) == []
    assert store.read(KEY, "a.txt") == b"hello"
    assert list((store.root / "tmp").iterdir()) == []


def test_a_commit_that_comes_between_the_look_and_the_rename_wins(store, monkeypatch):
    other = Store(store.root)
    real = Path.rename

    def rename(path: Path, target: Path) -> Path:
        monkeypatch.undo()
        with other.writing(KEY) as folder:
            (folder / "a.txt").write_text("first")
            other.commit(KEY, folder, {"stage": "test"})
        return real(path, target)

    with store.writing(KEY) as folder:
        (folder / "a.txt").write_text("second")
        monkeypatch.setattr(Path, "rename", rename)
        store.commit(KEY, folder, {"stage": "test"})
    assert store.read(KEY, "a.txt") == b"first"


def test_a_killed_write_leaves_a_name_that_is_known_for_one(tmp_path):
    from outshine.engine.files import is_unfinished, write_whole

    left: list[str] = []

    def look(path: Path, target: Path) -> None:
        left.append(path.name)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "replace", look)
        write_synced(tmp_path / "one.json", "{}")
        write_whole(tmp_path / "two.json", lambda path: path.write_text("{}"))
    assert len(left) == 2
    assert all(is_unfinished(name) for name in left)
    assert not is_unfinished("one.json")
    assert not is_unfinished(".hidden")
