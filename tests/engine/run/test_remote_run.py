"""A study on a bucket: run to its end, then from another host with no copies; two hosts at once; damage on the way."""

from __future__ import annotations

import json
import multiprocessing
import os
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import outshine
from outshine.engine.errors import StoreError
from outshine.engine.progress import Silent
from outshine.results.finished import read_study, run_study
from outshine.w2s.study_file import parse_study
from remote_stores import BucketPlace, Place
from small_study import TINY

STUDY: dict[str, Any] = {
    **TINY,
    "name": "remote",
    "datasets": ["tiny-home"],
    "methods": ["vanilla", {"kind": "probe", "probe": "logistic"}],
}
SPAWN = multiprocessing.get_context("spawn")


class Notes(Silent):
    """What was computed and said."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []

    def stage(self, number: int, total: int, label: str) -> None:
        self.stages.append(label)

    def note(self, text: str) -> None:
        self.notes.append(text)


def tables(results: Any) -> list[pd.DataFrame]:
    return [results.scores, results.pgr, results.summary]


def test_a_study_runs_on_a_bucket_and_is_found_there_from_elsewhere(bucket: BucketPlace, tmp_path: Path) -> None:
    study, first, second = parse_study(STUDY), Notes(), Notes()
    ran = run_study(study, bucket.open(), first)
    assert first.stages
    objects = bucket.names()
    assert not [name for name in objects if name.startswith(("leases/", "commits/", "damaged/"))]

    again = run_study(study, bucket.open(), second)
    assert second.stages == []
    assert bucket.names() == objects
    read = read_study(study, bucket.open())
    local = outshine.run(study, store=tmp_path / "local")
    for one, two, three, four in zip(
        *(tables(found) for found in (ran.results, again.results, read.results, local)), strict=True
    ):
        pd.testing.assert_frame_equal(one, two, check_exact=True)
        pd.testing.assert_frame_equal(one, three, check_exact=True)
        pd.testing.assert_frame_equal(one, four, check_exact=True)


def _run(where: str, cache: str, ready: Event, start: Event) -> None:
    os.environ["OUTSHINE_CACHE"] = cache
    import transformers.modeling_utils  # noqa: F401 -- what takes longest, before the other host begins

    ready.set()
    start.wait()
    outshine.run(parse_study(STUDY), store=where)


@pytest.mark.slow
def test_two_hosts_at_once_compute_nothing_twice(
    remote_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them is this process."""
    ready, start = SPAWN.Event(), SPAWN.Event()
    other = SPAWN.Process(target=_run, args=(remote_place.where, str(tmp_path / "theirs"), ready, start))
    other.start()
    assert ready.wait(400)
    monkeypatch.setenv("OUTSHINE_CACHE", "")  # put back afterwards
    start.set()
    _run(remote_place.where, str(tmp_path / "ours"), ready, start)
    other.join(400)
    assert other.exitcode == 0
    uploads = {tuple(name.split("/")[1:3]) for name in remote_place.names() if name.startswith("files/")}
    made = [name.split("/")[1] for name in remote_place.names() if name.startswith("artefacts/")]
    assert sorted(key for key, _ in uploads) == sorted(made)
    hosts = {json.loads(remote_place.read(f"artefacts/{key}/DONE.json"))["key"] for key in made}
    assert hosts == set(made)
    assert not [name for name in remote_place.names() if name.startswith(("leases/", "commits/"))]


def test_a_damaged_artefact_is_computed_anew_by_the_next_run(bucket: BucketPlace, tmp_path: Path) -> None:
    study = parse_study({**STUDY, "methods": ["vanilla"]})
    before = run_study(study, bucket.open()).results
    store = bucket.open()
    victim = next(key for key in store.keys() if store.done(key)["stage"] == "student")  # noqa: SIM118
    name = bucket.the(victim, "predictions.parquet")
    bucket.write(name, bytes([bucket.read(name)[0] ^ 1]) + bucket.read(name)[1:])
    reader = bucket.open()
    with pytest.raises(StoreError, match=r"predictions\.parquet has changed .*run again to compute it anew"):
        run_study(study, reader)
    notes = Notes()
    after = run_study(study, reader, notes).results
    assert len(notes.stages) == 1
    assert any("damaged artefact set aside (predictions.parquet has changed" in note for note in notes.notes)
    for one, two in zip(tables(before), tables(after), strict=True):
        pd.testing.assert_frame_equal(one, two, check_exact=True)
