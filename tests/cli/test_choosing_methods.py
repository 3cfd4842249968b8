"""Methods, probes and filters on the command line."""

from __future__ import annotations

import pandas as pd
import pytest

RUN = ("run", "--dataset", "tiny-home", "--weak", "tiny/weak", "--strong", "tiny/strong", "--n-train", "80")
RUN += ("--n-val", "40", "--n-test", "40", "--set", "training.epochs=1", "--set", "compute_dtype=float32")
RUN += ("--set", "runtime.threads=1")


@pytest.mark.slow
def test_a_method_is_chosen_with_set(outshine):
    chosen = "methods=[{kind: probe, probe: {kind: knn, k: 9}}, {kind: filtered, filter: {kind: topofilter, k: 9}, loss: window}]"
    outcome = outshine(*RUN, "--set", chosen)
    assert outcome.code == 0, outcome.err
    assert "filtered window filter=topofilter(k=9)" in " ".join(outcome.out.split())
    scores = pd.read_parquet("outshine-out/scores.parquet")
    assert set(scores.loc[scores["role"] == "student", "method"]) == {"probe", "filtered"}


@pytest.mark.parametrize(
    ("chosen", "message", "code"),
    [
        ("methods=[{kind: probe, layer: 7}]", "layer 7 does not exist: tiny/strong has 2 blocks", 2),
        (
            "methods=[{kind: probe, probe: {kind: knn, k: 40}}]",
            "k = 40 neighbours need more than 40 rows",
            3,
        ),  # a stage fails
        ("methods=[{kind: filtered, filter: {kind: topofilter, kk: 3}}]", "unknown setting 'kk'", 2),
        ("methods=[{kind: probe, probe: logistics}]", "unknown probe 'logistics'; did you mean 'logistic'", 2),
    ],
)
def test_mistakes_are_told_in_one_line(outshine, chosen, message, code):
    outcome = outshine(*RUN, "--set", chosen)
    assert outcome.code == code
    last = outcome.err.strip().splitlines()[-1]
    assert last.startswith("outshine: ")
    assert message in last


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("probes", ["knn", "logistic"]),
        ("filters", ["topofilter", "probe_disagreement"]),
        ("losses", ["entropy", "window"]),
        ("metrics", ["accuracy", "auroc"]),
    ],
)
def test_listings(outshine, command, names):
    outcome = outshine(command)
    assert outcome.code == 0
    assert all(name in outcome.out for name in names)
