"""Choosing without ground truth in sentences, tables and figures."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from outshine.engine.errors import DataError
from outshine.report import figures
from outshine.report.figures.regret import regret_by_labels
from outshine.report.text import amount_text
from outshine.selection.regret import pooled_regrets
from outshine.selection.text import by_dataset_table, choosing_sentences, regret_figures, regret_table
from regret_tables import THREE, rows

RULE = "agreement with the weak labels"


def told(frame: pd.DataFrame, kind: str = "method") -> list[str]:
    return choosing_sentences(frame, pooled_regrets(frame), kind)


def test_the_plain_sentence_comes_first():
    first, losses, settled, flattered, oracle = told(rows(THREE))
    worth = f"the best label-free rule, {RULE}, is by mean regret worth between 10 and 20 trusted labels"
    assert first == f"To choose among methods, {worth}."
    assert losses == (
        "It loses .030 [.005, .055] AUROC to the oracle over 3 datasets; 10 trusted labels lose .033 [.000, .071], "
        "20 trusted labels lose .010 [.000, .035], a random choice loses .060 [.010, .110]."
    )
    assert (
        settled == "By the 95 % intervals of paired differences over datasets, up to 5 labels lose more than the rule."
    )
    assert flattered == "It is the best of 2 rules on these same results, which flatters it."
    assert "against it the rule loses .010 [−.015, .035]. On average the truth lies in between." in oracle


@pytest.mark.parametrize(
    ("budgets", "worth"),
    [
        ({5: 0.01, 10: 0.0}, "no more than 5 trusted labels, the fewest that were tried"),
        ({5: 0.05, 10: 0.03}, "more than 10 trusted labels, the most that could be tried"),
        ({1000: 0.03, 2000: 0.01}, "between 1,000 and 2,000 trusted labels"),
    ],
)
def test_where_the_budgets_end(budgets, worth):
    first, _, settled, *_ = told(rows({"d": {"last": 0.02, "random": 0.04, **budgets}}, "checkpoint"), "checkpoint")
    named = "checkpoints of a student, the best label-free rule, the last checkpoint, is by mean regret worth"
    assert first == f"To choose among {named} {worth}."
    assert settled == "One dataset and one seed give no interval: run more of either."


def test_a_rule_that_is_no_better_than_lots():
    sentences = told(rows({"d": {"confidence": 0.05, "random": 0.04, 5: 0.06, 10: 0.01}}))
    assert "No label-free rule loses less on average than a random choice here." in sentences
    assert not any("flatters it" in one for one in sentences)  # one rule was not picked among several
    assert "No label-free rule loses less" not in " ".join(told(rows(THREE)))


def test_what_the_intervals_settle():
    seeds = [rows({"d": {"agreement": 0.02, "random": 0.05, 5: worse, 20: better}}, seed=seed)
             for seed, (worse, better) in enumerate([(0.04, 0.010), (0.05, 0.008), (0.045, 0.012)])]  # fmt: skip
    _, _, settled, *_ = told(pd.concat(seeds))
    assert settled == (
        "By the 95 % intervals of paired differences over seeds, up to 5 labels lose more than the rule, "
        "from 20 on they lose less."
    )
    unsettled = [
        rows({"d": {"agreement": 0.02, "random": 0.05, 5: regret}}, seed=seed)
        for seed, regret in enumerate([0.0, 0.05])
    ]
    assert "no budget is told apart from the rule" in told(pd.concat(unsettled))[2]


def test_a_test_set_too_small_to_be_halved():
    frame = rows(THREE).assign(nested_regret=math.nan)
    assert "the rule loses an unknown amount (test is too small to be halved)" in told(frame)[-1]


def test_nothing_is_said_of_saturated_datasets_alone():
    (sentence,) = told(rows(THREE, saturated=tuple(THREE)))
    assert sentence.startswith("Nothing can be said of choosing among methods")


def test_the_tables():
    pooled = pooled_regrets(rows(THREE))
    sheet = regret_table(pooled, "method")
    assert [row[0] for row in sheet.rows] == [
        *(RULE, "confidence", "a random choice", "5 trusted labels", "10 trusted labels", "20 trusted labels")
    ]
    assert sheet.rows[0] == [RULE, ".030 [.005, .055]", ".010 [−.015, .035]", "50%"]
    assert sheet.columns[1] == "regret [95 % over datasets]"
    single = by_dataset_table(pooled, "method")
    assert single.columns == ["dataset", "agreement", "confidence", "random", "n = 5", "n = 10", "n = 20"]
    assert single.rows[1] == ["e", ".040", ".030", ".080", ".060", ".050", ".020"]
    assert amount_text(-0.01, math.nan, math.nan) == "−.010"


def test_the_figure_has_a_panel_for_all_datasets_and_one_for_each():
    (plate,) = regret_figures(pooled_regrets(rows(THREE)))
    axes = plate.figure.axes
    assert (plate.name, plate.figure.get_label()) == ("regret-methods", "regret-methods")
    assert [one.get_title(loc="left") for one in axes] == ["mean over 3 datasets", "d", "e", "f"]
    lines = {line.get_label(): line for line in axes[0].get_lines() if not line.get_label().startswith("_")}
    assert set(lines) == {"trusted labels", RULE, "confidence", "a random choice"}
    assert lines["trusted labels"].get_xdata().tolist() == [5, 10, 20]
    assert lines["trusted labels"].get_ydata() == pytest.approx([0.16 / 3, 0.1 / 3, 0.01])
    assert lines[RULE].get_ydata() == pytest.approx([0.03, 0.03])
    bars = [line for line in axes[0].get_lines() if line.get_label().startswith("_")]
    assert len(bars) == 3  # an interval for each rule
    assert all(min(bar.get_xdata()) > 20 for bar in bars)
    own = {line.get_label(): line for line in axes[2].get_lines()}
    assert own["trusted labels"].get_ydata().tolist() == [0.06, 0.05, 0.02]
    assert len(axes[2].get_lines()) == 4  # one seed: no interval
    assert all(one.get_ylim()[0] == 0 for one in axes)
    assert "95 % intervals over datasets" in plate.figure._supxlabel.get_text()
    assert figures.svg(plate.figure).startswith("<svg")


def test_a_figure_for_each_kind_and_one_panel_for_a_single_dataset():
    frame = pd.concat([rows({"d": THREE["d"]}), rows({"d": {"last": 0.1, "random": 0.2, 5: 0.1}}, "checkpoint")])
    plates = regret_figures(pooled_regrets(frame))
    assert [plate.name for plate in plates] == ["regret-methods", "regret-checkpoints"]
    for plate in plates:
        assert [one.get_title(loc="left") for one in plate.figure.axes] == ["d"]


def test_names_are_text_and_two_rows_for_one_place_are_refused():
    frame = pd.DataFrame(
        [{"dataset": "<b>$x$", "label": label, "n": n, "regret": 0.1, "regret_low": math.nan, "regret_high": math.nan}
         for label, n in [("", 5), ("", 10), ("rule", 0)]]
    )  # fmt: skip
    drawn = figures.svg(regret_by_labels(frame, floor="rule"))
    assert "&lt;b&gt;$x$" in drawn
    with pytest.raises(DataError, match="two for dataset"):
        regret_by_labels(pd.concat([frame, frame]), floor="rule")
