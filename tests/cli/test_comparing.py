"""The command `compare`: tables, sentence and notes; a real run's folder; bad input in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from study_tables import against_xent, pgrs, scores

GAINS = [0.01, 0.02, -0.015, 0.03, 0.04, 0.05, 0.06]


@pytest.fixture
def study(tmp_path: Path) -> pd.DataFrame:
    """The tables of a study in the folder `out`; one dataset is saturated, one has an undefined PGR."""
    table = scores(against_xent(GAINS) + against_xent(GAINS, seed=1), d05=(0.9995, 0.9999))
    (tmp_path / "out").mkdir()
    table.to_parquet(tmp_path / "out" / "scores.parquet", index=False)
    pgrs(table, {"d01": "the gap is noise"}).to_parquet(tmp_path / "out" / "pgr.parquet", index=False)
    return table


@pytest.mark.usefixtures("study")
def test_compare_prints_tables_sentence_and_notes(outshine):
    outcome = outshine("compare", "out", "--baseline", "xent", "--rope", ".005")
    assert outcome.code == 0, outcome.err
    text = " ".join(outcome.out.split())
    d = [gain for number, gain in enumerate(GAINS) if number != 5]
    p = stats.wilcoxon(d, method="exact").pvalue
    assert f"{p:.3f}".removeprefix("0") in text
    assert f"(Wilcoxon p = {f'{p:.3f}'.removeprefix('0')}, two-sided)" in text
    assert "logconf beats xent on 5 of 6 datasets; there is no good evidence that it helps or hurts" in text
    assert "Noise floor of logconf − xent (6 datasets × 2 seeds)" in text
    assert "1 dataset left out, saturated (supervisor and ceiling both above 0.999): d05" in text
    assert "note: PGR: 1 dataset left out, PGR undefined: d01 (the gap is noise)" in text
    assert "P(within ±0.005)" in text
    assert "primary" in text
    assert "secondary" in text
    assert "nan" not in text


def test_the_direction_is_what_the_study_of_the_folder_declared(outshine, study, tmp_path):
    """One-sided only from study.yaml, in table, sentence and document alike; not for a bare table or beside others."""
    assert len(study)
    declared = tmp_path / "out" / "study.yaml"
    for text, sides in (("better_than: xent", "one"), ("better_than: null", "two"), ("[", "two"), ("a: 1", "two")):
        declared.write_text(text + "\n", encoding="utf-8")
        found = json.loads(outshine("compare", "out", "--json").out)
        assert found["sides"] == sides
        assert (f"{sides}-sided as the study declared" in found["sentences"][0]) == (sides == "one")
    declared.write_text("better_than: xent\n", encoding="utf-8")
    shown = " ".join(outshine("compare", "out").out.split())
    assert "p one-sided, as the study declared (two-sided)" in shown
    assert json.loads(outshine("compare", "out/scores.parquet", "--json").out)["sides"] == "two"
    turned = json.loads(outshine("compare", "out", "--baseline", "logconf", "--json").out)
    assert turned["sides"] == "two"
    assert "not than logconf" in " ".join(turned["notes"])
    (tmp_path / "other").mkdir()
    study.assign(study="t").to_parquet(tmp_path / "other" / "scores.parquet", index=False)
    both = json.loads(outshine("compare", "out", "other", "--json").out)
    assert both["sides"] == "two"
    assert "different directions (better than xent, none)" in " ".join(both["notes"])


@pytest.mark.usefixtures("study")
def test_compare_on_pgr_is_labelled_secondary(outshine):
    text = outshine("compare", "out", "--metric", "pgr").out
    assert "Wilcoxon p, secondary" in text
    assert "primary" not in text
    assert "AUROC" not in text


def test_compare_without_pgr_says_so(outshine, study, tmp_path):
    study.to_csv(tmp_path / "mine.csv", index=False)
    outcome = outshine("compare", "mine.csv")
    assert outcome.code == 0, outcome.err
    assert "note: not compared on PGR: a comparison of PGRs needs the table pgr.parquet" in outcome.out
    assert "logconf beats xent on 5 of 6" in outcome.out


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "no folder or file 'nowhere'"),
        ((), "no folder or file 'outshine-out'"),
        (("out", "--baseline", "xnt"), "unknown baseline 'xnt'; did you mean 'xent'? known: logconf, xent"),
        (("out", "--metric", "aurok"), "unknown metric 'aurok'; did you mean 'auroc'? known: auroc, pgr"),
        (("single.csv",), "needs two or more on which a method meets the baseline xent; there is 1 (d00)"),
    ],
)
def test_bad_input_is_one_line(outshine, tmp_path, arguments, words):
    scores(against_xent([0.1])).to_csv(tmp_path / "single.csv", index=False)
    outcome = outshine("compare", *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert line.startswith("outshine: ")
    assert words in line


@pytest.mark.slow
def test_compare_reads_what_a_run_wrote(outshine):
    sizes = ("--n-train", "48", "--n-val", "20", "--n-test", "20", "--set", "training.epochs=1")
    models = ("--weak", "tiny/weak", "--strong", "tiny/strong", "--set", "runtime.threads=1")
    losses = ("--loss", "xent,logconf", "--set", "better_than=xent")
    ran = outshine("run", "--dataset", "tiny-home,tiny-pet", *models, *sizes, *losses)
    assert ran.code == 0, ran.err
    assert "compare: with 2 datasets no difference, however large, can be shown" in " ".join(
        (ran.out + ran.err).split()
    )
    outcome = outshine("compare", "outshine-out", "--baseline", "xent")
    assert outcome.code == 0, outcome.err
    assert re.search(r"logconf beats xent on \d of 2 datasets", outcome.out)
    assert "one-sided as the study declared; the least that is possible is .250" in " ".join(outcome.out.split())
    table = pd.read_parquet("outshine-out/scores.parquet")
    test = table[(table["split"] == "test") & (table["role"] == "student")]
    by_loss = test.pivot_table(index="dataset", columns="loss", values="auroc")
    wins = int((by_loss["logconf"] > by_loss["xent"]).sum())
    assert f"logconf beats xent on {wins} of 2 datasets" in outcome.out
