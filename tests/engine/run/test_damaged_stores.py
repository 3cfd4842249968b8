"""What gc, runs, exports and listings make of damaged documents, of leftovers that show no name, and of one another."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from hashlib import sha256
from pathlib import Path

import pytest
from recorded_studies import record

from fake_artefacts import fake_artefact
from outshine.cli.find_study import parse_recorded
from outshine.engine.errors import StoreError
from outshine.engine.progress import Silent
from outshine.engine.run import local
from outshine.engine.run.failures import start_over
from outshine.engine.run.local import LocalExecutor
from outshine.engine.runtime import UNKNOWN, Runtime, version_of
from outshine.engine.store.archive import ArchiveError
from outshine.engine.store.export_import import export_study, import_study
from outshine.engine.store.gc import GcOptions, plan_gc, run_gc
from outshine.engine.store.index import Query
from outshine.engine.store.recorded_studies import find_recorded, recorded_studies
from outshine.engine.store.store import Store
from outshine.w2s.status import study_status
from remote_stores import Place

DAY = 24 * 3600
KEY, OTHER = "ab" * 32, "cd" * 32


def names(store: Store) -> set[str]:
    return {one.name for one in plan_gc(GcOptions(), store).leftovers}


def aged(path: Path, days: float = 2) -> Path:
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize("folder", [".", "studies", "running", "failures", "commits"])
def test_what_a_killed_write_left_goes_when_it_is_a_day_old(store, folder):
    fake_artefact(store.root, 1)
    (store.root / folder).mkdir(exist_ok=True)
    for name, days in ((".a.json-0123abcd", 2), (".b.json-0123abcd", 0.5), (".mine", 2), ("a.txt", 2)):
        path = store.root / folder / name
        path.write_text("{")
        aged(path, days)
    expected = str(Path(folder) / ".a.json-0123abcd")
    assert names(store) == {expected}
    run_gc(plan_gc(GcOptions(), store), store)
    assert not (store.root / expected).exists()
    assert (store.root / folder / ".b.json-0123abcd").exists()


@pytest.mark.parametrize("text", ["", "{", "null", "[1]", "[" * 100_000, '[["x", "y"]]', "\x00"])
def test_a_damaged_list_of_a_commit_is_told_passed_over_and_swept(store, text):
    fake_artefact(store.root, 1)
    (store.root / "commits").mkdir()
    journal = store.root / "commits" / f"{'a' * 32}.json"
    journal.write_text(text)
    progress = Silent()
    executor = LocalExecutor(store, Runtime(), progress)
    for _ in range(2):
        with store.lock(KEY):
            executor._note_once(store.finish_commits([KEY]))
    (note,) = progress.notes
    assert f"{journal} cannot be read and is passed over" in note
    assert f"commits/{journal.name}" in names(store)
    run_gc(plan_gc(GcOptions(), store), store)
    assert not journal.exists()


def test_below_a_url_too(remote_place: Place) -> None:
    store = remote_place.open()
    with store.lock(KEY), store.writing(KEY) as folder:
        (folder / "a.txt").write_text("hello")
        store.commit(KEY, folder, {"stage": "test"})
    remote_place.write(f"commits/{'a' * 32}.json", b"[1]")
    assert {one.name for one in plan_gc(GcOptions(), store).leftovers} >= {f"commits/{'a' * 32}.json"}
    run_gc(plan_gc(GcOptions(), store), store)
    assert not [name for name in remote_place.names() if name.startswith("commits/")]
    assert store.keys() == [KEY]


def test_a_living_writer_loses_nothing_to_gc_where_its_lock_does_nothing(store, monkeypatch):
    fake_artefact(store.root, 1)
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    host = sha256(platform.node().encode()).hexdigest()[:8]
    with store.lock(KEY), store.writing(KEY) as ours:
        dead, elsewhere, older = (
            store.root / "tmp" / f"{OTHER}-{rest}"
            for rest in (f"{host}-999999999-01234567", "00000000-1-01234567", "01234567")
        )
        for folder in (dead, elsewhere, older):
            folder.mkdir()
        assert names(store) & {f"tmp/{path.name}" for path in (ours, dead, elsewhere, older)} == {
            f"tmp/{dead.name}",
            f"tmp/{older.name}",
        }
        aged(elsewhere)
        assert f"tmp/{elsewhere.name}" in names(store)


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-23:59", "soon", 5, None])
def test_a_recorded_study_with_an_odd_date_is_one_line(store, when):
    key = fake_artefact(store.root, 1)
    digest = record(store, "odd", [key])
    document = store.documents("studies").read(digest)
    assert document is not None
    store.documents("studies").write(digest, {**document, "last_ran": when})
    for ask in (lambda: recorded_studies(store), lambda: plan_gc(GcOptions(), store)):
        with pytest.raises(StoreError, match=r"the record of a study .* cannot be read"):
            ask()


@pytest.mark.parametrize("odd", [5, "x", [5, [], {}], {"a": 1}, None, float("inf"), 10**400])
def test_documents_of_what_runs_and_failed_with_odd_values_are_looked_at_in_peace(store, odd):
    key = fake_artefact(store.root, 1)
    facts = {"keys": odd, "label": odd, "pid": odd, "done": odd, "total": odd, "unit": odd, "since": odd}
    store.documents("running").write(KEY, facts)
    store.documents("running").write(OTHER, {**facts, "keys": [OTHER, odd]})
    store.documents("failures").write(KEY, {"label": odd, "message": odd, "unit": odd})
    with store.lock(OTHER):
        now = study_status("study", {key, KEY, OTHER}, store)
    assert (now.done, len(now.running), len(now.failed)) == (1, 1, 1)
    assert [failure.key for failure in start_over(store, [KEY])] == [KEY]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-23:59"])
def test_an_artefact_with_a_date_out_of_range_is_listed_and_swept(store, at):
    record(store, "kept", [fake_artefact(store.root, 1)])
    odd = fake_artefact(store.root, 2, made_at=at)
    plan = plan_gc(GcOptions(), store)
    assert plan.num_unrecorded + len(plan.artefacts) == 1
    (entry,) = [one for one in store.listing(Query()).entries if one.key == odd]
    assert "out of range" in entry.fault or "date" in entry.fault


def test_an_export_of_what_goes_away_meanwhile_says_so(store, tmp_path, monkeypatch):
    key = fake_artefact(store.root, 1)
    record(store, "gone", [key])
    recorded = find_recorded("gone", store)
    real = Store.file

    def file(self: Store, *given: str) -> Path:
        found = real(self, *given)
        self.set_aside(key)
        return found

    monkeypatch.setattr(Store, "file", file)
    with pytest.raises(StoreError, match=r"went away from .* while it was exported"):
        export_study(recorded, store, tmp_path / "a.zip")
    assert not list(tmp_path.glob("*.zip"))


def test_an_archive_that_is_a_pipe_is_not_waited_for(store, tmp_path):
    os.mkfifo(tmp_path / "a.zip")
    with pytest.raises(ArchiveError, match="no plain file"):
        import_study(tmp_path / "a.zip", store, 10**9, parse_recorded)


def test_a_source_tree_that_is_not_installed_has_a_version_that_is_unknown(monkeypatch):
    def none(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("outshine.engine.runtime.version", none)
    for cached in (version_of, local._versions):
        cached.cache_clear()
    try:
        assert version_of("outshine") == UNKNOWN
        found = local._versions()
    finally:
        for cached in (version_of, local._versions):
            cached.cache_clear()
    assert found["outshine"] == found["torch"] == UNKNOWN
    assert "bitsandbytes" not in found
    assert json.dumps(found)
