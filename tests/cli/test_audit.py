"""`outshine audit`, and the refusal of leaks by `outshine run`."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import ClassVar

import pytest
from own_rows import good_rows

import outshine
from outshine.data.rows import ListRows, Pools, Row
from outshine.data.schema import Draw, Example, Recipe, recipes

SIZES = ("--n-train", "200", "--n-val", "80", "--n-test", "120")
RUN = ("run", *SIZES, "--weak", "tiny/weak", "--strong", "tiny/strong", "--set", "training.epochs=1")


class Spelled(Recipe):
    """A dataset of a test whose prompt spells the label."""

    title: ClassVar[str] = "spelled"
    positive_means: ClassVar[str] = "nothing"
    source: ClassVar[str] = "a test"

    def identify(self) -> str:
        return "made:1"

    def open(self, identity: str) -> Pools:
        rng = random.Random(0)
        words = ["red", "green", "blue", "black", "white", "grey"]
        return Pools(ListRows([{"n": i, "words": rng.choices(words, k=8)} for i in range(600)]), None)

    def format(self, row: Row, draw: Draw) -> Example:
        return Example(f"{' '.join(row['words'])} {row['n']}\nA: {'yes' if draw.coin() else 'no'}", draw.coin())


@pytest.fixture(autouse=True)
def spelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dataset `spelled`, known for the time of a test."""
    recipes.names()  # have the built-in ones loaded first
    monkeypatch.setattr(Spelled, "kind", "spelled")
    monkeypatch.setitem(recipes._classes, "spelled", Spelled)


def test_a_clean_dataset_exits_with_0_and_shows_every_check(outshine):
    outcome = outshine("audit", "tiny-home,tiny-pet", *SIZES)
    assert outcome.code == 0, outcome.err
    for word in ("tiny-home", "tiny-pet", "format", "last tokens", "telling tokens", "near duplicates", "bag of words"):
        assert word in outcome.out
    assert "leak" not in outcome.out


def test_a_leak_exits_with_1_and_shows_rows(outshine):
    outcome = outshine("audit", "tiny-home,spelled", *SIZES)
    assert outcome.code == 1
    assert "leak, last tokens:" in outcome.out
    assert "⏎ A: yes" in outcome.out
    assert "1 of 2 datasets give their labels away" in outcome.out


def test_an_audit_is_kept_and_read_again(outshine):
    first = outshine("audit", "spelled", *SIZES)
    second = outshine("audit", "spelled", *SIZES)
    assert "audit spelled" in first.err
    assert second.err == ""
    assert second.out == first.out
    records = json.loads(next(Path("store").rglob("findings.json")).read_text())
    assert {record["check"] for record in records if record["severity"] == "leak"} >= {"last tokens", "telling tokens"}


def test_the_texts_too_long_for_a_model_are_counted(outshine, rows_file):
    rows = [
        {"text": f"the number {i} " + "is what it is " * (30 if i % 4 == 0 else 0), "label": i // 2 % 2}
        for i in range(240)
    ]
    outcome = outshine(
        "audit", rows_file(rows), "--n-train", "80", "--n-val", "40", "--n-test", "80", "--model", "tiny/weak"
    )
    assert outcome.code == 0, outcome.err
    # no split is drawn by length: about a quarter of the rows have 120 words, the model takes 64 tokens
    share = float(re.search(r"tiny/weak shortens ([\d.]+)% of the texts to 64 tokens", outcome.out)[1])
    assert 15 < share < 35


def test_a_run_refuses_a_leak_before_anything_is_trained(outshine):
    outcome = outshine(*RUN, "--dataset", "tiny-home,spelled")
    assert outcome.code == 2
    last = outcome.err.strip().splitlines()[-1]
    assert "'spelled'" in last
    assert "--allow-leaks" in last
    assert "tiny-home'" not in last
    assert not Path("outshine-out/scores.csv").exists()
    assert not list(Path("store").rglob("predictions.parquet"))


def test_a_run_with_allow_leaks_goes_on_and_says_so(outshine):
    outcome = outshine(*RUN, "--dataset", "spelled", "--allow-leaks")
    assert outcome.code == 0, outcome.err
    assert "spelled: leak, telling tokens" in outcome.err
    assert Path("outshine-out/scores.csv").exists()


def test_the_python_face_refuses_too(tmp_path):
    study = outshine.Study(
        datasets=["spelled"],
        weak="tiny/weak",
        strong="tiny/strong",
        splits={"n_train": 200, "n_val": 80, "n_test": 120},
    )
    with pytest.raises(outshine.OutshineError, match="--allow-leaks"):
        outshine.run(study, store=tmp_path / "store")


@pytest.mark.slow
def test_a_users_own_rows_are_warned_about_not_refused(outshine, rows_file):
    data = rows_file(good_rows(600))
    audited = outshine("audit", data, *SIZES)
    assert audited.code == 0, audited.err
    assert "warning" in audited.out
    ran = outshine(*RUN, "--dataset", data)
    assert ran.code == 0, ran.err
    assert "mine: warning, last tokens" in ran.err


def test_an_unknown_dataset_is_one_line(outshine):
    outcome = outshine("audit", "tiny-hom")
    assert outcome.code == 2
    assert "did you mean 'tiny-home'" in outcome.err


def test_strict_exits_with_1_on_warnings_too(outshine, rows_file):
    rows = [{"text": f"number {i} is {'odd' if i % 2 else 'even'}", "label": i % 2} for i in range(800)]
    data = rows_file(rows)
    audited = outshine("audit", data, *SIZES)
    assert audited.code == 0
    assert "1 of 1 datasets have warnings: `run` prints them and goes on" in audited.out
    assert outshine("audit", data, *SIZES, "--strict").code == 1
    assert outshine("audit", "tiny-home", *SIZES, "--strict").code == 0
    records = json.loads(outshine("audit", data, *SIZES, "--strict", "--json").out)
    assert records["datasets"][0]["warnings"] is True
    assert records["datasets"][0]["leaks"] is False
