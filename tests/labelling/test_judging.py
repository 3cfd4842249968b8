"""The rows to judge: a fixed random order, known again; rows that were picked; rows that are of groups."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from label_simulations import TRIALS, World, said, said_of_soft_labels, top, verdict
from scipy.stats import kstest

from outshine.labelling.annotation_sample import judging_order, rows_to_judge, start_of_draw
from outshine.labelling.evidence import evidence
from outshine.stats.intervals import share_of_file

BY_NAME = {trial.name: trial for trial in TRIALS}


def file_of(num_apart: int, num: int) -> pd.DataFrame:
    rows = np.arange(1, num + 1)
    order = judging_order([f"row {row}" for row in rows])
    return pd.DataFrame({"row": rows, "id": None, "text": "t", "apart": rows <= num_apart, "order": order})


def test_the_order_is_random_and_depends_on_nothing_but_the_row() -> None:
    names = [f"row {i}" for i in range(3000)]
    order = judging_order(names)
    assert sorted(order) == list(range(3000))
    part = judging_order(names[::3])
    assert (np.argsort(part) == np.argsort(order[::3])).all()  # rows keep their order in any part
    assert kstest(order[:300] / 3000, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(order, np.arange(3000))[0, 1]) < 3 / math.sqrt(3000)


def test_mostly_disagreements_are_listed_and_any_beginning_is_mixed_alike() -> None:
    found = rows_to_judge(file_of(300, 1000), True, {})
    assert found.sizes == {"disagree": (80, 300), "agree": (20, 700)}
    rows = found.rows
    assert rows.groupby("stratum")["weight"].first().to_dict() == {"agree": 35.0, "disagree": 3.75}
    assert rows["weight"].sum() == pytest.approx(1000)
    for num in (10, 25, 50):
        assert rows["stratum"].head(num).eq("disagree").sum() == pytest.approx(0.8 * num, abs=1)
    assert rows_to_judge(file_of(300, 1000), False, {}).sizes == {"all": (100, 1000)}
    assert rows_to_judge(file_of(30, 1000), True, {}).sizes == {"disagree": (30, 30), "agree": (20, 970)}
    assert rows_to_judge(file_of(995, 1000), True, {}).sizes == {"disagree": (95, 995), "agree": (5, 5)}
    assert rows_to_judge(file_of(0, 1000), True, {}).num_open == 0


def test_judged_rows_keep_their_place_and_more_follow() -> None:
    file = file_of(300, 1000)
    first = rows_to_judge(file, True, {})
    known = {int(row): True for row in first.rows["row"].head(30)}
    again = rows_to_judge(file, True, known)
    assert again.rows["row"].tolist() == first.rows["row"].tolist()
    assert again.rows["truth"].notna().sum() == 30
    more = rows_to_judge(file, True, {int(row): True for row in first.rows["row"]})
    assert more.sizes == {"disagree": (160, 300), "agree": (40, 700)}
    assert set(first.rows["row"]) < set(more.rows["row"])
    assert more.num_open == 100
    assert rows_to_judge(file, True, dict.fromkeys(range(1, 1001), True)).num_open == 0
    assert rows_to_judge(file, True, dict.fromkeys([*range(1, 301), *more.rows["row"]], True)).num_open == 0


@pytest.mark.parametrize(
    ("judged", "length", "empty"),
    [
        ([1] * 30 + [0] * 70, 30, 0),
        ([1] * 100, 100, 0),
        ([1] * 12 + [0] + [1] * 20 + [0] * 67, 33, 1),
        ([1] * 30 + [0] * 60 + [1] + [0] * 9, 30, 0),  # one far down says less than it costs
        ([0] * 100, None, None),
        ([1] * 9 + [0] * 91, None, None),  # so few may lie there by chance
        ([1] * 10 + [0] * 50 + [1] * 20 + [0] * 20, None, None),
        ([1, 1, 1], 3, 0),
        ([], None, None),
    ],
)
def test_how_far_a_draw_was_judged(judged: list[int], length: int | None, empty: int | None) -> None:
    found = start_of_draw(np.array(judged, dtype=bool))
    assert found == (None if length is None else (length, empty))


def test_random_rows_are_hardly_ever_taken_for_the_draw() -> None:
    rng = np.random.default_rng(0)
    taken = [start_of_draw(np.isin(np.arange(200), rng.choice(200, 60, replace=False))) for _ in range(500)]
    assert taken == [None] * 500


def test_the_gain_from_the_draw_is_that_of_its_disagreements() -> None:
    rng = np.random.default_rng(1)
    file, truth = World(num_rows=1000, share=0.25, groups=50).make(rng)
    rows = rows_to_judge(file.assign(id=None, text="", row=file.index + 1), True, {}).rows["row"].to_numpy(int) - 1
    one = verdict(file, truth, rows)
    apart = file["apart"].to_numpy()[rows]
    right = apart & ((file["log_odds"].to_numpy()[rows] > 0) == truth[rows])
    q = share_of_file(int(right.sum()), 80, 250)
    assert (one.by, one.num_judged, one.num_empty) == ("draw", 80, 0)
    assert one.accuracy_gain is not None
    assert one.accuracy_gain[:3] == pytest.approx([0.25 * (2 * x - 1) for x in (q.value, q.low, q.high)])
    assert math.isnan(one.groups)  # randomness is from the draw, whatever the groups
    own = (file["log_odds"].to_numpy() > 0) == truth
    weights = np.where(apart, 250 / 80, 750 / 20)
    assert one.student_accuracy is not None
    assert one.student_accuracy.value == pytest.approx(np.average(own[rows], weights=weights))
    assert one.student_accuracy.low < own.mean() < one.student_accuracy.high
    assert one.auroc_gain is None


def test_rows_left_empty_in_a_list_count_for_and_against() -> None:
    """Every other row of to_judge.csv was left empty: with the file's word for it the limits allow for both."""
    file, truth = World().make(np.random.default_rng(2))
    order = file[file["apart"]].sort_values("order").index.to_numpy()
    part = file.loc[order[:60:2]]
    trusted = part.assign(row=part.index, truth=truth[part.index])
    population = (len(file), int(file["apart"].sum()))
    one = evidence(trusted, hard=True, one_sided=False, population=population, file=file, listed=True)
    assert one.num_empty == one.num_judged - 1 > 0
    assert one.gain is not None
    assert one.gain.high - one.gain.low > 0.9 * 0.25
    assert one.verdict == "open"


