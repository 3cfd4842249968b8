"""Numbers in words: the same in the terminal and on the page."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from outshine.analysis.compare import compare
from outshine.analysis.results import MethodPGR
from outshine.metrics.pgr import PGR, PooledPGR
from outshine.report.comparison import conclusion
from outshine.report.words import auroc_text, pgr_text, pooled_sentence, short, signed_text, uncertainty, verdict
from study_tables import against_xent, scores

NAN = math.nan
DEFINED = PGR(0.42, 0.31, 0.55, True, "", 0.1, 0.25)
UNDEFINED = PGR(NAN, NAN, NAN, False, "the gap is not distinguishable from 0", 0.01, 0.0)


def pooled(these: PGR, num_datasets: int = 5, number: int = 0) -> MethodPGR:
    return MethodPGR(
        "vanilla", "alpha=.3", number, "logconf", PooledPGR(these, DEFINED, num_datasets, num_datasets < 10)
    )


@pytest.mark.parametrize(("value", "text"), [(0.8424, ".842"), (1.0, "1.000"), (0.0, ".000"), (0.9996, "1.000")])
def test_aurocs_have_three_places_and_no_leading_zero(value, text):
    assert short(value) == text


def test_intervals():
    assert auroc_text(0.5, 0.41, 0.59) == ".500 [.410, .590]"
    assert auroc_text(NAN, NAN, NAN) == "–"


def test_pgr_or_undefined_never_a_number_that_is_none():
    row = {"pgr": 0.42, "pgr_low": 0.31, "pgr_high": 0.55, "defined": True, "saturated": False}
    assert pgr_text(pd.Series(row)) == "0.42 [0.31, 0.55]"
    assert pgr_text(pd.Series({**row, "defined": False, "pgr": NAN, "saturated": True})) == "undefined (saturated)"


def test_the_pooled_sentence():
    assert pooled_sentence(pooled(DEFINED)) == (
        "Pooled PGR of vanilla logconf alpha=.3 over 5 datasets (ratio of sums): 0.42 [0.31, 0.55] for these datasets; "
        "0.42 [0.31, 0.55] for a population of datasets, exploratory."
    )
    assert "undefined, the gap is not distinguishable from 0." in pooled_sentence(pooled(UNDEFINED))
    assert "round 2" in pooled_sentence(pooled(DEFINED, number=2))
    assert "population" not in pooled_sentence(pooled(DEFINED, num_datasets=1))
    unknown = PooledPGR(DEFINED, UNDEFINED, 3, True)
    assert pooled_sentence(MethodPGR("vanilla", "", 0, "xent", unknown)).endswith(
        "; undefined for a population of datasets, exploratory."
    )


def test_the_verdict_follows_the_interval():
    assert verdict(pooled(DEFINED)).endswith("it outshines its supervisor.")
    assert verdict(pooled(DEFINED._replace(low=-0.1))).endswith("is not settled.")
    assert verdict(pooled(DEFINED._replace(value=-0.4, low=-0.6, high=-0.1))).endswith("falls behind its supervisor.")
    assert "cannot be said" in verdict(pooled(UNDEFINED))
    assert "42 % of the gap" in verdict(pooled(DEFINED))


@pytest.mark.parametrize(
    ("num_datasets", "words"),
    [
        (5, "With 5 datasets no difference, however large, can be shown: the smallest p"),  # 2 (1/2)^5 = .0625
        (6, "by the evidence logconf helps on a typical dataset"),  # 2 (1/2)^6 = .03125, which all wins reach
    ],
)
def test_the_conclusion_says_when_so_few_datasets_could_not_have_shown_it(num_datasets, words):
    table = scores(against_xent([0.01 * (i + 1) for i in range(num_datasets)]))
    assert words in conclusion(compare(table, baseline="xent"))


def test_holms_correction_counts_in_what_could_have_been_shown():
    several = [row for loss in ("logconf", "window", "entropy") for row in against_xent([0.01] * 7, loss)]
    unique = {row["key"]: row for row in several}
    other = [{**row, "auroc": row["auroc"] - 0.02 * (i % 2)} for i, row in enumerate(unique.values())]
    told = conclusion(compare(scores(other), baseline="xent"))
    assert told.endswith(
        "(Wilcoxon's test over datasets, two-sided, p < .05 after Holm's correction)."
    )  # 6 / 128 is below


def rows(*aurocs: tuple[float, float, float], seeds: int = 3) -> pd.DataFrame:
    """A method's rows of the summary: AUROCs of supervisor, student and ceiling, a dataset each."""
    frame = pd.DataFrame(aurocs, columns=["weak_auroc", "student_auroc", "ceiling_auroc"])
    return frame.assign(student_minus_weak=frame["student_auroc"] - frame["weak_auroc"], num_seeds=seeds)


def test_what_stands_behind_the_answer():
    told = uncertainty(pooled(DEFINED, 2), rows((0.6, 0.7, 0.9), (0.8, 0.75, 0.95)))
    assert told == [
        "Mean test AUROC over 2 datasets: supervisor .700, student .725, ceiling .925. "
        "The student is ahead of its supervisor on 1 of 2 datasets.",
        "3 seeds: the interval covers the choice of test rows and of seeds, for these 2 datasets only.",
        "For other datasets of the kind it is 31 % to 55 % (exploratory: 2 datasets are few).",
    ]


def test_one_dataset_and_one_seed_say_no_more_than_they_can():
    told = uncertainty(pooled(DEFINED, 1), rows((0.6, 0.7, 0.9), seeds=1))
    assert told == [
        "Test AUROC: supervisor .600, student .700, ceiling .900.",
        "One seed: the interval covers the choice of test rows of this dataset, for these trained models only.",
    ]


def test_an_unknown_supervisor_has_no_mean():
    told = " ".join(uncertainty(pooled(UNDEFINED, 0), rows((NAN, 0.7, 0.9))))
    assert "nan" not in told
    assert "AUROC" not in told
    several = uncertainty(pooled(DEFINED, 20), rows((NAN, 0.7, 0.9), (0.6, 0.7, 0.9)))
    assert several[0] == "Test AUROC: supervisor .600, student .700, ceiling .900."
    assert "exploratory" not in several[-1]


@pytest.mark.parametrize(("value", "text"), [(0.031, "+.031"), (-0.012, "−.012"), (0.0004, ".000"), (NAN, "–")])
def test_differences_have_a_sign(value, text):
    assert signed_text(value) == text
