"""What every store promises, in a folder, on file:// and on S3: whole artefacts or none, one writer, verification."""

from __future__ import annotations

import json

import pytest

from outshine.engine.errors import StoreError
from outshine.engine.store.records import FORMAT
from remote_stores import Place, commit

KEY = "ab" * 32
OTHER = "cd" * 32
HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def test_nothing_is_written_before_it_is_needed(place: Place) -> None:
    store = place.open()
    assert not store.has(KEY)
    assert store.keys() == []
    assert store.lacking([KEY]) == [KEY]
    assert not store.is_locked(KEY)
    assert place.names() == []
    assert not store.root.exists()


def test_a_committed_artefact_is_there_with_its_record(place: Place) -> None:
    commit(place.open(), KEY, **{"a.txt": "hello", "b.txt": ""})
    store = place.open()
    assert store.has(KEY)
    assert store.keys() == [KEY]
    assert store.lacking([OTHER, KEY]) == [OTHER]
    assert store.file(KEY, "a.txt").read_text() == "hello"
    assert store.file(KEY, "b.txt").read_text() == ""
    assert store.done(KEY)["files"]["a.txt"] == {"bytes": 5, "sha256": HELLO}
    assert store.done(KEY)["stage"] == "test"
    assert store.verify(KEY) == []
    assert KEY in store.place(KEY)


def test_the_writer_itself_reads_what_it_wrote(place: Place) -> None:
    store = place.open()
    commit(store, KEY)
    assert store.has(KEY)
    assert store.file(KEY, "a.txt").read_text() == "hello"
    assert list((store.root / "tmp").iterdir()) == []


def test_files_in_folders_are_recorded(place: Place) -> None:
    store = place.open()
    with store.lock(KEY), store.writing(KEY) as folder:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "config.json").write_text("{}")
        store.commit(KEY, folder, {})
    other = place.open()
    assert list(other.done(KEY)["files"]) == ["adapter/config.json"]
    assert other.file(KEY, "adapter/config.json").read_text() == "{}"


def test_an_absent_artefact_and_an_absent_file_are_told(place: Place) -> None:
    store = place.open()
    with pytest.raises(StoreError, match=f"no artefact {KEY[:16]}"):
        store.done(KEY)
    commit(store, KEY)
    with pytest.raises(StoreError, match=r"b\.txt is missing"):
        store.file(KEY, "b.txt")


def test_a_failed_writer_leaves_nothing(place: Place) -> None:
    store = place.open()

    def fail() -> None:
        with store.lock(KEY), store.writing(KEY) as folder:
            (folder / "a.txt").write_text("half")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    assert not store.has(KEY)
    assert [name for name in place.names() if "a.txt" in name] == []
    assert list((store.root / "tmp").iterdir()) == []
    assert not store.is_locked(KEY)
    commit(place.open(), KEY)
    assert store.has(KEY)


def test_the_first_commit_wins(place: Place) -> None:
    commit(place.open(), KEY, **{"a.txt": "first"})
    second = place.open()
    commit(second, KEY, **{"a.txt": "second"})
    assert second.file(KEY, "a.txt").read_text() == "first"
    assert place.open().file(KEY, "a.txt").read_text() == "first"
    assert len([name for name in place.names() if name.endswith("a.txt")]) == 1


def test_commit_removes_the_work_folder(place: Place) -> None:
    store = place.open()
    store.work(KEY).mkdir(parents=True)
    commit(store, KEY)
    assert not store.work(KEY).exists()


def test_a_commit_of_several_is_there_as_a_whole(place: Place) -> None:
    store = place.open()
    with store.lock(KEY), store.lock(OTHER), store.writing(KEY) as one, store.writing(OTHER) as two:
        (one / "a.txt").write_text("hello")
        (two / "a.txt").write_text("other")
        store.commit_together([(KEY, one, {"stage": "test"}), (OTHER, two, {"stage": "test"})])
    reader = place.open()
    assert reader.keys() == [KEY, OTHER]
    assert reader.file(OTHER, "a.txt").read_text() == "other"
    assert [name for name in place.names() if name.startswith("commits/")] == []


def test_a_truncated_file_is_noticed_when_read(place: Place) -> None:
    commit(place.open(), KEY)
    place.write(place.the(KEY, "a.txt"), b"hell")
    store = place.open()
    with pytest.raises(StoreError, match=r"a\.txt has 4 bytes where 5 were written; run again to compute it anew"):
        store.file(KEY, "a.txt")
    assert not store.has(KEY)
    assert store.lacking([KEY]) == [KEY]
    assert store.is_damaged(KEY)


