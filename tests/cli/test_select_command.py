"""`outshine select`: sentences, tables and figures of a study that ran; computes nothing; bad input in one line."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from test_report_command import files, refused

import outshine as package
from outshine.selection.regret import POOLED_COLUMNS, REGRET_COLUMNS, pooled_regrets
from outshine.w2s.study_file import parse_study
from small_study import EVERYTHING, Ran, small_study


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return small_study(tmp_path_factory.getbasetemp())


@pytest.mark.slow
def test_a_study_is_looked_back_on(outshine, ran):
    store, out = files(ran.store), files(ran.out)
    outcome = outshine("select", str(ran.out), "--store", str(ran.store), "-o", "there", "--draws", "50")
    assert (outcome.code, outcome.err) == (0, "")
    assert (files(ran.store), files(ran.out)) == (store, out)
    words = " ".join(outcome.out.split())
    assert words.startswith("To choose among methods, the best label-free rule,")
    assert "To choose among checkpoints of a student, the best label-free rule," in words
    assert words.endswith("tables regret and regret_pooled, and figures: there")
    tables = {f"{name}.{end}" for name in ("regret", "regret_pooled") for end in ("csv", "parquet")}
    drawn = {f"figures/regret-{kind}s.{end}" for kind in ("method", "checkpoint") for end in ("svg", "png")}
    assert set(files(Path("there"))) == tables | drawn
    regret, pooled = (pd.read_parquet(f"there/{name}.parquet") for name in ("regret", "regret_pooled"))
    assert (tuple(regret.columns), tuple(pooled.columns)) == (REGRET_COLUMNS, POOLED_COLUMNS)
    pd.testing.assert_frame_equal(pooled_regrets(regret), pooled)
    assert set(regret["dataset"]) == {"tiny-home", "tiny-pet", "tiny-food"}
    assert (regret.groupby("kind")["num_candidates"].min() > 1).all()
    assert regret.query("kind == 'method'")["num_candidates"].unique().tolist() == [10]
    methods = set(ran.results.scores.query("purpose == 'method'")["auroc"].round(12))
    assert set(regret.query("kind == 'method'")["oracle_auroc"].round(12)) <= methods

    same = package.select(parse_study(EVERYTHING), store=ran.store, num_draws=50)
    pd.testing.assert_frame_equal(same.regret, regret)
    pd.testing.assert_frame_equal(same.pooled, pooled)
    check_checkpoints(regret.query("kind == 'checkpoint' and rule == 'weak_auroc'"), ran)


def check_checkpoints(regret: pd.DataFrame, ran: Ran) -> None:
    """The rule that training itself goes by picks the update that training kept, where it was the only one."""
    identity = ["dataset", "method", "variant", "round", "loss", "seed"]
    curves = ran.results.trajectories
    best = curves.groupby(identity)["test_auroc"].max()
    kept = curves[curves["chosen"]].set_index(identity)["step"]
    compared = 0
    for row in regret.to_dict("records"):
        which = tuple(row[name] for name in identity)
        assert row["oracle_auroc"] == pytest.approx(best[which])
        if row["choice"]:
            assert row["choice"] == f"update {kept[which]}"
            compared += 1
    assert len(regret) == len(kept)
    assert compared > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("there is no folder outshine-out; name a run's folder",)),
        (("nowhere.yaml",), ("study 'nowhere.yaml' cannot be read",)),
        (("demo",), ("stages are not in the store", "run the study first with `outshine run`")),
    ],
)
def test_what_did_not_run_is_told(outshine, tmp_path, arguments, words):
    refused(outshine("select", *arguments), *words)
    assert files(tmp_path) == {}
