"""Studies are recorded before anything is computed, once each, and no record is misread."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

import pytest
from recorded_studies import record, resolved

from outshine.engine.errors import OutshineError, StoreError, UnknownNameError
from outshine.engine.process_group import ONE_PROCESS, ProcessGroup
from outshine.engine.progress import Silent
from outshine.engine.run import local
from outshine.engine.run.local import LocalExecutor
from outshine.engine.stage import Context, Stage
from outshine.engine.store import folder, index
from outshine.engine.store import recorded_studies as recorded_module
from outshine.engine.store.gc import GcOptions, plan_gc
from outshine.engine.store.recorded_studies import find_recorded, record_study, recorded_studies
from outshine.engine.store.store import Store
from outshine.results.finished import run_study
from outshine.w2s import compute_study
from outshine.w2s.expand import resolve_study
from outshine.w2s.study_file import parse_study

TINY = {
    "name": "small",
    "datasets": "tiny-home",
    "weak": "tiny/weak",
    "strong": "tiny/strong",
    "compute_dtype": "float32",
    "runtime": {"threads": 1},
    "training": {"epochs": 1},
    "splits": {"n_train": 48, "n_val": 20, "n_test": 20},
}


class Leaf(Stage):
    stage: ClassVar[str] = "leaf"
    n: int

    def run(self, context: Context) -> None: ...


class Branch(Stage):
    stage: ClassVar[str] = "branch"
    leaf: Leaf

    def run(self, context: Context) -> None: ...


class Notes(Silent):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, message: str) -> None:
        self.told.append(message)


class Follower(ProcessGroup):
    rank = 1
    size = 2


def test_a_run_is_recorded_with_every_stage_before_the_first_is_computed(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    seen: list[tuple[bool, int]] = []

    class Watched(LocalExecutor):
        def run(self, requested):
            (one,) = recorded_studies(store)
            seen.append((one.expanded, len(one.keys)))
            super().run(requested)

    monkeypatch.setattr(compute_study, "LocalExecutor", Watched)
    monkeypatch.setattr(local, "LocalExecutor", Watched)
    finished = run_study(parse_study(TINY), store)
    (one,) = recorded_studies(store)
    assert seen == [(False, 2), (True, 5)]  # preparation and audit; then supervisor, student and ceiling too
    assert one.keys == set(store.keys())
    assert parse_study(one.study) == finished.resolution.study
    assert one.name == "small"

    again = run_study(parse_study({**TINY, "runtime": {"threads": 1, "cohort": 1}}), store)
    assert [two.keys for two in recorded_studies(store)] == [one.keys]  # the machine makes no other study
    assert again.results.scores.equals(finished.results.scores)


def test_inputs_are_recorded_too_and_the_followers_of_a_team_write_nothing(store):
    study = resolve_study(parse_study(TINY)).study
    record_study(study, [Branch(leaf=Leaf(n=1))], store, Silent(), Follower())
    assert not store.root.exists()
    record_study(study, [Branch(leaf=Leaf(n=1))], store, Silent(), ONE_PROCESS, expanded=True)
    (one,) = recorded_studies(store)
    assert one.keys == {Leaf(n=1).key, Branch(leaf=Leaf(n=1)).key}


def test_until_all_is_known_anew_the_last_keys_are_kept(store):
    record(store, "one", ["a" * 64, "b" * 64])
    record(store, "one", ["a" * 64], expanded=False)
    (one,) = recorded_studies(store)
    assert (one.keys, one.expanded) == ({"a" * 64, "b" * 64}, False)
    record(store, "one", ["a" * 64])
    (one,) = recorded_studies(store)
    assert (one.keys, one.expanded) == ({"a" * 64}, True)


def test_studies_are_found_by_name_and_by_digest(store):
    first, second = record(store, "one", []), record(store, "two", [])
    other = record(store, "two", [], seeds=[1])
    assert find_recorded("one", store).digest == first
    assert find_recorded(second[:8], store).digest == second
    with pytest.raises(StoreError, match="2 recorded studies are called 'two'") as caught:
        find_recorded("two", store)
    assert second[:12] in str(caught.value)
    assert other[:12] in str(caught.value)
    with pytest.raises(UnknownNameError, match="did you mean 'one'"):
        find_recorded("onee", store)
    with pytest.raises(UnknownNameError):
        find_recorded(second[:2], store)  # too short to be meant


def test_a_store_that_refuses_is_told_of_and_a_read_only_one_is_not(store, monkeypatch):
    study = resolve_study(parse_study(TINY)).study

    def refuse(code: int):
        def raise_it(*args, **named):
            raise OSError(code, "refused")

        return raise_it

    for code, notes in ((errno.EROFS, 0), (errno.ENOSPC, 1), (errno.EACCES, 1)):
        progress = Notes()
        monkeypatch.setattr(folder, "write_synced", refuse(code))
        record_study(study, [], store, progress, ONE_PROCESS)
        assert len(progress.told) == notes
    assert recorded_studies(store) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mount") is None or os.geteuid() != 0, reason="needs root to mount a read-only tmpfs")
def test_a_finished_study_on_a_really_read_only_store_runs_and_is_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "user_cache_path", lambda *names, **options: tmp_path / "cache")
    mounted = tmp_path / "ro"
    mounted.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(mounted)], check=False).returncode:
        pytest.skip("this machine refuses to mount a tmpfs")
    try:
        first = run_study(parse_study(TINY), Store(mounted))
        subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
        progress = Notes()
        again = run_study(parse_study(TINY), Store(mounted), progress)
        assert again.results.scores.equals(first.results.scores)
        assert [note for note in progress.told if "recorded" in note] == []
        assert index.listing(mounted, index.Query()).num_artefacts == 5
        with pytest.raises(StoreError, match="cannot be written, so nothing can be removed"):
            plan_gc(GcOptions(forget=("small",)), Store(mounted))
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"format": 2}', '{"format": "x"}', json.dumps({"format": 1, "keys": ["../up"]})],
)
def test_an_unreadable_record_is_an_error_and_never_a_study_that_needs_nothing(store, text):
    digest = record(store, "one", ["a" * 64])
    path = Path(store.root / "studies" / f"{digest}.json")
    document = json.loads(path.read_text())
    path.write_text(text)
    with pytest.raises(OutshineError, match="cannot be read") as caught:
        recorded_studies(store)
    assert "\n" not in str(caught.value)
    for field in document.keys() - {"stages", "work"}:  # which older records have not
        path.write_text(json.dumps({name: value for name, value in document.items() if name != field}))
        with pytest.raises(OutshineError, match="cannot be read"):
            recorded_studies(store)
    path.write_text(json.dumps(document))
    assert len(recorded_studies(store)) == 1


def test_a_resolved_study_without_its_runtime_has_one_digest():
    assert recorded_module.study_digest(resolved("a")) == recorded_module.study_digest(
        resolved("a", runtime={"threads": 7})
    )
    assert recorded_module.study_digest(resolved("a")) != recorded_module.study_digest(resolved("b"))


def test_what_a_study_declares_for_its_comparison_does_not_make_it_another():
    declared = recorded_module.study_digest(resolved("a", better_than="xent"))
    assert declared == recorded_module.study_digest(resolved("a"))
