"""Regrets over seeds and datasets by hand and by scipy; which budget equals the best label-free rule."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from scipy import stats

from outshine.selection.regret import POOLED_COLUMNS, TRUSTED, equal_labels, pooled_regrets
from regret_tables import THREE, rows


def row(pooled: pd.DataFrame, dataset: str, rule: str, n: int = 0) -> dict:
    (found,) = pooled[(pooled["dataset"] == dataset) & (pooled["rule"] == rule) & (pooled["n"] == n)].to_dict("records")
    return found


def test_over_datasets_each_counts_once():
    """Two seeds of the first and one of the others: means over seeds come before the mean over datasets."""
    frame = pd.concat([rows(THREE), rows({"d": {"agreement": 0.10}}, seed=1)])
    found = row(pooled_regrets(frame), "", "agreement")
    values = [0.06, 0.04, 0.03]
    limits = stats.ttest_1samp(values, 0).confidence_interval()
    assert tuple(found) == POOLED_COLUMNS
    assert found["regret"] == pytest.approx(sum(values) / 3)
    assert found["regret_low"] == pytest.approx(max(0, limits.low))
    assert found["regret_high"] == pytest.approx(limits.high)
    assert found["nested_regret"] == pytest.approx(sum(values) / 3 - 0.02)
    assert found["nested_regret_low"] == pytest.approx(limits.low - 0.02)
    assert found["auroc"] == pytest.approx(0.9 - sum(values) / 3)
    assert (found["num_datasets"], found["num_choices"], found["over"]) == (3, 4, "datasets")


def test_of_one_dataset_over_its_seeds():
    frame = pd.concat(
        [rows({"d": {"random": value, 5: 0.0}}, seed=seed) for seed, value in enumerate([0.01, 0.03, 0.02])]
    )
    pooled = pooled_regrets(frame)
    limits = stats.ttest_1samp([0.01, 0.03, 0.02], 0).confidence_interval()
    for dataset in ("", "d"):
        found = row(pooled, dataset, "random")
        assert (found["regret"], found["regret_high"]) == pytest.approx((0.02, limits.high))
        assert found["regret_low"] == 0 > limits.low
        assert (found["over"], found["num_seeds"]) == ("seeds", 3)


def test_one_of_each_has_no_interval():
    found = row(pooled_regrets(rows({"d": {"random": 0.02}})), "", "random")
    assert found["regret"] == 0.02
    assert math.isnan(found["regret_low"])
    assert math.isnan(found["nested_regret_high"])
    assert found["over"] == ""


def test_checkpoints_of_all_students_of_a_seed_are_one():
    frame = pd.concat([rows({"d": {"last": value}}, "checkpoint") for value in (0.02, 0.04)])
    found = row(pooled_regrets(frame), "", "last")
    assert (found["regret"], found["num_choices"], found["num_seeds"]) == (pytest.approx(0.03), 2, 1)
    assert math.isnan(found["regret_high"])  # students of one seed are no sample of seeds


def test_the_saturated_stand_alone_and_small_ones_end_the_budgets():
    by_dataset = {**THREE, "g": {"agreement": 0.0, "random": 0.0, 5: 0.0}}
    pooled = pooled_regrets(rows(by_dataset, saturated=("g",)))
    assert row(pooled, "", "agreement")["regret"] == pytest.approx(0.03)
    assert row(pooled, "g", "agreement")["regret"] == 0
    smaller = pooled_regrets(rows(by_dataset))
    assert smaller.loc[smaller["dataset"] == "", "n"].tolist() == [0, 0, 5]  # neither 10 nor 20 everywhere
    assert "confidence" not in smaller.loc[smaller["dataset"] == "", "rule"].tolist()
    assert row(smaller, "d", TRUSTED, 20)["regret"] == 0.01


def test_how_many_labels_the_best_rule_is_worth():
    worth = equal_labels(rows(THREE), "method")
    assert worth is not None
    assert (worth.rule, worth.fewer, worth.enough) == ("agreement", 10, 20)  # 10 labels lose .0333, the rule .03
    differences = {5: [0.03, 0.02, 0.02], 10: [0, 0.01, 0], 20: [-0.01, -0.02, -0.03]}
    sure = {n: stats.ttest_1samp(values, 0).confidence_interval() for n, values in differences.items()}
    assert sure[5].low > 0 > sure[10].low
    assert sure[20].high > 0
    assert (worth.surely_fewer, worth.surely_enough, worth.over) == (5, None, "datasets")


def test_fewer_is_the_budget_below_enough():
    worth = equal_labels(rows({"d": {"agreement": 0.02, "random": 0.1, 5: 0.03, 10: 0.01, 20: 0.04}}), "method")
    assert worth is not None
    assert (worth.fewer, worth.enough) == (5, 10)  # that 20 are worse again is noise of the draws or of val


@pytest.mark.parametrize(
    ("budgets", "fewer", "enough"),
    [({5: 0.01, 10: 0.0}, None, 5), ({5: 0.03, 10: 0.02}, 5, 10), ({5: 0.04, 10: 0.03}, 10, None)],
)
def test_budgets_that_are_all_enough_or_none(budgets, fewer, enough):
    worth = equal_labels(rows({"d": {"last": 0.02, "random": 0.0, **budgets}}, "checkpoint"), "checkpoint")
    assert worth is not None
    assert (worth.rule, worth.fewer, worth.enough, worth.over) == ("last", fewer, enough, "")


def test_nothing_to_compare():
    assert equal_labels(rows(THREE), "checkpoint") is None
    assert equal_labels(rows(THREE, saturated=("d", "e", "f")), "method") is None
    assert equal_labels(rows({"d": {"random": 0.0, 5: 0.0}}), "method") is None
    assert equal_labels(rows({"d": {"agreement": 0.0, "random": 0.0}}), "method") is None
    assert tuple(pooled_regrets(rows({})).columns) == POOLED_COLUMNS
