"""Methods, probes and filters that cannot do what is asked, from the command line: one line, a code, or a visible note."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from own_rows import good_rows

SMALL = ("--n-train", "80", "--n-val", "40", "--n-test", "40", "--set", "training.epochs=1")
SMALL += ("--set", "compute_dtype=float32", "--set", "runtime.threads=1", "--loss", "xent")
TINY = ("--dataset", "tiny-home", "--weak", "tiny/weak", "--strong", "tiny/strong", *SMALL)
SUPERVISED = ("--dataset", "tiny-home,tiny-sport", "--weak", "tiny/strong", "--strong", "tiny/weak", *SMALL)


FAILED = 3  # a stage failed, and all that does not need it is finished


def refused(outcome, *words: str, code: int = 2) -> None:
    """Progress and notes, then one line that says it; the code; no tables."""
    assert outcome.code == code, outcome
    *before, last = outcome.err.strip().splitlines()
    assert last.startswith("outshine: ")
    for word in words:
        assert word in last
    assert all(line.startswith(("[", "note: ")) for line in before), outcome.err
    assert not list(Path().glob("outshine-out/*"))
    assert not [path for path in Path("store/tmp").glob("*") if path.is_dir()]


def test_settings_out_of_range_are_told_before_anything_is_computed(outshine):
    for method, message in [
        ("{kind: filtered, layer: 3}", "layer 3 does not exist: tiny/strong has 2 blocks; give 0 (embeddings) to 2"),
        ("{kind: probe_to_strong, layer: 3}", "layer 3 does not exist"),
        ("{kind: probe, layer: half}", "'1/4', '1/2', '3/4' or 'last' (given: 'half')"),
        ("{kind: probe, layer: -1}", "greater than or equal to 0"),
        ("{kind: filtered, filter: topofilter, drop: 1}", "'drop': Input should be less than 1"),
        ("{kind: filtered, filter: {kind: topofilter, k: 0}}", "'k': Input should be greater than 0"),
        ("{kind: filtered, filter: {kind: knn, k: 2.5}}", "'k': Input should be a valid integer"),
        ("{kind: probe, probe: {kind: logistic, penalty: .nan}}", "'penalty': Input should be a finite number"),
        ("{kind: probe_to_strong, cross_fit: 1}", "cross_fit = 1 leaves nothing to fit on"),
        ("{kind: filtered, filter: null}", "None is no filter"),
        ("{kind: vanilla, loss: {kind: window, radius: 0}}", "radius"),
    ]:
        refused(outshine("run", *TINY, "--set", f"methods=[{method}]"), message)
    assert not list(Path("store/artefacts").glob("*/*/predictions.parquet"))


@pytest.mark.slow
def test_what_the_rows_do_not_allow_is_told(outshine):
    """40 rows of strong_train, one store: the supervisor and the ceiling are trained once."""
    for method, message in [
        ("{kind: filtered, filter: {kind: topofilter, k: 40}}", "k = 40 neighbours need more than 40 rows"),
        ("{kind: filtered, filter: knn}", "k = 50 neighbours need more than 50 rows, there are 40; lower k"),
        ("{kind: probe_to_strong, probe: {kind: knn, k: 20}, cross_fit: 2}", "more than 20 rows, there are 20"),
        ("{kind: probe_to_strong, cross_fit: 41}", "cross_fit = 41 folds need as many groups of rows; there are 40"),
        ("{kind: filtered, filter: {kind: knn, k: 9}, drop: 0.999}", "drop = 0.999 of 40 rows leaves none"),
        (
            "{kind: filtered, filter: {kind: knn, k: 9}, drop: 0.97}",
            "probe_disagreement on tiny-home strong_train left 1 of 40 rows, all of one class; lower drop",
        ),
    ]:  # a stage that fails: all that does not need it is finished
        refused(outshine("run", *TINY, "--set", f"methods=[{method}]"), message, "stage failed", code=FAILED)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["{kind: probe}", "{kind: filtered, filter: logistic}", "{kind: probe_to_strong}"])
def test_activations_without_variance_are_told_with_dataset_and_layer(outshine, method):
    """All texts of a tiny task end in one word, which is all that layer 0 of a causal model sees."""
    method = method.replace("}", ", layer: 0}")
    refused(
        outshine("run", *TINY, "--set", f"methods=[{method}]"),
        "tiny-home strong_train, layer 0: the activations of all 40 rows are the same",
        "choose another layer",
        code=FAILED,
    )


@pytest.mark.slow
@pytest.mark.parametrize("p_weak", [0.0, 0.5, 1.0])
def test_weak_labels_that_are_all_equal(outshine, rows_file, p_weak):
    """A student can be trained on them, with a note; probes and filters have nothing to go by."""
    rows = good_rows()
    weak = rows_file([{"text": row["text"], "p_weak": p_weak} for row in rows], "weak.jsonl")
    own = ("--dataset", rows_file(rows), "--strong", "tiny/strong", *SMALL, "--set", f"labels={weak}")
    for method in ("probe", "probe_to_strong", "{kind: filtered, filter: {kind: knn, k: 9}}"):
        refused(
            outshine("run", *own, "--set", f"methods=[{method}]"),
            f"mine strong_train: all labels are {p_weak:g}; probes and filters need labels that differ",
            code=FAILED,
        )
    outcome = outshine("run", *own)
    assert outcome.code == 0, outcome.err
    assert "val labels are all of one class: the last weights are kept" in outcome.err


@pytest.mark.slow
def test_a_filter_whose_components_remove_more_than_asked_for_says_so(outshine):
    outcome = outshine("run", *TINY, "--set", "methods=[{kind: filtered, filter: {kind: topofilter, k: 1}}]")
    assert outcome.code == 0, outcome.err
    assert re.search(r"components alone removed \d\d\.\d% of the rows; nothing further is dropped", outcome.err)


@pytest.mark.slow
def test_pgr_that_is_undefined_for_every_dataset(outshine):
    """A supervisor above the ceiling: reasons in the table and the files, no number and no nan in the words."""
    chosen = ("--set", "methods=[vanilla, {kind: probe, probe: {kind: knn, k: 9}}]", "--out", "undefined")
    outcome = outshine("run", *SUPERVISED, *chosen)
    assert outcome.code == 0, outcome.err
    for dataset in ("tiny-home", "tiny-sport"):  # one line a dataset, not one a method
        assert outcome.out.count(f"{dataset}: PGR undefined, the ceiling does not exceed the weak supervisor") == 1
    assert len(re.findall(r"│ +2 │ +undefined │ +undefined │", outcome.out)) == 2  # pooled, a line a method
    pooled = "these datasets and such datasets: pooled PGR undefined, the ceiling does not exceed the weak supervisor"
    assert outcome.out.count(pooled) == 1  # and one reason
    assert "nan" not in outcome.out
    summary = pd.read_parquet("undefined/summary.parquet")
    assert len(summary) == 4
    assert not summary["defined"].any()
    assert summary["pgr"].isna().all()
    assert summary["reason"].str.startswith("the ceiling does not exceed").all()
    page = Path("undefined/report.html").read_text(encoding="utf-8")
    assert "the ceiling does not exceed the weak supervisor" in page

    compared = outshine("compare", "undefined", "--baseline", "xent")
    assert compared.code == 0, compared.err
    assert "note: not compared on PGR" in compared.out
    assert "nan" not in compared.out
    told = outshine("compare", "undefined", "--baseline", "xent", "--metric", "pgr")
    assert told.code == 2
    assert told.err.strip().splitlines()[-1].startswith("outshine: comparing pgr over datasets needs two or more")
    assert told.err.count("PGR undefined") == 2


@pytest.mark.slow
def test_a_failed_method_takes_no_other_along(outshine):
    """Tables, page and words of the method that is finished, the failed one in them; mended, nothing is left of it."""
    methods = "methods=[vanilla, {kind: probe, probe: {kind: knn, k: 50}}]"
    outcome = outshine("run", *TINY, "--set", methods)
    assert outcome.code == FAILED, outcome
    assert outcome.err.strip().splitlines()[-1].startswith("outshine: 1 stage failed, the others are kept")
    assert "Not finished, and in no other table" in outcome.out
    assert "Pooled PGR of vanilla xent" in outcome.out
    assert pd.read_csv("outshine-out/summary.csv")["method"].tolist() == ["vanilla"]
    failed = pd.read_csv("outshine-out/failed.csv")
    assert failed["method"].tolist() == ["probe"]
    assert failed["reason"].str.contains("more than 50 rows, there are 40; lower k").all()
    assert "lower k" in Path("outshine-out/report.html").read_text(encoding="utf-8")
    document = json.loads(outshine("run", *TINY, "--set", methods, "--json").out)
    assert [row["method"] for row in document["failed"]] == ["probe"]
    assert outshine("run", *TINY, "--set", methods.replace("50", "5")).code == 0
    assert pd.read_csv("outshine-out/summary.csv")["method"].tolist() == ["vanilla", "probe"]
    assert not Path("outshine-out/failed.csv").exists()
