"""Garbage collection: what is needed, held or of unknown use stays; what is said to go goes, and nothing else."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from recorded_studies import record

from fake_artefacts import fake_artefact
from outshine.engine.errors import StoreError
from outshine.engine.store import folder
from outshine.engine.store.gc import GcOptions, GcPlan, plan_gc, run_gc
from outshine.engine.store.recorded_studies import find_recorded, recorded_studies
from outshine.engine.store.store import Store

LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)
EARLY, LATE = "2024-06-01T00:00:00+00:00", "2026-06-01T00:00:00+00:00"


def artefact(store: Store, number: int, made_at: str = LATE, size: int = 100) -> str:
    return fake_artefact(store.root, number, made_at=made_at, content=b"x" * size)


def files(store: Store) -> set[str]:
    return {path.relative_to(store.root).as_posix() for path in store.root.rglob("*") if path.is_file()}


def going(plan: GcPlan) -> set[str]:
    return {one.key for one in plan.artefacts}


def names(plan: GcPlan) -> set[str]:
    return {one.name for one in plan.leftovers}


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_an_empty_or_absent_store_has_nothing_to_remove(store):
    assert run_gc(plan_gc(GcOptions(), store), store) == []
    assert not store.root.exists()


def test_without_a_recorded_study_no_artefact_and_no_checkpoint_goes(store):
    keys = [artefact(store, number) for number in range(3)]
    put(store.work("e" * 64) / "checkpoint.safetensors")
    for wish in (GcOptions(), GcOptions(older_than=timedelta(0)), GcOptions(max_size=0)):
        plan = plan_gc(wish, store)
        assert (going(plan), names(plan), plan.num_unrecorded) == (set(), set(), 3)
        run_gc(plan, store)
    assert store.keys() == sorted(keys)
    plan = plan_gc(GcOptions(unrecorded=True), store)
    assert going(plan) == set(keys)
    assert names(plan) == {f"work/{'e' * 64}"}


def test_what_is_older_than_any_record_stays_when_the_first_study_is_recorded(store):
    week_of_work = [artefact(store, number, EARLY) for number in range(3)]
    orphan, needed = artefact(store, 10, LATE), artefact(store, 11, LATE)
    record(store, "small", [needed], ran=LONG_AGO)
    plan = plan_gc(GcOptions(), store)
    assert (going(plan), plan.num_unrecorded) == ({orphan}, 3)
    run_gc(plan, store)
    assert store.keys() == sorted([*week_of_work, needed])
    assert going(plan_gc(GcOptions(unrecorded=True), store)) == set(week_of_work)


def test_a_forgotten_study_takes_only_what_no_other_needs(store):
    shared, own, others = artefact(store, 1, EARLY), artefact(store, 2, EARLY), artefact(store, 3, EARLY)
    gone = record(store, "gone", [shared, own])
    record(store, "kept", [shared, others])
    plan = plan_gc(GcOptions(forget=("gone",)), store)
    assert going(plan) == {own}
    assert [one.digest for one in recorded_studies(store)].count(gone) == 1  # a plan changes nothing
    assert run_gc(plan, store) == []
    assert store.keys() == sorted([shared, others])
    assert [one.name for one in recorded_studies(store)] == ["kept"]
    assert list((store.root / "tmp").iterdir()) == []


def test_studies_are_forgotten_by_when_they_last_ran(store):
    old, new = artefact(store, 1), artefact(store, 2)
    record(store, "old", [old], ran=datetime.now(UTC) - timedelta(days=40))
    record(store, "new", [new], ran=datetime.now(UTC) - timedelta(days=20))
    assert going(plan_gc(GcOptions(older_than=timedelta(days=50)), store)) == set()
    plan = plan_gc(GcOptions(older_than=timedelta(days=30)), store)
    assert (going(plan), [one.name for one in plan.forgotten]) == ({old}, ["old"])


def test_by_size_the_oldest_go_and_no_more_than_needed(store):
    dates = [f"2026-0{month}-01T00:00:00+00:00" for month in range(1, 8)]
    keys = [artefact(store, number, made_at, size=1000) for number, made_at in enumerate(dates)]
    record(store, "kept", keys[:2], ran=LONG_AGO)  # the oldest of all
    sizes = {one: sum(path.stat().st_size for path in store.path(one).iterdir()) for one in keys}
    total = sum(sizes.values())
    assert going(plan_gc(GcOptions(max_size=total), store)) == set()
    assert going(plan_gc(GcOptions(max_size=total - 1), store)) == {keys[2]}
    plan = plan_gc(GcOptions(max_size=total - sizes[keys[2]] - 1), store)
    assert going(plan) == {keys[2], keys[3]}
    assert plan.bytes_after == total - sizes[keys[2]] - sizes[keys[3]]
    least = plan_gc(GcOptions(max_size=0), store)
    assert going(least) == set(keys[2:])
    assert least.bytes_after == sizes[keys[0]] + sizes[keys[1]]


def leftovers_of(store: Store, needed: str, orphan: str, missing: str) -> tuple[set[str], set[str]]:
    """Every kind of leftover, and beside it things that are none; the names of both."""
    root, other = store.root, "f" * 64
    going = {
        f"tmp/{missing}-0123abcd": put(root / "tmp" / f"{missing}-0123abcd" / "half.bin"),
        f"work/{needed}": put(store.work(needed) / "checkpoint.safetensors"),
        f"damaged/{needed}-0123abcd": put(root / "damaged" / f"{needed}-0123abcd" / "a.bin"),
        "commits/done.json": put(root / "commits" / "done.json", json.dumps([[needed, f"{needed}-aaaaaaaa"]])),
        f"running/{missing}.json": put(root / "running" / f"{missing}.json", "{}"),
        f"failures/{other}.json": put(root / "failures" / f"{other}.json", "{}"),
        f"failures/{needed}.json": put(root / "failures" / f"{needed}.json", "{}"),
        f"locks/{needed}.lock": put(root / "locks" / f"{needed}.lock", ""),
        f"locks/{other}.lock": put(root / "locks" / f"{other}.lock", ""),
    }
    staying = {
        f"tmp/{other}-bbbbbbbb/DONE.json": put(root / "tmp" / f"{other}-bbbbbbbb" / "DONE.json"),
        "commits/open.json": put(root / "commits" / "open.json", json.dumps([[other, f"{other}-bbbbbbbb"]])),
        "tmp/of-another-tool/x": put(root / "tmp" / "of-another-tool" / "x"),
        f"work/{missing}/checkpoint": put(store.work(missing) / "checkpoint"),
        f"work/{other}/cohort": put(store.work(other) / "cohort"),  # a cohort of the unfinished study, it may be
        f"failures/{missing}.json": put(root / "failures" / f"{missing}.json", "{}"),
        f"locks/{missing}.lock": put(root / "locks" / f"{missing}.lock", ""),
        "STORE.json": root / "STORE.json",
        "notes.txt": put(root / "notes.txt"),
    }
    return set(going), set(staying)


def test_all_leftovers_go_and_nothing_that_is_none(store):
    needed, orphan, missing = artefact(store, 1), artefact(store, 2, EARLY), "0" * 64
    put(store.root / "STORE.json", '{"format": 1}')
    record(store, "kept", [needed, missing])
    leftovers, staying = leftovers_of(store, needed, orphan, missing)
    before = files(store)
    plan = plan_gc(GcOptions(), store)
    assert names(plan) == leftovers
    assert plan.num_bytes == sum(
        (store.root / name).stat().st_size for name in before if any(name.startswith(one) for one in leftovers)
    )
    assert run_gc(plan, store) == []
    after = files(store)
    assert before - after == {name for name in before if any(name.startswith(one) for one in leftovers)}
    assert staying <= after
    assert names(plan_gc(GcOptions(), store)) == set()


def test_half_done_work_goes_once_every_kept_study_is_finished(store):
    needed = artefact(store, 1)
    record(store, "kept", [needed], ran=LONG_AGO)
    put(store.work("c" * 64) / "cohort")
    assert names(plan_gc(GcOptions(), store)) == {f"work/{'c' * 64}"}
    with store.lock("d" * 64):  # somebody writes something: it may be a cohort's
        assert names(plan_gc(GcOptions(), store)) == set()
    record(store, "begun", [needed], expanded=False)
    assert f"work/{'c' * 64}" not in names(plan_gc(GcOptions(), store))


def hold(root: str, keys: list[str], ready: Any, done: Any) -> None:
    store = Store(Path(root))
    with ExitStack() as stack:
        for key in keys:
            stack.enter_context(store.lock(key))
        ready.set()
        done.wait(60)


def test_what_a_live_process_holds_is_left_alone(store):
    held, free = artefact(store, 1), artefact(store, 2)
    record(store, "kept", [], ran=LONG_AGO)
    missing = "5" * 64
    put(store.root / "tmp" / f"{missing}-0123abcd" / "half.bin")
    put(store.root / "running" / f"{missing}.json", "{}")
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    worker = context.Process(target=hold, args=(str(store.root), [held, missing], ready, done))
    before = plan_gc(GcOptions(), store)
    assert going(before) == {held, free}
    worker.start()
    try:
        assert ready.wait(60)
        plan = plan_gc(GcOptions(), store)
        assert (going(plan), plan.num_held) == ({free}, 1)
        assert names(plan) == set()
        left = run_gc(before, store)  # it was planned before the process began
        assert set(left) == {
            f"artefacts/{held[:2]}/{held}",
            f"tmp/{missing}-0123abcd",
            f"running/{missing}.json",
        }
        assert store.keys() == [held]
        record(store, "now", [held])
        with pytest.raises(StoreError, match="is being computed now"):
            plan_gc(GcOptions(forget=("now",)), store)
    finally:
        done.set()
        worker.join(60)
    assert (store.root / "tmp" / f"{missing}-0123abcd" / "half.bin").exists()


def test_a_study_that_runs_between_plan_and_sweep_keeps_what_it_needs(store):
    first, second = artefact(store, 1), artefact(store, 2)
    record(store, "old", [first, second], ran=LONG_AGO)
    plan = plan_gc(GcOptions(forget=("old",)), store)
    assert going(plan) == {first, second}
    record(store, "new", [first])
    assert run_gc(plan, store) == [f"artefacts/{first[:2]}/{first}"]
    assert store.keys() == [first]

    third = artefact(store, 3)
    record(store, "again", [third], ran=LONG_AGO)
    plan = plan_gc(GcOptions(forget=("again",)), store)
    record(store, "again", [third])  # the very study that was to be forgotten
    run_gc(plan, store)
    assert third in store.keys()  # noqa: SIM118
    assert find_recorded("again", store).keys == {third}


def test_an_unreadable_record_stops_everything(store):
    key = artefact(store, 1)
    record(store, "kept", [key], ran=LONG_AGO)
    plan = plan_gc(GcOptions(forget=("kept",)), store)
    put(store.root / "studies" / f"{'a' * 64}.json", "{")
    with pytest.raises(StoreError, match="cannot be read"):
        plan_gc(GcOptions(), store)
    with pytest.raises(StoreError, match="cannot be read"):
        run_gc(plan, store)
    assert store.keys() == [key]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", range(6))
def test_an_interrupted_sweep_leaves_a_valid_store_and_can_be_asked_for_again(store, monkeypatch, moment):
    keys = [artefact(store, number) for number in range(6)]
    record(store, "gone", keys[:5], ran=LONG_AGO)
    record(store, "kept", keys[5:])
    moved = []
    move = folder.FolderBackend.take_out

    def until(*args: Any) -> Any:
        if len(moved) == moment:
            raise Killed
        moved.append(args)
        return move(*args)

    monkeypatch.setattr(folder.FolderBackend, "take_out", until)
    monkeypatch.setattr(folder.shutil, "rmtree", lambda path, ignore_errors: None)
    plan = plan_gc(GcOptions(forget=("gone",)), store)
    if moment < 5:
        with pytest.raises(Killed):
            run_gc(plan, store)
    else:
        run_gc(plan, store)
    monkeypatch.undo()
    assert len(store.keys()) == 6 - min(moment, 5)
    assert [fault for key in store.keys() for fault in store.verify(key)] == []  # noqa: SIM118
    again = plan_gc(GcOptions(forget=("gone",) if moment < 5 else ()), store)
    assert len(again.leftovers) == min(moment, 5)  # what was moved out and not deleted
    assert run_gc(again, store) == []
    assert store.keys() == [keys[5]]
    assert [one.name for one in recorded_studies(store)] == ["kept"]
    assert list((store.root / "tmp").iterdir()) == []


def _die_while_deleting(root: str) -> None:
    def die(path: Path, ignore_errors: bool) -> None:
        next(one for one in path.iterdir()).unlink()
        os.kill(os.getpid(), 9)

    folder.shutil.rmtree = die  # type: ignore[assignment]
    store = Store(Path(root))
    run_gc(plan_gc(GcOptions(forget=("gone",)), store), store)


def test_a_sweep_that_is_killed_while_it_deletes_leaves_no_half_artefact(store):
    keys = [artefact(store, number) for number in range(4)]
    record(store, "gone", keys, ran=LONG_AGO)
    worker = multiprocessing.get_context("fork").Process(target=_die_while_deleting, args=(str(store.root),))
    worker.start()
    worker.join(60)
    assert worker.exitcode == -9
    assert store.keys() == []
    assert run_gc(plan_gc(GcOptions(), store), store) == []
    assert list((store.root / "tmp").iterdir()) == []


def _sweep_until(root: str, stop: Any) -> None:
    store = Store(Path(root))
    while not stop.is_set():
        run_gc(plan_gc(GcOptions(unrecorded=True), store), store)


def test_what_a_recorded_study_finds_or_makes_stays_while_another_process_sweeps(store):
    """A worker runs study after study over the same artefacts, as an executor does, and forgets the one before."""
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    sweeper = context.Process(target=_sweep_until, args=(str(store.root), stop))
    dice = random.Random(0)
    names = [f"{number:x}" * 64 for number in range(10)]
    digest = record(store, "worker-0", names)
    sweeper.start()
    num_found = 0
    try:
        for turn in range(1, 25):
            needed = dice.sample(names, 6)
            before, digest = digest, record(store, f"worker-{turn}", needed)
            store.documents("studies").remove(before)
            for key in needed:
                num_found += store.has(key)
                if not store.has(key):
                    with store.lock(key), store.writing(key) as folder:
                        (folder / "a.txt").write_text(key)
                        store.commit(key, folder, {"label": key[:4], "made": {"at": EARLY, "seconds": 1}})
            assert [store.file(key, "a.txt").read_text() for key in needed] == needed
            assert sweeper.is_alive()
    finally:
        stop.set()
        sweeper.join(60)
    assert sweeper.exitcode == 0
    assert 0 < num_found < 24 * 6  # both ways were gone


@pytest.mark.parametrize("seed", range(20))
def test_random_stores_keep_exactly_what_a_kept_study_needs(store, seed):
    dice = random.Random(seed)
    keys = [artefact(store, number, dice.choice([EARLY, LATE])) for number in range(12)]
    made = {key: json.loads((store.path(key) / "DONE.json").read_text())["made"]["at"] for key in keys}
    studies = {name: dice.sample(keys, dice.randint(0, 6)) for name in "abc"[: dice.randint(1, 3)]}
    for name, needed in studies.items():
        record(store, f"study-{name}", needed, ran=LONG_AGO)
    forget = {name for name in studies if dice.random() < 0.4}
    run_gc(plan_gc(GcOptions(forget=tuple(f"study-{name}" for name in sorted(forget))), store), store)
    kept = {key for name, needed in studies.items() if name not in forget for key in needed}
    freed = {key for name in forget for key in studies[name]}
    assert set(store.keys()) == kept | {key for key in keys if made[key] == EARLY and key not in freed}


def test_a_link_in_the_store_is_removed_and_not_followed(store, tmp_path):
    outside = put(tmp_path / "precious" / "file").parent
    artefact(store, 1)
    (store.root / "damaged").mkdir()
    (store.root / "damaged" / "link").symlink_to(outside)
    plan = plan_gc(GcOptions(), store)
    assert names(plan) == {"damaged/link"}
    assert plan.num_bytes < 200
    run_gc(plan, store)
    assert list((store.root / "damaged").iterdir()) == []
    assert (outside / "file").read_text() == "x"
