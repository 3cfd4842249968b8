"""watch, retry and verify --mend: what they say, what they exit with, and that the next run has the same tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from outshine.engine.errors import DataError
from outshine.engine.store.store import Store
from outshine.w2s.stages.finetune import Student

RUN = (
    "run", "--dataset", "tiny-home", "--weak", "tiny/weak", "--strong", "tiny/strong", "--loss", "xent",
    "--n-train", "80", "--n-val", "40", "--n-test", "40", "--set", "training.epochs=1", "--set", "runtime.threads=1",
    "--set", "runtime.cohort=1", "--set", "name=small",
)  # fmt: skip


def fail(*args: object) -> None:
    raise DataError("no student today")


@pytest.fixture
def failed(outshine, monkeypatch):
    """A study whose student failed."""
    with monkeypatch.context() as patch:
        patch.setattr(Student, "run", fail)
        outcome = outshine(*RUN)
    assert outcome.code == 3, outcome
    assert "1 stage failed, the others are kept" in outcome.err
    assert "no student today" in outcome.err
    return outshine


@pytest.mark.slow
def test_a_finished_study_is_told_in_a_line(outshine, run_once):
    assert run_once(*RUN).code == 0
    outcome = outshine("watch", "small", "--line")
    assert (outcome.code, outcome.out) == (0, "small: 5 of 5 stages done, 0 running, 0 failed, 0 waiting\n")
    assert outshine("watch", "small", "--follow").code == 0


def test_a_failure_is_told_with_its_reason(failed):
    outcome = failed("watch", "small")
    assert outcome.code == 3
    assert "small: 4 of 5 stages done, 0 running, 1 failed, 0 waiting" in outcome.out
    assert "no student today" in outcome.out
    assert failed("watch", "small", "--follow").code == 3  # nothing is left to wait for


@pytest.mark.slow
def test_an_unfinished_study_is_unfinished(outshine, run_once):
    assert run_once(*RUN).code == 0
    store = Store(Path("store"))
    keys = store.keys()
    store.set_aside(next(key for key in keys if store.done(key)["stage"] == "student"))
    outcome = outshine("watch", "small", "--line")
    assert outcome.code == 4
    assert outcome.out.startswith("small: 4 of 5 stages done, 0 running, 0 failed, 1 waiting, about ")


def test_an_unknown_study_is_refused(outshine):
    outcome = outshine("watch", "smal")
    assert outcome.code == 2
    assert "unknown study recorded in" in outcome.err


def test_retry_computes_what_failed(failed):
    before = {path: path.read_bytes() for path in Path("store/artefacts").glob("??/*/DONE.json")}
    outcome = failed("retry", "small")
    assert outcome.code == 0, outcome
    assert "again: tiny/strong on tiny-home strong_train" in outcome.out
    assert Path("outshine-out/report.html").is_file()
    assert not list(Path("store/failures").glob("*.json"))
    assert all(path.read_bytes() == was for path, was in before.items())
    assert failed("watch", "small", "--line").code == 0


@pytest.mark.slow
def test_a_flipped_bit_is_found_set_aside_and_mended(outshine, run_once):
    assert run_once(*RUN).code == 0
    tables = {path.name: path.read_bytes() for path in Path("outshine-out").glob("*.csv")}
    victim = next(Path("store/artefacts").glob("??/*/predictions.parquet"))
    whole = bytearray(victim.read_bytes())
    whole[len(whole) // 2] ^= 1
    victim.write_bytes(bytes(whole))
    found = outshine("verify")
    assert found.code == 1
    assert "predictions.parquet has changed" in found.out
    assert victim.exists()
    assert outshine("verify", "--mend").code == 1
    assert not victim.exists()
    assert outshine("verify").code == 0
    assert outshine(*RUN).code == 0
    assert victim.exists()
    assert tables
    assert {path.name: path.read_bytes() for path in Path("outshine-out").glob("*.csv")} == tables
