"""Test AUROC along training: chosen, last and best update by hand, and the bias of a maximum."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from outshine.engine.errors import DataError
from outshine.results.names import IDENTITY_COLUMNS
from outshine.results.trajectories import (
    OVERFITTING_COLUMNS,
    SELECTION_COLUMNS,
    TRAJECTORY_COLUMNS,
    overfitting,
    selection_sensitivity,
)


def trajectory(test: list[float], chosen: int = 0, *, every: int = 25, **changed: object) -> pd.DataFrame:
    """One run validated every 25 updates; `chosen`: the position of the checkpoint chosen on weak val."""
    named = {"study": "s", "dataset": "d", "weak": "w", "strong": "l", "method": "vanilla", "variant": "", "round": 0}
    named |= {"loss": "xent", "data_seed": 0, "seed": 0, **changed}
    steps = [every * (k + 1) for k in range(len(test))]
    rows = [
        {**named, "step": step, "val_auroc": 0.6, "test_auroc": auroc, "chosen": k == chosen}
        for k, (step, auroc) in enumerate(zip(steps, test, strict=True))
    ]
    return pd.DataFrame(rows, columns=list(TRAJECTORY_COLUMNS))


def test_chosen_last_and_oracle():
    (row,) = selection_sensitivity(trajectory([0.6, 0.8, 0.7, 0.75], chosen=2)).to_dict("records")
    assert tuple(row) == SELECTION_COLUMNS
    assert (row["chosen_auroc"], row["last_auroc"], row["oracle_auroc"]) == (0.7, 0.75, 0.8)
    assert (row["chosen_step"], row["last_step"], row["oracle_step"]) == (75, 100, 50)


def test_rise_and_fall():
    (row,) = overfitting(trajectory([0.6, 0.8, 0.7, 0.75])).to_dict("records")
    assert tuple(row) == OVERFITTING_COLUMNS
    assert (row["peak_auroc"], row["last_auroc"], row["peak_step"], row["last_step"]) == (0.8, 0.75, 50, 100)
    assert row["fall"] == pytest.approx(0.05)
    assert row["peak_share"] == 0.5


def test_a_run_that_peaks_at_its_end_does_not_fall():
    (row,) = overfitting(trajectory([0.6, 0.7, 0.8])).to_dict("records")
    assert (row["fall"], row["peak_share"]) == (0, 1)


def test_of_equal_peaks_the_earliest():
    frame = trajectory([0.6, 0.8, 0.7, 0.8], chosen=3)
    assert selection_sensitivity(frame)["oracle_step"].tolist() == [50]
    assert overfitting(frame)[["fall", "peak_step"]].values.tolist() == [[0, 50]]


@pytest.mark.parametrize("measure", [selection_sensitivity, overfitting])
def test_runs_are_kept_apart_and_rows_may_come_in_any_order(measure):
    runs = [
        trajectory([0.6, 0.8, 0.7], 1),
        trajectory([0.5, 0.6, 0.9], 2, seed=1),
        trajectory([0.9, 0.6, 0.7], 0, loss="logconf"),
        trajectory([0.7, 0.8, 0.7], 0, round=1),
    ]
    together = pd.concat(runs, ignore_index=True)
    apart = pd.concat([measure(one) for one in runs], ignore_index=True)
    pd.testing.assert_frame_equal(measure(together), apart)
    names = list(IDENTITY_COLUMNS)
    shuffled = measure(together.sample(frac=1, random_state=0)).sort_values(names, ignore_index=True)
    pd.testing.assert_frame_equal(shuffled, apart.sort_values(names, ignore_index=True))


def test_validation_need_not_have_chosen_by_its_auroc():
    frame = trajectory([0.6, 0.7], chosen=1).assign(val_auroc=math.nan)
    assert selection_sensitivity(frame)["chosen_step"].tolist() == [50]


def test_the_maximum_over_noisy_checkpoints_is_biased_upward():
    """All checkpoints are worth .8; with noise of .01 the oracle of 20 gains 1.87 of it, as normal maxima do."""
    rng = np.random.default_rng(0)
    runs = [trajectory(list(rng.normal(0.8, 0.01, 20)), chosen=7, seed=seed) for seed in range(200)]
    frame = pd.concat(runs, ignore_index=True)
    found, falls = selection_sensitivity(frame), overfitting(frame)
    assert (found["oracle_auroc"].mean() - 0.8) / 0.01 == pytest.approx(1.87, abs=0.15)
    assert abs(found["chosen_auroc"].mean() - 0.8) < 0.0025
    assert falls["fall"].mean() > 0.015
    assert (falls["fall"] >= 0).all()


def test_a_run_of_no_updates_has_no_share():
    (row,) = overfitting(trajectory([0.6], every=0)).to_dict("records")
    assert row["fall"] == 0
    assert math.isnan(row["peak_share"])


@pytest.mark.parametrize(
    ("measure", "columns"), [(selection_sensitivity, SELECTION_COLUMNS), (overfitting, OVERFITTING_COLUMNS)]
)
def test_no_runs_no_rows(measure, columns):
    empty = measure(pd.DataFrame(columns=list(TRAJECTORY_COLUMNS)))
    assert (len(empty), tuple(empty.columns)) == (0, columns)


@pytest.mark.parametrize("measure", [selection_sensitivity, overfitting])
def test_trajectories_that_cannot_be_read(measure):
    good = trajectory([0.6, 0.7])
    with pytest.raises(DataError, match=r"the trajectories lack the column.s. chosen"):
        measure(good.drop(columns="chosen"))
    with pytest.raises(DataError, match="d vanilla xent, seed 0: update 25 is there twice"):
        measure(pd.concat([good, good]))
    with pytest.raises(DataError, match="the test AUROC after update 50 is unknown"):
        measure(trajectory([0.6, math.nan]))


@pytest.mark.parametrize(("chosen", "number"), [([True, True], 2), ([False, False], 0)])
def test_one_checkpoint_is_chosen(chosen, number):
    with pytest.raises(DataError, match=f"{number} checkpoints are marked as chosen, expected one"):
        selection_sensitivity(trajectory([0.6, 0.7]).assign(chosen=chosen))
