"""Garbage collection below a URL, on file:// and on a real S3 server: what goes, what stays, what is held."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recorded_studies import record

from outshine.engine.store.gc import GcOptions, plan_gc, run_gc
from outshine.engine.store.store import Store
from remote_stores import Place

KEYS = [f"{number:064x}" for number in range(1, 7)]
SHORT = 0.5  # seconds to live: gc waits so long where leases are out
AT = {"at": "2026-01-02T00:00:00+00:00", "seconds": 1.0}


def put(store: Store, key: str, content: bytes = b"x" * 50) -> None:
    with store.lock(key), store.writing(key) as folder:
        (folder / "a.txt").write_bytes(content)
        (folder / "b").mkdir()
        (folder / "b" / "c.txt").write_bytes(content)
        store.commit(key, folder, {"stage": "number", "label": key[-2:], "inputs": [], "made": AT})


def below(place: Place, prefix: str) -> list[str]:
    return sorted(name for name in place.names() if name.startswith(prefix))


@pytest.fixture
def filled(remote_place: Place) -> Place:
    """Two studies that share an artefact, and one artefact that nobody needs."""
    store = remote_place.open()
    for key in KEYS[:4]:
        put(store, key)
    record(store, "one", KEYS[:2])
    record(store, "two", [KEYS[1], KEYS[2]])
    document = store.documents("studies")
    for name in document.names():  # they ran before anything was made: what they do not need is known to be unneeded
        document.write(name, {**(document.read(name) or {}), "first_ran": "2026-01-01T00:00:00+00:00"})
    return remote_place


def test_only_what_no_study_needs_goes_and_its_files_with_it(filled: Place) -> None:
    store = filled.open()
    plan = plan_gc(GcOptions(), store)
    assert [one.key for one in plan.artefacts] == [KEYS[3]]
    assert (plan.num_bytes, plan.bytes_after) == (100, 300)
    before = filled.names()
    assert run_gc(plan, store) == []
    gone = sorted(set(before) - set(filled.names()))
    assert gone == sorted(name for name in before if KEYS[3] in name)
    assert len(gone) == 3  # the record and two files
    assert filled.open().keys() == KEYS[:3]
    again = plan_gc(GcOptions(), filled.open())
    assert (again.artefacts, again.leftovers) == ([], [])


def test_a_forgotten_study_frees_what_only_it_needs(filled: Place) -> None:
    store = filled.open()
    assert run_gc(plan_gc(GcOptions(forget=("one",)), store), store) == []
    assert filled.open().keys() == [KEYS[1], KEYS[2]]
    assert len(below(filled, "studies/")) == 1
    assert {name.split("/")[1] for name in below(filled, "files/")} == {KEYS[1], KEYS[2]}
    assert below(filled, "leases/") == []


def test_what_dead_writers_left_goes_and_what_lives_does_not(filled: Place, tmp_path: Path) -> None:
    store, other = filled.open(time_to_live=SHORT), filled.open(time_to_live=SHORT)
    dead, upload = KEYS[4], "d" * 32
    sent = f"files/{dead}/{upload}/a.txt"
    whole = below(filled, f"files/{KEYS[0]}/")[0]
    filled.write(sent, b"half")
    filled.write(f"files/{KEYS[0]}/{upload}/a.txt", b"a second one, that came too late")
    filled.write(f"damaged/{dead}-12345678/DONE.json", b"{}")
    filled.write(f"leases/{KEYS[0]}/00000003.json", json.dumps({"released": True}).encode())
    filled.write(f"running/{KEYS[0]}.json", b"{}")
    filled.write(f"failures/{KEYS[0]}.json", b"{}")
    filled.write(f"failures/{dead}.json", b"{}")
    expected = {
        f"files/{dead}/{upload}",
        f"files/{KEYS[0]}/{upload}",
        f"damaged/{dead}-12345678",
        f"leases/{KEYS[0]}",
        f"running/{KEYS[0]}.json",
        f"failures/{KEYS[0]}.json",
        f"failures/{dead}.json",
    }
    with other.lock(dead):  # somebody is sending it
        held = plan_gc(GcOptions(), store)
        assert {one.name for one in held.leftovers} == {
            name for name in expected if dead not in name or "damaged" in name
        }
    plan = plan_gc(GcOptions(), store)
    assert {one.name for one in plan.leftovers} == expected | set(_released(filled, dead))
    assert run_gc(plan, store) == []
    assert whole in filled.names()
    assert not {name for name in filled.names() if upload in name or name.startswith(("damaged/", "running/"))}
    assert below(filled, "leases/") == []
    assert plan_gc(GcOptions(), filled.open()).leftovers == []


def _released(place: Place, key: str) -> list[str]:
    """A lock that was let go without an artefact keeps the count of its generations."""
    return [f"leases/{key}"] if below(place, f"leases/{key}") else []


def test_an_artefact_that_a_process_holds_stays(filled: Place) -> None:
    store, other = filled.open(time_to_live=SHORT), filled.open(time_to_live=SHORT)
    plan = plan_gc(GcOptions(), store)
    with other.lock(KEYS[3]):
        during = plan_gc(GcOptions(), filled.open(time_to_live=SHORT))
        assert (during.artefacts, during.num_held) == ([], 1)
        left = run_gc(plan, store)
    assert left == [f"artefacts/{KEYS[3]}"]
    assert KEYS[3] in filled.open().keys()  # noqa: SIM118


def test_a_study_that_is_recorded_after_the_plan_keeps_what_it_needs(filled: Place) -> None:
    store = filled.open()
    plan = plan_gc(GcOptions(), store)
    record(filled.open(), "three", [KEYS[3]])
    assert run_gc(plan, store) == [f"artefacts/{KEYS[3]}"]
    assert KEYS[3] in filled.open().keys()  # noqa: SIM118


def test_a_commit_that_is_not_finished_keeps_its_files(filled: Place) -> None:
    store = filled.open()
    key, upload = KEYS[5], "a" * 32
    record(store, "four", [key])
    text = json.dumps({"files": {"a.txt": {"bytes": 1, "sha256": "0"}}, "upload": upload})
    filled.write(f"files/{key}/{upload}/a.txt", b"x")
    filled.write("commits/one.json", json.dumps([[key, upload, text]]).encode())
    assert f"files/{key}/{upload}" not in {one.name for one in plan_gc(GcOptions(), store).leftovers}
    with store.lock(key):
        store.finish_commits([key])
    assert store.has(key)


def test_the_dead_are_told_from_the_living_by_their_leases(filled: Place) -> None:
    """A lease that nobody beats is taken for dead after a time to live, which gc waits for."""
    beat = json.dumps({"holder": "dead", "beat": 3, "ttl": SHORT, "released": False})
    filled.write(f"leases/{KEYS[3]}/00000001.json", beat.encode())
    plan = plan_gc(GcOptions(), filled.open(time_to_live=SHORT))
    assert [one.key for one in plan.artefacts] == [KEYS[3]]
