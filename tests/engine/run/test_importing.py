"""Import takes what export wrote, and refuses everything else before anything is placed."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest
from evil_archives import EVIL, Good, good_archive
from recorded_studies import record

from fake_artefacts import fake_artefact
from outshine.cli.find_study import parse_recorded
from outshine.engine.errors import StoreError, UnknownNameError
from outshine.engine.store import export_import as importing
from outshine.engine.store.archive import ArchiveError
from outshine.engine.store.export_import import export_study, import_study
from outshine.engine.store.recorded_studies import find_recorded, recorded_studies
from outshine.engine.store.store import Store

LIMIT = 50_000_000


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def good(tmp_path: Path) -> Good:
    return good_archive(tmp_path)


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Store, Path]:
    """A store with a study of four artefacts, one of them with a folder, and its archive."""
    store = Store(tmp_path / "from")
    keys = [fake_artefact(store.root, number, content=bytes([number]) * 2_500_000) for number in range(4)]
    fake_artefact(store.root, 100)
    record(store, "carried", keys)
    export_study(find_recorded("carried", store), store, tmp_path / "carried.zip")
    return store, tmp_path / "carried.zip"


def test_what_was_exported_is_imported_to_the_byte(exported, tmp_path):
    store, archive = exported
    target = Store(tmp_path / "to")
    done = import_study(archive, target, LIMIT, parse_recorded)
    assert (done.num_new, done.num_there) == (4, 0)
    kept = find_recorded("carried", store)
    assert set(target.keys()) == kept.keys
    for key in kept.keys:
        assert tree(target.path(key)) == tree(store.path(key))
        assert target.verify(key) == []
    (one,) = recorded_studies(target)
    assert (one.digest, one.keys, one.study, one.expanded) == (kept.digest, kept.keys, kept.study, True)
    assert list((target.root / "tmp").iterdir()) == []


def test_equal_studies_make_equal_archives_that_any_zip_tool_reads(exported, tmp_path):
    store, archive = exported
    again = tmp_path / "again.zip"
    export_study(find_recorded("carried", store), store, again)
    assert again.read_bytes() == archive.read_bytes()
    with zipfile.ZipFile(archive) as zipped:
        assert zipped.testzip() is None
        assert zipped.namelist()[0] == "manifest.json"
        stored = {info.compress_type for info in zipped.infolist() if info.filename.endswith(".bin")}
    assert stored == {zipfile.ZIP_STORED}
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_an_export_replaces_archives_alone(exported, tmp_path, monkeypatch):
    store, archive = exported
    carried = find_recorded("carried", store)
    whole = archive.read_bytes()
    export_study(carried, store, archive)
    assert archive.read_bytes() == whole
    mine = tmp_path / "mine.csv"
    mine.write_text("text,label\n")
    os.mkfifo(tmp_path / "pipe")  # as a device, it is not to be replaced by a file
    for name in ("mine.csv", "pipe"):
        with pytest.raises(StoreError, match=f"{name}' is there and is no archive; choose another name"):
            export_study(carried, store, tmp_path / name)
    assert mine.read_text() == "text,label\n"
    assert not (tmp_path / "pipe").is_file()
    monkeypatch.chdir(tmp_path)
    for folder in (Path(), Path("from")):
        with pytest.raises(StoreError, match=r"is a folder; name the archive in it: --out (from/)?carried.zip"):
            export_study(carried, store, folder)


def test_an_unfinished_or_damaged_study_is_not_exported(exported, tmp_path):
    store, _ = exported
    out = tmp_path / "out.zip"
    key = min(find_recorded("carried", store).keys)
    file = store.path(key) / "a.bin"
    whole = file.read_bytes()
    file.write_bytes(b"\xff" + whole[1:])
    with pytest.raises(StoreError, match="has changed since it was written"):
        export_study(find_recorded("carried", store), store, out)
    file.write_bytes(whole[:-1])
    with pytest.raises(StoreError, match="is not finished: 1 of 4"):
        export_study(find_recorded("carried", store), store, out)
    file.write_bytes(whole)
    record(store, "begun", [key], expanded=False)
    with pytest.raises(StoreError, match="is not finished"):
        export_study(find_recorded("begun", store), store, out)
    with pytest.raises(UnknownNameError):
        find_recorded("none", store)
    assert list(tmp_path.glob("*out*")) == []
    with pytest.raises(StoreError, match="cannot be written"):
        export_study(find_recorded("carried", store), store, file / "below-a-file.zip")


def test_the_first_commit_wins_and_damage_is_mended(exported, tmp_path):
    store, archive = exported
    target = Store(tmp_path / "to")
    keys = sorted(find_recorded("carried", store).keys)
    numbers = {key: json.loads((store.path(key) / "DONE.json").read_text())["fields"]["n"] for key in keys}
    for key in keys[:2]:
        fake_artefact(target.root, numbers[key], content=b"computed here")
    (target.path(keys[1]) / "a.bin").write_bytes(b"damaged here, by length")
    done = import_study(archive, target, LIMIT, parse_recorded)
    assert (done.num_new, done.num_there) == (3, 1)
    assert target.file(keys[0], "a.bin").read_bytes() == b"computed here"
    assert tree(target.path(keys[1])) == tree(store.path(keys[1]))


def test_an_interrupted_import_is_taken_up_by_the_next(exported, tmp_path, monkeypatch):
    store, archive = exported
    target = Store(tmp_path / "to")
    extract = importing._extract
    calls = []

    def until_the_third(*args):
        calls.append(args)
        if len(calls) == 3:
            args[1].write_bytes(b"half")
            raise KeyboardInterrupt
        extract(*args)

    monkeypatch.setattr(importing, "_extract", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        import_study(archive, target, LIMIT, parse_recorded)
    assert len(target.keys()) == 2
    assert [fault for key in target.keys() for fault in target.verify(key)] == []  # noqa: SIM118
    assert find_recorded("carried", target).keys == find_recorded("carried", store).keys
    monkeypatch.undo()
    done = import_study(archive, target, LIMIT, parse_recorded)
    assert (done.num_new, done.num_there) == (2, 2)
    assert all(tree(target.path(key)) == tree(store.path(key)) for key in target.keys())  # noqa: SIM118


def test_the_good_archive_of_the_evil_ones_is_imported(good, tmp_path):
    good.write()
    store = Store(tmp_path / "store")
    assert import_study(good.path, store, LIMIT, parse_recorded).num_new == 2
    assert store.keys() == sorted(good.keys)


@pytest.mark.slow
@pytest.mark.parametrize("into", ["a new store", "a store with a study"])
@pytest.mark.parametrize("what", EVIL)
def test_an_evil_archive_is_refused_in_one_line_and_leaves_nothing(good, tmp_path, what, into):
    change, words = EVIL[what]
    store = Store(tmp_path / "place" / "store")
    if into == "a store with a study":
        record(store, "own", [fake_artefact(store.root, 7)])
    change(good)
    before = tree(tmp_path)
    with pytest.raises(ArchiveError) as caught:
        import_study(good.path, store, LIMIT, parse_recorded)
    message = str(caught.value)
    assert message.startswith(f"the archive {good.path} cannot be imported: ")
    assert words in message
    assert message.isprintable()
    assert len(message) < 800
    assert tree(tmp_path) == before
    assert store.root.exists() == (into == "a store with a study")


def test_every_truncation_of_an_archive_is_refused(good, tmp_path):
    good.write()
    whole = good.path.read_bytes()
    store = Store(tmp_path / "store")
    for length in range(0, len(whole), 101):
        good.path.write_bytes(whole[:length])
        with pytest.raises(ArchiveError):
            import_study(good.path, store, LIMIT, parse_recorded)
    assert not store.root.exists()


def test_no_flipped_byte_changes_an_artefact(good, tmp_path):
    """An archive with one wrong byte is refused, or what comes of it is what came of the whole one."""
    good.write()
    whole = good.path.read_bytes()
    first = Store(tmp_path / "first")
    import_study(good.path, first, LIMIT, parse_recorded)
    expected = {key: tree(first.path(key)) for key in first.keys()}  # noqa: SIM118
    refused = 0
    for number, at in enumerate(range(0, len(whole), 61)):
        data = bytearray(whole)
        data[at] ^= 0x41
        good.path.write_bytes(bytes(data))
        store = Store(tmp_path / f"store-{number}")
        try:
            import_study(good.path, store, LIMIT, parse_recorded)
        except ArchiveError:
            refused += 1
            assert not store.root.exists()
        else:
            assert {key: tree(store.path(key)) for key in store.keys()} == expected  # noqa: SIM118
    assert refused > 0.9 * len(whole) / 61


def test_an_archive_that_unpacks_to_more_than_allowed_is_refused(exported, tmp_path):
    _, archive = exported
    with pytest.raises(ArchiveError, match="--max-size"):
        import_study(archive, Store(tmp_path / "to"), 9_999_999, parse_recorded)
    assert not (tmp_path / "to").exists()
