"""The index: what it lists is what lies on the disk, whatever became of its file."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fake_artefacts import fake_artefact
from outshine.engine.store import index
from outshine.engine.store.index import Query, listing
from outshine.engine.store.store import Store

STAGES = ("student", "keep", "probing")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache in a folder of the test."""
    place = tmp_path / "cache"
    monkeypatch.setattr(index, "user_cache_path", lambda *names, **options: place)
    return place


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with sixty artefacts of three kinds."""
    place = tmp_path / "store"
    for number in range(60):
        made_at = f"2026-01-{number % 28 + 1:02d}T00:00:00+00:00"
        fake_artefact(place, number, stage=STAGES[number % 3], made_at=made_at, seconds=number, content=b"x" * number)
    return place


def brute_force(root: Path) -> dict[str, tuple[Any, ...]]:
    """Key -> stage, label, made at, seconds, bytes: every DONE.json opened."""
    found = {}
    for path in root.glob("artefacts/*/*/DONE.json"):
        record = json.loads(path.read_text())
        size = sum(facts["bytes"] for facts in record["files"].values())
        made = record["made"]
        found[path.parent.name] = (record["stage"], record["label"], made["at"], made["seconds"], size)
    return found


def listed(root: Path) -> dict[str, tuple[Any, ...]]:
    found = listing(root, Query())
    rows = {one.key: (one.stage, one.label, one.made_at, one.seconds, one.bytes) for one in found.entries}
    assert len(rows) == len(found.entries) == found.num_artefacts
    assert found.num_bytes == sum(row[-1] for row in rows.values())
    return rows


@pytest.mark.slow
def test_thousands_of_artefacts_are_listed_as_they_are(tmp_path):
    root = tmp_path / "store"
    keys = [fake_artefact(root, number, stage=STAGES[number % 3], seconds=number) for number in range(4_000)]
    assert listed(root) == brute_force(root)
    for key in keys[:50]:
        shutil.rmtree(root / "artefacts" / key[:2] / key)
    for number in range(4_000, 4_030):
        fake_artefact(root, number)
    there = brute_force(root)
    assert len(there) == 3_980
    assert listed(root) == there
    store = Store(root)
    assert store.keys() == sorted(there)
    assert store.find(keys[100][:20]) == keys[100]
    beginning = keys[200][:2]
    assert [one.key for one in listing(root, Query(stage="keep", sort="took", limit=7)).entries] == [
        key for key, row in sorted(there.items(), key=lambda item: (item[1][3], item[0])) if row[0] == "keep"
    ][-7:]
    assert sum(key.startswith(beginning) for key in there) > 1
    with pytest.raises(Exception, match=f"{sum(key.startswith(beginning) for key in there)} artefacts have"):
        store.find(beginning)


def test_a_second_listing_opens_no_record_of_what_it_knows(root, monkeypatch):
    there = brute_force(root)
    assert listed(root) == there
    new = fake_artefact(root, 1000)
    opened = []
    row = index._row
    monkeypatch.setattr(index, "_row", lambda entry: opened.append(entry.name) or row(entry))
    assert listed(root).keys() == there.keys() | {new}
    assert opened == [new]


def test_an_artefact_made_anew_under_its_key_is_read_again(root):
    listed(root)
    key = next(iter(brute_force(root)))
    (root / "damaged").mkdir()
    (root / "artefacts" / key[:2] / key).rename(root / "damaged" / key)
    number = json.loads((root / "damaged" / key / "DONE.json").read_text())["fields"]["n"]
    assert fake_artefact(root, number, stage=STAGES[number % 3], label="anew", content=b"longer" * 100) == key
    assert listed(root)[key][1] == "anew"
    assert listed(root) == brute_force(root)


def truncated(place: Path) -> None:
    place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])


def cut_in_the_header(place: Path) -> None:
    place.write_bytes(place.read_bytes()[:50])


def garbage(place: Path) -> None:
    place.write_bytes(b"\xff\x00garbage" * 5000)


def garbage_pages(place: Path) -> None:
    data = bytearray(place.read_bytes())
    data[4096:] = bytes(i * 31 % 256 for i in range(len(data) - 4096))
    place.write_bytes(bytes(data))


def empty(place: Path) -> None:
    place.write_bytes(b"")


def old_schema(place: Path) -> None:
    place.unlink()
    with sqlite3.connect(place) as db:
        db.executescript("CREATE TABLE artefacts (key TEXT, size INTEGER); PRAGMA user_version = 0;")
    db.close()


def newer_version(place: Path) -> None:
    with sqlite3.connect(place) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def lost_table(place: Path) -> None:
    with sqlite3.connect(place) as db:
        db.execute("DROP TABLE shelves")
    db.close()


def rows_of_nothing(place: Path) -> None:
    with sqlite3.connect(place) as db:
        db.execute("INSERT INTO artefacts VALUES ('ff', 1, 1, 's', 'l', 'm', 1, 1, '[]', '')")
        db.execute("UPDATE artefacts SET inode = inode + 1, label = 'wrong'")
    db.close()


def inputs_that_are_none(place: Path) -> None:
    with sqlite3.connect(place) as db:
        db.execute("UPDATE artefacts SET inputs = '{'")
    db.close()


def of_another_store(place: Path) -> None:
    other = place.parent.parent / "other"
    for number in range(500, 520):
        fake_artefact(other, number)
    assert len(listed(other)) == 20
    shutil.copy(other / "index.sqlite", place)


def a_folder(place: Path) -> None:
    place.unlink()
    place.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        cut_in_the_header,
        garbage,
        garbage_pages,
        empty,
        old_schema,
        newer_version,
        lost_table,
        rows_of_nothing,
        inputs_that_are_none,
        of_another_store,
        a_folder,
    ],
)
def test_a_damaged_or_foreign_index_changes_no_listing(root, damage):
    there = brute_force(root)
    assert listed(root) == there
    damage(root / "index.sqlite")
    assert listed(root) == there
    assert listed(root) == there
    if damage is not a_folder:  # it was made anew
        with sqlite3.connect(root / "index.sqlite") as db:
            assert db.execute("SELECT count(*) FROM artefacts").fetchone() == (60,)
        db.close()


def test_a_locked_index_is_done_without(root, cache, monkeypatch):
    there = brute_force(root)
    assert listed(root) == there
    fake_artefact(root, 1000)
    monkeypatch.setattr(index, "_PATIENCE", 0.01)
    holder = sqlite3.connect(root / "index.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert listed(root) == brute_force(root)
    assert list(cache.glob("indexes/*.sqlite"))  # where it was kept instead
    holder.execute("ROLLBACK")
    holder.close()
    assert listed(root) == brute_force(root)


def test_where_nothing_can_be_written_the_listing_is_the_same(root, cache):
    (root / "index.sqlite").mkdir()
    cache.write_text("a file where the cache's folder would be")
    assert listed(root) == brute_force(root)


def test_listing_makes_no_store(tmp_path):
    assert listing(tmp_path / "none", Query()) == ([], 0, 0)
    (tmp_path / "empty").mkdir()
    assert listing(tmp_path / "empty", Query()) == ([], 0, 0)
    assert list(tmp_path.iterdir()) == [tmp_path / "empty"]
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_record_that_cannot_be_read_is_listed_as_damaged_until_it_is_mended(root):
    key = next(iter(brute_force(root)))
    done = root / "artefacts" / key[:2] / key / "DONE.json"
    whole = done.read_text()
    done.write_text(whole[:40])
    (one,) = [entry for entry in listing(root, Query()).entries if entry.fault]
    assert one.key == key
    done.write_text(whole)
    assert listed(root) == brute_force(root)


def test_queries_select_sort_and_limit(root):
    there = brute_force(root)
    keys = sorted(there)[:9]
    assert {one.key for one in listing(root, Query(keys=keys)).entries} == set(keys)
    texts = listing(root, Query(text="NUMBER 1"))
    assert {one.label.rsplit(" ", 1)[1] for one in texts.entries} == {"1", *(str(n) for n in range(10, 20))}
    assert {one.stage for one in listing(root, Query(stage="keep")).entries} == {"keep"}
    assert listing(root, Query(stage="nothing")) == ([], 0, 0)
    sizes = [one.bytes for one in listing(root, Query(sort="size")).entries]
    assert sizes == sorted(sizes) == list(range(60))
    last = listing(root, Query(sort="size", limit=3))
    assert [one.bytes for one in last.entries] == [57, 58, 59]
    assert (last.num_artefacts, last.num_bytes) == (60, sum(range(60)))
    ages = [one.made_at for one in listing(root, Query()).entries]
    assert ages == sorted(ages)


def _list_and_add(root: str, first: int) -> None:
    for number in range(first, first + 15):
        fake_artefact(Path(root), number)
        listing(Path(root), Query())


def test_processes_that_list_and_commit_at_once_end_with_one_whole_index(root):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_list_and_add, args=(str(root), 1000 * n)) for n in range(1, 5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(brute_force(root)) == 120
    assert listed(root) == brute_force(root)
