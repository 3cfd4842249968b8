"""`outshine score`: what it prints, writes and gives as JSON; it needs no torch; bad input in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import outshine as package


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    rng = np.random.default_rng(71)
    y = np.arange(300) % 2
    roles = {"weak": 0.4, "student": 1.0, "ceiling": 2.0, "control:shuffled": 0.3}
    table = pd.DataFrame({"id": range(300), "label": np.where(y, "spam", "ham"), "author": np.arange(300) // 2})
    return table.assign(**{role: rng.normal(size=300) + effect * (2 * y - 1) for role, effect in roles.items()})


def test_a_file_is_scored_in_text_json_and_files(outshine, table):
    table.to_csv("mine.csv", index=False)
    words = (
        "score",
        "mine.csv",
        "--group",
        "author",
        "--positive",
        "spam",
        "--metric",
        "auroc",
        "--metric",
        "accuracy",
    )
    outcome = outshine(*words, "--out", "there")
    assert (outcome.code, outcome.err) == (0, "")
    words_of = " ".join(outcome.out.split())
    assert "In auroc, with these trained models, the student is above its supervisor (+." in words_of
    assert "control shuffled − student" in outcome.out
    assert "note: the values of weak, student, ceiling, control:shuffled were taken for log-odds" in outcome.out
    assert outcome.out.rstrip().endswith("tables and figures/score.svg: there")
    document = json.loads(outshine(*words, "--json").out)
    assert set(document) == {
        *("summary", "seeds", "comparisons", "pooled", "outcome", "values", "notes", "sentences", "folder"),
    }
    same = package.score("mine.csv", columns={"group": "author", "positive": "spam"}, metric=["auroc", "accuracy"])
    assert [row["pgr"] for row in document["summary"]] == pytest.approx(same.summary["pgr"].tolist())
    saved = pd.read_parquet("there/summary.parquet")
    pd.testing.assert_frame_equal(saved, same.summary)
    assert same.summary["num_groups"].tolist() == [150] * 4


def test_a_file_a_model_is_named_by_options(outshine, table):
    for role in ("weak", "student", "ceiling", "control:shuffled"):
        table[["id", "label", role]].rename(columns={role: "score"}).to_csv(f"{role[:4]}.csv", index=False)
    outcome = outshine(
        *("score", "--weak", "weak.csv", "--student", "plain=stud.csv", "--student", "other=ceil.csv"),
        *("--ceiling", "ceil.csv", "--control", "shuffled=cont.csv", "--classes", "ham,spam", "--json"),
    )
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    own = [row["method"] for row in document["summary"] if row["purpose"] == "method"]
    assert own == ["plain", "other"]
    assert {(row["method"], row["than"]) for row in document["comparisons"]} == {
        *(("shuffled", "plain"), ("shuffled", "other"), ("other", "plain")),
    }
    two_seeds = outshine("score", "--weak", "weak.csv", "--student", "stud.csv", "--student", "ceil.csv",
                         "--classes", "ham,spam", "--json")  # fmt: skip
    assert json.loads(two_seeds.out)["summary"][0]["num_seeds"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "there are no predictions of a student"),
        (("empty.csv",), "'empty.csv' has no rows"),
        (("nowhere.csv",), "cannot read 'nowhere.csv'"),
        (("mine.csv",), "say which is class 1: --positive spam"),
        (("mine.csv", "--positive", "spam", "--metric", "f1"), "unknown metric 'f1'"),
        (("mine.csv", "--positive", "spam", "--control", "mine.csv"), "--control mine.csv: a name is needed"),
        (("mine.csv", "--positive", "spam", "--baseline", "x"), ""),
    ],
)
def test_what_cannot_be_scored_is_told_in_one_line(outshine, table, words, message):
    table.to_csv("mine.csv", index=False)
    Path("empty.csv").write_text("")
    outcome = outshine("score", *words)
    if not message:  # a baseline is not asked for where there is one method
        assert outcome.code == 0
        return
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_torch_is_not_imported(tmp_path: Path, table):
    table.to_csv(tmp_path / "mine.csv", index=False)
    code = (
        "import sys\nfrom outshine.cli.main import main\n"
        "sys.argv = ['outshine', 'score', 'mine.csv', '--positive', 'spam', '--out', 'there']\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there/figures/score.png").stat().st_size > 1000
