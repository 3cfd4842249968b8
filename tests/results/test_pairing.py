"""Pairing by dataset, split and seed: means over seeds, what is left out and why, tables that do not fit together."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from outshine.engine.errors import DataError, UnknownNameError
from outshine.results.pairing import SATURATED, LeftOutRun, pair
from study_tables import against_xent, pgrs, scores, student


def test_seeds_are_averaged_first():
    rows = [student("a", x, seed=s) for s, x in enumerate((0.70, 0.80, 0.75))]
    rows += [student("a", x, loss="logconf", seed=s) for s, x in enumerate((0.75, 0.80, 0.85))]
    (found,) = pair(scores(rows), None, "xent").differences
    assert (found.dataset, found.method, found.num_left_out) == ("a", "logconf", 0)
    assert found.difference == pytest.approx((0.05 + 0 + 0.10) / 3)
    assert {run.seed: value for run, value in found.per_run.items()} == {0: 0.05, 1: 0, 2: 0.1}


def test_only_seeds_of_both_are_paired_and_the_rest_counted():
    rows = [student("a", 0.7, seed=s) for s in (0, 1, 2)]
    rows += [student("a", 0.9, loss="logconf", seed=s) for s in (2, 5)]
    (found,) = pair(scores(rows), None, "xent").differences
    assert found.difference == pytest.approx(0.2)
    assert found.num_left_out == 3


def test_data_seeds_are_paired_with_their_own():
    rows = [student("a", 0.6 + 0.1 * s, data_seed=s) for s in (0, 1)]
    rows += [student("a", 0.65 + 0.1 * s, loss="logconf", data_seed=s) for s in (0, 1)]
    (found,) = pair(scores(rows), None, "xent").differences
    assert found.difference == pytest.approx(0.05)
    assert len(found.per_run) == 2


def test_equal_differences_are_equal_in_spite_of_rounding():
    rows = [student("a", 0.7), student("b", 0.8), student("a", 0.8, loss="logconf"), student("b", 0.9, loss="logconf")]
    first, second = pair(scores(rows), None, "xent").differences
    assert 0.8 - 0.7 != 0.9 - 0.8
    assert first.difference == second.difference == 0.1


def test_saturated_datasets_are_left_out_by_the_mean_over_seeds():
    rows = against_xent([0.01, 0.02]) + against_xent([0.01, 0.02], seed=1)
    saturated = scores(rows, d01=(0.9995, 1.0))
    found = pair(saturated, None, "xent")
    assert [one.dataset for one in found.differences] == ["d00"]
    assert found.left_out == (LeftOutRun("d01", "logconf", SATURATED),)
    one_seed = saturated["role"].eq("weak") & saturated["seed"].eq(1) & saturated["dataset"].eq("d01")
    below_on_average = saturated.assign(auroc=saturated["auroc"].mask(one_seed, 0.998))
    assert len(pair(below_on_average, None, "xent").differences) == 2


def test_an_unknown_supervisor_never_saturates():
    table = scores(against_xent([0.1, 0.2]), ceiling=1.0)
    found = pair(table[table["role"] != "weak"], None, "xent")
    assert len(found.differences) == 2
    assert math.isnan(found.gaps["d00"])


def test_gaps_are_means_over_seeds():
    table = scores(against_xent([0.1]) + against_xent([0.1], seed=1), d00=(0.7, 0.9))
    second = table["role"].eq("ceiling") & table["seed"].eq(1)
    assert pair(table.assign(auroc=table["auroc"].mask(second, 1.0)), None, "xent").gaps == {"d00": pytest.approx(0.25)}


def test_datasets_of_one_family_are_one():
    """sciq with and without its support: the mean of both by seed, and one dataset for every test."""
    rows = []
    is_main = {"sciq": (0.02, 0.04), "cola": (0.01, 0.03), "sciq_with_support": (0.06, 0.10)}
    for dataset, own in is_main.items():
        for seed, lead in enumerate(own):
            rows += [student(dataset, 0.8, seed=seed), student(dataset, 0.8 + lead, loss="logconf", seed=seed)]
    found = pair(scores(rows, sciq=(0.7, 0.9), sciq_with_support=(0.6, 0.9), cola=(0.7, 0.8)), None, "xent")
    both, alone = found.differences
    assert (both.dataset, alone.dataset) == ("sciq + sciq_with_support", "cola")
    assert both.members == ("sciq", "sciq_with_support")
    assert both.difference == pytest.approx((0.02 + 0.04 + 0.06 + 0.10) / 4)
    assert sorted(both.per_run.values()) == pytest.approx([(0.02 + 0.06) / 2, (0.04 + 0.10) / 2])
    assert found.gaps[both.dataset] == pytest.approx((0.2 + 0.3) / 2)
    assert alone.difference == pytest.approx(0.02)


def test_what_is_missing_is_named():
    rows = [student("a", 0.7), student("b", 0.7, loss="logconf"), student("c", 0.7), student("c", 0.8, loss="logconf")]
    rows += [student("d", 0.7, seed=0), student("d", 0.8, loss="logconf", seed=1)]
    rows += [student("e", math.nan), student("e", 0.7, loss="logconf")]
    found = pair(scores(rows), None, "xent")
    assert [one.dataset for one in found.differences] == ["c"]
    assert {one.dataset: one.reason for one in found.left_out} == {
        "a": "no result of logconf",
        "b": "no result of xent",
        "d": "logconf and xent have no seed in common",
        "e": "the student's AUROC is unknown",
    }


def test_undefined_pgrs_are_left_out_with_their_reason():
    table = scores(against_xent([0.02, 0.04, 0.06]))
    found = pair(table, pgrs(table, {"d01": "the gap is noise"}), "xent", "pgr")
    assert [one.dataset for one in found.differences] == ["d00", "d02"]
    assert [one.difference for one in found.differences] == pytest.approx([0.02 / 0.2, 0.06 / 0.2])
    assert found.left_out == (LeftOutRun("d01", "logconf", "PGR undefined: the gap is noise"),)


def test_a_seed_with_an_undefined_pgr_is_counted():
    table = scores(against_xent([0.02]) + against_xent([0.04], seed=1))
    pgr = pgrs(table)
    hidden = pgr["seed"].eq(0) & pgr["loss"].eq("xent")
    found = pair(table, pgr.assign(defined=~hidden, reason=hidden.map({True: "why", False: ""})), "xent", "pgr")
    assert found.differences[0].difference == pytest.approx(0.2)
    assert found.differences[0].num_left_out == 1
    undefined = pair(
        table[table["seed"] == 0], pgr[pgr["seed"] == 0].assign(defined=False, reason="why"), "xent", "pgr"
    )
    assert undefined.left_out[0].reason == "PGR undefined: why"


def test_folders_of_one_study_are_laid_together():
    both = against_xent([0.1, 0.2])
    first, second = scores(both[:2]), scores(both[2:]).assign(study="other")
    together = pd.concat([first, second, second])
    assert pair(together, None, "xent").differences == pair(scores(both), None, "xent").differences


def test_two_results_of_one_run_are_refused():
    table = scores(against_xent([0.1, 0.2]))
    changed = table.assign(key=table["key"].where(table["role"] != "ceiling", "0123456789abcdef"))
    with pytest.raises(DataError, match=r"two different results for d00, seed 0, ceiling \(keys .* 0123456789ab\)"):
        pair(pd.concat([table, changed]), None, "xent")


def test_two_pairs_of_models_are_refused():
    table = scores(against_xent([0.1, 0.2]))
    for changed in ({"strong": "other"}, {"weak": "other"}):
        with pytest.raises(DataError, match=r"several pairs of models \(tiny/weak supervises tiny/strong; .*other"):
            pair(pd.concat([table, table.assign(**changed)]), None, "xent")


def test_files_of_weak_labels_may_differ_by_dataset():
    table = scores(against_xent([0.1, 0.2]))
    assert len(pair(table.assign(weak=table["dataset"] + ".csv"), None, "xent").differences) == 2


def test_what_cannot_be_compared_is_refused():
    table = scores(against_xent([0.1, 0.2]))
    with pytest.raises(UnknownNameError, match=r"unknown metric 'auc'; did you mean 'auroc'\? known: auroc, pgr"):
        pair(table, None, "xent", "auc")
    with pytest.raises(UnknownNameError, match="unknown baseline 'window'; known: logconf, xent"):
        pair(table, None, "window")
    with pytest.raises(DataError, match=r"needs the table pgr\.parquet"):
        pair(table, None, "xent", "pgr")
    with pytest.raises(DataError, match="xent is the only method"):
        pair(table[table["loss"] == "xent"], None, "xent")