ERRING = [
    *("20 random rows", "100 random rows", "400 random rows, 5 % disagreements", "20 random disagreements"),
    *("100 random rows, for new ones", "to_judge.csv", "to_judge.csv, 100 groups"),
    "to_judge.csv, 20 % of the student's errors left empty",
    *(f"all rows of {num} groups{of}" for num in (5, 10, 50) for of in ("", ", for new ones")),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", ERRING)
def test_a_verdict_errs_no_more_often_than_it_says(name: str) -> None:
    """The true gain is 0: at most 5 % + 3 errors of 120 files. More in docs/statistics.md, by label_simulations.py."""
    found = said(BY_NAME[name], 120)
    assert found.verdict <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 120)
    assert found.refused <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 120)
    if "5 groups" in name:
        assert found.verdict == 0


PICKED = [
    *(trial.name for trial in TRIALS if not trial.fair and ("suspects.csv" in trial.name or "sorted" in trial.name)),
    *("the 40 least suspicious disagreements", "the 100 highest p", "100 of which the student is surest"),
    *("100 random rows of class 1", "40 first suspects and 60 agreements", "20 first suspects and 80 random rows"),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", PICKED)
def test_picked_rows_give_no_verdict_and_no_interval(name: str) -> None:
    found = said(BY_NAME[name], 100)  # 20 files
    assert found.verdict == 0
    assert found.refused == 1
    assert math.isnan(found.covered)


def test_soft_labels_have_a_draw_of_all_rows_and_picked_ones_are_refused() -> None:
    from label_simulations import SOFT

    drawn = said_of_soft_labels(*SOFT["to_judge.csv of 200 rows"], num_runs=60)
    assert drawn.refused == 0
    assert drawn.verdict <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 60)
    picked = said_of_soft_labels(*SOFT["the first 100 of suspects.csv"], num_runs=10)
    assert (picked.refused, picked.verdict) == (1, 0)


def test_why_rows_are_no_draw_is_said() -> None:
    file, truth = World().make(np.random.default_rng(3))
    one = verdict(file, truth, top("suspicion", 40)(file, truth, np.random.default_rng(0)))
    assert one.gain is None
    assert one.accuracy_gain is None
    assert one.verdict == "open"
    assert "of the 250 rows on which student and label disagree, the 40 trusted ones" in one.picked
    assert "suspicion" in one.picked


def test_whole_groups_need_more_groups() -> None:
    rng = np.random.default_rng(4)
    file, truth = World(2000, 0.4, groups=100).make(rng)
    one = verdict(
        file, truth, np.flatnonzero(file["group"].isin(rng.choice(file["group"].unique(), 12, replace=False)))
    )
    assert one.by == "groups"
    assert one.needed
    for need in one.needed:
        assert need.groups is not None
        assert need.judged is not None
        assert need.groups == pytest.approx(need.judged / one.num_judged * 12, rel=0.1, abs=1)
