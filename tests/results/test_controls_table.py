"""Controls against the vanilla student and the supervisor: the table by plain loops and scipy, and what it is read as."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from outshine.engine.errors import DataError
from outshine.learn.losses.base import Loss
from outshine.learn.losses.logconf import LogConf
from outshine.learn.losses.xent import Xent
from outshine.results.controls import CONTROL_COLUMNS, OVERALL_COLUMNS, ControlName, ControlTables, against
from outshine.results.controls_text import sentence, sentences
from outshine.results.names import Contender
from outshine.w2s.method_identity import identify
from outshine.w2s.methods.base import Method
from outshine.w2s.methods.control import Control
from outshine.w2s.methods.vanilla import Vanilla
from outshine.w2s.methods.weak_to_weak import WeakToWeak
from study_tables import scores, student

CONTROLS = ("control", "weak_to_weak", "truth_probe")


def control(dataset: str, auroc: float, labels: str, loss: Loss | None = None, **changed: object) -> dict:
    return student(dataset, auroc, **{**named(Control(labels=labels), loss or Xent()), **changed})


def named(method: Method, loss: Loss | None) -> dict:
    """The columns of a table that name a method."""
    one = identify(method, loss)
    own = {"method": method.kind, "loss": loss.kind if loss else "", "variant": one.words}
    return {**own, "method_id": one.method_id, "settings": one.settings}


def table(rows: Sequence[dict], **by_dataset: tuple) -> pd.DataFrame:
    frame = scores(rows, **by_dataset)
    return frame.assign(purpose=["control" if method in CONTROLS else "method" for method in frame["method"]])


def both(vanilla: Sequence[float], control_aurocs: Sequence[float], labels: str = "noise_matched") -> list[dict]:
    """A vanilla student and a control on datasets d00, d01, …"""
    names = [f"d{i:02}" for i in range(len(vanilla))]
    rows = [student(name, auroc) for name, auroc in zip(names, vanilla, strict=True)]
    return rows + [control(name, auroc, labels) for name, auroc in zip(names, control_aurocs, strict=True)]


def only(tables: ControlTables) -> dict:
    (row,) = tables.overall.to_dict("records")
    return row


def test_the_table_is_plain_arithmetic_on_pairs_of_runs():
    rng = np.random.default_rng(0)
    vanilla, own = rng.uniform(0.75, 0.85, (2, 5, 3))
    rows = []
    for (d, s), auroc in np.ndenumerate(vanilla):
        rows += [student(f"d{d}", auroc, seed=s), control(f"d{d}", own[d, s], "noise_matched", seed=s)]
    weak = {f"d{d}": (0.7 + 0.01 * d, 0.9) for d in range(5)}
    found = against(table(rows, **weak))
    assert tuple(found.by_dataset.columns) == CONTROL_COLUMNS
    assert tuple(found.overall.columns) == OVERALL_COLUMNS
    for d, row in enumerate(found.by_dataset.to_dict("records")):
        assert (row["control"], row["setting"], row["loss"], row["vanilla"]) == ("noise_matched", "", "xent", "xent")
        assert (row["dataset"], row["num_runs"], row["num_paired"], row["saturated"]) == (f"d{d}", 3, 3, False)
        assert row["auroc"] == pytest.approx(own[d].mean())
        assert row["minus_vanilla"] == pytest.approx((own[d] - vanilla[d]).mean())
        assert row["minus_weak"] == pytest.approx(own[d].mean() - (0.7 + 0.01 * d))
    overall = only(found)
    for name, values in {
        "auroc": own.mean(axis=1),
        "minus_vanilla": (own - vanilla).mean(axis=1),
        "minus_weak": own.mean(axis=1) - (0.7 + 0.01 * np.arange(5)),
    }.items():
        limits = stats.ttest_1samp(values, 0).confidence_interval()
        expected = [values.mean(), limits.low, limits.high]
        np.testing.assert_allclose([overall[name], overall[f"{name}_low"], overall[f"{name}_high"]], expected)
    assert (overall["num_datasets"], overall["num_saturated"], overall["num_unpaired"]) == (5, 0, 0)
    assert overall["vanilla_auroc"] == pytest.approx(vanilla.mean())
    assert overall["weak_auroc"] == pytest.approx(0.72)


def test_differences_are_of_shared_seeds_only():
    rows = [student("a", 0.8, seed=0), student("a", 0.9, seed=1), control("a", 0.7, "random", seed=1)]
    rows += [control("a", 0.5, "random", seed=2)]
    (row,) = against(table(rows)).by_dataset.to_dict("records")
    assert (row["num_runs"], row["num_paired"]) == (2, 1)
    assert (row["auroc"], row["vanilla_auroc"], row["minus_vanilla"]) == (pytest.approx(0.6), 0.9, -0.2)


def test_controls_meet_the_vanilla_student_of_their_own_loss_and_settings():
    rows = [
        student("a", 0.80, **named(Vanilla(), Xent())),
        student("a", 0.82, **named(Vanilla(), LogConf())),
        student("a", 0.84, **named(Vanilla(), LogConf(alpha=0.3))),
    ]
    rows += [control("a", 0.7, "shuffled"), control("a", 0.7, "shuffled", LogConf())]
    rows += [control("a", 0.7, "shuffled", LogConf(alpha=0.3))]
    rows += [student("a", 0.7, **named(WeakToWeak(), LogConf()))]
    rows += [student("a", 0.99, method="filtered"), student("a", 0.98, method="strong_to_strong", round=1)]
    found = against(table(rows)).by_dataset
    assert found[["control", "setting", "loss", "vanilla", "vanilla_auroc"]].values.tolist() == [
        ["shuffled", "", "xent", "xent", 0.80],
        ["shuffled", "", "logconf", "logconf", 0.82],
        ["shuffled", "loss.alpha=.3", "logconf", "logconf loss.alpha=.3", 0.84],
        ["weak_to_weak", "", "logconf", "logconf", 0.82],
    ]


def test_a_probe_has_no_loss_and_meets_every_vanilla_student_that_is_no_sweep():
    rows = [student("a", 0.80), student("a", 0.82, loss="logconf"), student("a", 0.9, variant="epochs=9")]
    rows += [student("a", 0.85, method="truth_probe", loss="", variant=f"layer={layer}") for layer in (8, 16)]
    frame = table(rows)
    frame.loc[frame["variant"] == "epochs=9", "purpose"] = "sweep"
    found = against(frame).overall
    assert found[["control", "setting", "loss", "vanilla"]].values.tolist() == [
        ["truth_probe", f"layer={layer}", "", loss] for layer in (8, 16) for loss in ("xent", "logconf")
    ]
    np.testing.assert_allclose(found["minus_vanilla"], [0.05, 0.03, 0.05, 0.03])


def test_saturated_datasets_stay_in_the_table_and_out_of_the_means():
    tables = against(table(both([0.8, 0.9, 0.999], [0.81, 0.92, 0.2]), d02=(0.9995, 0.9999)))
    assert tables.by_dataset["saturated"].tolist() == [False, False, True]
    assert only(tables)["minus_vanilla"] == pytest.approx(0.015)
    assert (only(tables)["num_datasets"], only(tables)["num_saturated"]) == (2, 1)
    assert "(1 saturated dataset left out.)" in sentence(only(tables))
    all_of_them = against(table(both([0.99], [0.5]), d00=(0.9995, 0.9999)))
    assert math.isnan(only(all_of_them)["minus_vanilla"])
    assert "all of its datasets (1) are saturated" in sentence(only(all_of_them))


def test_one_dataset_gives_a_mean_and_no_interval():
    row = only(against(table(both([0.8], [0.85]))))
    assert (row["minus_vanilla"], row["minus_vanilla_low"], row["minus_vanilla_high"]) == (0.05, -math.inf, math.inf)
    told = sentence(row)
    assert "test AUROC .850 (no interval) on one dataset; +.050 (no interval) against the vanilla xent student" in told
    assert told.endswith("One dataset gives this difference no interval: it is a description, and tells nothing apart.")
    assert "inf" not in told


def test_on_one_dataset_a_controls_auroc_has_the_interval_of_its_test_rows():
    scored = table(both([0.8], [0.85], "shuffled"))
    own = scored[(scored["purpose"] == "control") & (scored["split"] == "test")]
    summary = own.assign(student_auroc=0.85, student_low=0.81, student_high=0.88)
    row = only(against(scored, summary=summary))
    assert (row["auroc"], row["auroc_low"], row["auroc_high"]) == (0.85, 0.81, 0.88)
    assert math.isinf(row["minus_vanilla_low"])
    assert "test AUROC .850 [.810, .880] on one dataset" in sentence(row)
    two = table(both([0.8, 0.8], [0.85, 0.86], "shuffled"))  # means over datasets vary with the datasets
    assert only(against(two, summary=summary))["auroc_low"] == only(against(two))["auroc_low"]


def test_a_control_without_a_vanilla_student_is_still_set_against_the_supervisor():
    row = only(against(table([control("a", 0.75, "noise_matched"), control("b", 0.77, "noise_matched")])))
    assert math.isnan(row["minus_vanilla"])
    assert (row["vanilla"], row["num_unpaired"]) == ("", 2)
    assert row["minus_weak"] == pytest.approx(0.06)
    told = sentence(row)
    assert told.endswith(
        "against the weak supervisor (.700). (no run of a vanilla student of the same loss and settings on any dataset.)"
    )


def test_some_datasets_without_a_vanilla_student_are_counted():
    rows = [*both([0.8, 0.82], [0.81, 0.84]), control("d02", 0.5, "noise_matched")]
    row = only(against(table(rows)))
    assert (row["num_datasets"], row["num_unpaired"]) == (3, 1)
    assert row["minus_vanilla"] == pytest.approx(0.015)
    assert "(no run of a vanilla student of the same loss and settings on 1 dataset.)" in sentence(row)


def test_weak_labels_that_do_not_cover_test_leave_the_supervisor_unknown():
    frame = table(both([0.8, 0.82], [0.81, 0.84]))
    row = only(against(frame[frame["role"] != "weak"]))
    assert math.isnan(row["minus_weak"])
    assert "supervisor (" not in sentence(row)


def test_without_controls_there_is_nothing():
    tables = against(table([student("a", 0.8)]))
    assert tables.by_dataset.empty
    assert tables.overall.empty
    assert sentences(tables.overall) == []


@pytest.mark.parametrize(
    ("labels", "loss", "setting"),
    [("noise_matched", Xent(), ""), ("random", LogConf(alpha=0.3), "loss.alpha=.3"), ("constant", LogConf(), "")],
)
def test_a_control_is_named_by_its_labels(labels, loss, setting):
    row = {**named(Control(labels=labels), loss), "round": 0}
    assert ControlName.of(Contender.of(row)) == (labels, setting, loss.kind)


def test_scores_that_cannot_be_used():
    frame = table(both([0.8], [0.85]))
    with pytest.raises(DataError, match=r"the scores lack the column.s. purpose"):
        against(frame.drop(columns="purpose"))
    with pytest.raises(DataError, match="does not tell its labels in the column settings"):
        against(table([control("a", 0.8, "shuffled", settings="", method_id="")]))
    with pytest.raises(DataError, match="several pairs of models"):
        against(table([*both([0.8], [0.85]), student("d01", 0.8, strong="other")]))
    with pytest.raises(DataError, match="two different results for a, seed 0"):
        against(table([student("a", 0.8, key="1"), student("a", 0.8, key="2")]))


@pytest.mark.parametrize(
    ("labels", "own", "words"),
    [
        ("noise_matched", [0.85, 0.86, 0.87], "errors it can predict"),
        ("noise_matched", [0.75, 0.76, 0.77], "marking the hard texts"),
        ("noise_matched", [0.75, 0.80, 0.85], "It cannot be told from 0 here"),
        ("shuffled", [0.49, 0.52, 0.5], "cannot be told from .5, as it should be"),
        ("random", [0.60, 0.61, 0.62], "above .5: a weak sign over so few datasets"),
        ("random", [0.60, 0.61, 0.62, 0.59, 0.61], "yet the AUROC is above .5"),
        ("constant", [0.40, 0.41, 0.42, 0.39, 0.41], "yet the AUROC is below .5"),
    ],
)
def test_controls_of_labels_are_read_by_their_intervals(labels, own, words):
    vanilla = [0.8 + 0.01 * i for i in range(len(own))]
    told = sentence(only(against(table(both(vanilla, own, labels)))))
    assert words in told
    assert "nan" not in told


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (
            [0.70, 0.71, 0.69],
            "no good evidence of mere smoothing. The strong student is ahead of it by .110: compatible",
        ),
        ([0.74, 0.75, 0.76], "smoothing alone may account for that much. The strong student is ahead of it by .060"),
        ([0.80, 0.81, 0.83], "that much. The strong student cannot be told from it"),
        ([0.60, 0.61, 0.62], "loses against the supervisor"),
        ([0.90, 0.91, 0.92], "smoothing alone may account for that much."),
    ],
)
def test_weak_to_weak_is_read_as_smoothing(own, words):
    vanilla = [student(f"d{i}", 0.8 + 0.01 * i) for i in range(3)]
    rows = vanilla + [student(f"d{i}", auroc, method="weak_to_weak") for i, auroc in enumerate(own)]
    assert words in sentence(only(against(table(rows))))


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ([0.90, 0.91, 0.92], "something left to elicit"),
        ([0.70, 0.71, 0.72], "does more than to read off"),
        ([0.80, 0.82, 0.81], "cannot be told from this probe"),
    ],
)
def test_a_probe_on_ground_truth_is_read_as_salience(own, words):
    vanilla = [student(f"d{i}", 0.8 + 0.01 * i) for i in range(3)]
    probes = [student(f"d{i}", a, method="truth_probe", loss="", variant="layer=16") for i, a in enumerate(own)]
    assert words in sentence(only(against(table(vanilla + probes))))


def test_whole_sentences():
    rows = both([0.80, 0.81, 0.82], [0.83, 0.84, 0.86])
    rows += [control(f"d{i:02}", auroc, "shuffled") for i, auroc in enumerate([0.49, 0.5, 0.51])]
    matched, shuffled = sentences(against(table(rows)).overall)
    assert matched == (
        "noise_matched xent (the weak labels permuted within each true class: the same AUROC and calibration, errors "
        "independent of the text): test AUROC .843 [.805, .881] over 3 datasets; +.033 [+.019, +.048] against the vanilla "
        "xent student (.810); +.143 [+.105, +.181] against the weak supervisor (.700). Cost of structured errors, "
        "student(noise_matched) − student(p_weak): +.033 [+.019, +.048]. Labels as good by every count, but with errors "
        "that no text predicts, go with a better student: compatible with a student that imitates errors it can predict."
    )
    assert shuffled == (
        "shuffled xent (the weak labels permuted over all rows): test AUROC .500 [.475, .525] over 3 datasets; -.310 [-.310, "
        "-.310] against the vanilla xent student (.810); -.200 [-.225, -.175] against the weak supervisor (.700). These "
        "labels say nothing about single texts, and the AUROC cannot be told from .5, as it should be: what the vanilla "
        "student has above that goes with what its labels say about the texts."
    )


def test_a_control_of_someone_elses_is_told_without_a_reading():
    rows = [student(f"d{i}", 0.8) for i in range(2)]
    frame = table(rows + [student(f"d{i}", 0.7 + 0.1 * i, method="mixed", variant="share=.2") for i in range(2)])
    frame.loc[frame["method"] == "mixed", "purpose"] = "control"
    (told,) = sentences(against(frame).overall)
    assert told == (
        "mixed xent share=.2: test AUROC .750 [.115, 1.000] over 2 datasets; +.050 [-.585, +.685] against the weak "
        "supervisor (.700). (no run of a vanilla student of the same loss and settings on any dataset.)"
    )
