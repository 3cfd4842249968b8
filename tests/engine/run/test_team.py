"""A study computed by two processes is the study computed by one; where one of them fails both end, and one says why."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import outshine
from outshine.engine.store.store import Store
from outshine.w2s.study_file import parse_study
from small_study import TINY
from torchrun import said, torchrun

STUDY = {
    **TINY,
    "name": "shared",
    "datasets": ["tiny-home"],
    "splits": {"n_train": 90, "n_val": 33, "n_test": 50},
    "runtime": {"threads": 1, "device": "cpu", "token_budget": 200, "eval_token_budget": 900, "checkpoint_seconds": 0},
    "methods": [{"kind": "vanilla", "loss": "xent"}, {"kind": "probe", "probe": "logistic"}],
    "trajectories": True,
}
ENOUGH = "outshine: this process has had enough; give it a rest"
FAULTY = str(Path(__file__).with_name("faulty.py"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study; `one`: the tables of one process, `alone`: its store."""
    folder = tmp_path_factory.mktemp("team")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    outshine.run(parse_study(STUDY), store=folder / "alone", out=folder / "one")
    return folder


def command(fault: str, store: str) -> list[str]:
    return [FAULTY, fault, "run", "study.yaml", "--store", store, "--out", f"{store}-out"]


def keys(store: Path) -> list[str]:
    return Store(store).keys()


def made(store: Path) -> list[dict]:
    """What DONE.json says of every artefact."""
    return [Store(store).done(key) for key in keys(store)]


def check_same(out: Path, store: Path, place: Path) -> None:
    """Tables to rounding, keys alike, nothing left lying about."""
    assert keys(store) == keys(place / "alone")
    assert [path for name in ("tmp", "work", "damaged", "commits") for path in store.glob(f"{name}/*")] == []
    for path in sorted((place / "one").glob("*.csv")):
        found, expected = pd.read_csv(out / path.name), pd.read_csv(path)
        pd.testing.assert_frame_equal(found, expected, rtol=1e-4, atol=1e-5)
    for key in keys(place / "alone"):
        folders = [Store(root).path(key) for root in (store, place / "alone")]
        assert len({tuple(sorted(file.name for file in folder.rglob("*"))) for folder in folders}) == 1
        if (folders[0] / "predictions.parquet").exists():
            log_odds = [pd.read_parquet(folder / "predictions.parquet")["log_odds"] for folder in folders]
            np.testing.assert_allclose(*log_odds, rtol=1e-4, atol=1e-5)


def test_two_processes_leave_the_same_study_and_find_it_finished(place):
    ran = torchrun(place, *command("twice", "shared"))
    assert ran.returncode == 0, ran.stderr
    check_same(place / "shared-out", place / "shared", place)
    records = made(place / "shared")
    together = {record["stage"] for record in records if record["made"]["processes"] == 2}
    assert together == {"supervised", "student", "trajectory", "activations"}
    assert {record["made"]["cohort"][0] for record in records if "cohort" in record["made"]}
    assert ran.stdout.count("tables, study.yaml and report:") == 2  # one process prints
    first, again = ran.stderr.split("AGAIN", 1)
    assert first.count("prepare tiny-home") == 1
    assert "[1/" not in again


def test_where_one_process_fails_both_end_and_one_says_why(place):
    ran = torchrun(place, *command("failing", "failed"), restarts=1)
    assert ran.returncode != 0
    assert said(ran) == [ENOUGH, ENOUGH]
    assert "outshine/" not in ran.stderr  # no traceback of any process
    assert {record["stage"] for record in made(place / "failed")} == {"prepare", "audit"}