def test_a_flipped_bit_is_noticed_by_verify(place: Place) -> None:
    commit(place.open(), KEY)
    place.write(place.the(KEY, "a.txt"), b"jello")
    faults = place.open().verify(KEY)
    assert [fault.message for fault in faults] == ["a.txt has changed since it was written (sha256 differs)"]


def test_a_missing_file_and_an_unreadable_record_are_faults(place: Place) -> None:
    writer = place.open()
    commit(writer, KEY)
    commit(writer, OTHER)
    place.remove(place.the(KEY, "a.txt"))
    place.write(place.the(OTHER, "DONE.json"), b"{")
    store = place.open()
    assert [fault.message for fault in store.verify(KEY)] == ["a.txt is missing"]
    assert "unreadable" in store.verify(OTHER)[0].message
    assert not store.has(OTHER)
    with pytest.raises(StoreError, match="cannot be read"):
        place.open().done(OTHER)


@pytest.mark.parametrize("name", ["a.txt", "DONE.json"])
def test_a_damaged_artefact_set_aside_can_be_written_anew(place: Place, name: str) -> None:
    commit(place.open(), KEY)
    place.write(place.the(KEY, name), b"x")
    store = place.open()
    assert store.verify(KEY)
    aside = str(store.set_aside(KEY))
    assert KEY in aside
    assert "damaged" in aside
    assert not store.has(KEY)
    assert [found for found in place.names() if found.startswith("damaged/") and found.endswith("DONE.json")]
    commit(store, KEY, **{"a.txt": "anew"})
    assert place.open().verify(KEY) == []
    assert place.open().file(KEY, "a.txt").read_text() == "anew"


def test_a_commit_over_a_damaged_artefact_wins(place: Place) -> None:
    commit(place.open(), KEY)
    place.write(place.the(KEY, "a.txt"), b"hell")
    commit(place.open(), KEY, **{"a.txt": "anew"})
    assert place.open().file(KEY, "a.txt").read_text() == "anew"


def test_find_by_prefix(place: Place) -> None:
    store = place.open()
    commit(store, KEY)
    commit(store, OTHER)
    assert store.find("AB") == KEY
    with pytest.raises(StoreError, match="no artefact") as caught:
        store.find("99")
    assert place.where in str(caught.value)
    with pytest.raises(StoreError, match="2 artefacts"):
        store.find("")
    assert place.open().find("cd") == OTHER  # by a host that has read nothing yet


@pytest.mark.parametrize("key", ["../../etc/passwd", "", "ab" * 31, "AB" * 32, "zz" * 32, "ab/" * 21 + "x"])
def test_what_is_no_key_cannot_name_a_path(place: Place, key: str) -> None:
    store = place.open()
    for asked in (store.path, store.has, store.done, store.is_locked, store.work, store.place, store.set_aside):
        with pytest.raises(StoreError, match="is no key"):
            asked(key)


def test_a_newer_format_is_refused(place: Place) -> None:
    place.write("STORE.json", json.dumps({"format": FORMAT + 1}).encode())
    with pytest.raises(StoreError, match="newer outshine") as caught:
        place.open()
    assert place.where in str(caught.value)


def test_a_format_that_cannot_be_read_is_refused(place: Place) -> None:
    place.write("STORE.json", b"half")
    with pytest.raises(StoreError, match=r"STORE\.json.* cannot be read"):
        place.open()


def test_a_held_lock_is_not_taken_twice(place: Place) -> None:
    with place.open().lock(KEY) as first:
        assert first
        other = place.open()
        assert other.is_locked(KEY)
        with other.lock(KEY, timeout=0.05) as second:
            assert not second
        with other.lock(OTHER, timeout=0) as another:
            assert another
    with other.lock(KEY, timeout=0) as third:
        assert third


def test_documents_are_whole_and_the_last_writer_wins(place: Place) -> None:
    documents, read = place.open().documents("failures"), place.open().documents("failures")
    assert read.all() == {}
    assert read.read("one") is None
    documents.write("one", {"n": 1})
    documents.write("two", {"n": 2})
    documents.write("one", {"n": 3, "text": "Fülle"})
    place.write("failures/cut.json", b'{"n": ')
    place.write("failures/list.json", b"[1]")
    place.write("failures/.half.json-12", b"{}")
    assert list(read.all().items()) == [("one", {"n": 3, "text": "Fülle"}), ("two", {"n": 2})]
    assert read.read("cut") is None
    documents.remove("one")
    documents.remove("one")
    assert read.all() == {"two": {"n": 2}}
    assert place.open().documents("running").all() == {}


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", ".hidden", "a\x00b", "a b"])
def test_names_of_documents_cannot_lead_out(place: Place, name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a document"):
        place.open().documents("running").write(name, {})
    with pytest.raises(StoreError, match="cannot name a document"):
        place.open().documents(name)
    assert place.names() == []
