"""Numbers in words: the same in the terminal and on the page."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from outshine.report.compare_section import conclusion
from outshine.report.text import (
    auroc_text,
    decimal_text,
    pgr_text,
    pooled_sentence,
    signed_text,
    uncertainty,
    verdict,
)
from outshine.results.compare import compare
from outshine.results.results import MethodPGR
from outshine.stats.pgr import PGR, PooledPGR
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
    assert decimal_text(value) == text


def test_intervals():
    assert auroc_text(0.5, 0.41, 0.59) == ".500 [.410, .590]"
    assert auroc_text(NAN, NAN, NAN) == "–"


def test_pgr_or_undefined_never_a_number_that_is_none():
    row = {"pgr": 0.42, "pgr_low": 0.31, "pgr_high": 0.55, "defined": True, "saturated": False}
    assert pgr_text(pd.Series(row)) == "0.42 [0.31, 0.55]"
    assert pgr_text(pd.Series({**row, "defined": False, "pgr": NAN, "saturated": True})) == "undefined (saturated)"


def method_rows(*lows_and_highs: tuple[float, float] | None, seeds: int = 3, saturated: int = 0) -> pd.DataFrame:
    """A method's rows of the summary: the limits of each dataset's own PGR; None where it has no gap."""
    num = len(lows_and_highs)
    limits = [one or (NAN, NAN) for one in lows_and_highs]
    frame = pd.DataFrame(limits, columns=["pgr_low", "pgr_high"])
    return frame.assign(
        dataset=[f"d{number}" for number in range(num)],
        num_seeds=seeds,
        weak_auroc=0.6,
        student_auroc=0.7,
        ceiling_auroc=0.9,
        student_minus_weak=0.1,
        defined=[one is not None for one in lows_and_highs],
        saturated=[number >= num - saturated for number in range(num)],
    )


AHEAD, BEHIND, OPEN = (0.2, 0.6), (-0.6, -0.2), (-0.3, 0.4)
FIVE = method_rows(AHEAD, AHEAD, OPEN, OPEN, AHEAD)
FEW = method_rows(AHEAD, None, None, None, None)


def test_the_pooled_sentence():
    assert pooled_sentence(pooled(DEFINED), FIVE) == (
        "Pooled PGR of vanilla logconf alpha=.3 over 5 datasets (ratio of sums): 0.42 [0.31, 0.55] for these datasets; "
        "0.42 [0.31, 0.55] for a population of datasets, exploratory."
    )
    assert "undefined, the gap is not distinguishable from 0." in pooled_sentence(pooled(UNDEFINED), FIVE)
    assert "round 2" in pooled_sentence(pooled(DEFINED, number=2), FIVE)
    assert "population" not in pooled_sentence(pooled(DEFINED, num_datasets=1), method_rows(AHEAD))
    unknown = PooledPGR(DEFINED, UNDEFINED, 3, True)
    three = method_rows(AHEAD, AHEAD, None)
    assert pooled_sentence(MethodPGR("vanilla", "", 0, "xent", unknown), three).endswith(
        "; undefined for a population of datasets, exploratory; "
        "1 of 3 has no gap between supervisor and ceiling that can be told from 0."
    )


def test_a_ratio_of_sums_that_rests_on_few_datasets_is_no_result():
    """Four of five datasets without a gap: what was printed as −1.55 is a ratio of one gap and four times noise."""
    lone = MethodPGR("vanilla", "", 0, "xent", PooledPGR(DEFINED, UNDEFINED, 5, True))
    told = [pooled_sentence(lone, FEW), verdict(lone, FEW), *uncertainty(lone, FEW)]
    assert told[0] == (
        "Pooled PGR of vanilla xent over 5 datasets: none is given, "
        "4 of 5 have no gap between supervisor and ceiling that can be told from 0, and the rest are too few."
    )
    assert told[1].startswith("How much of the gap the student recovers cannot be said: of the datasets 4 of 5 have no")
    assert "42" not in " ".join(told)
    assert "interval" not in " ".join(told)


def test_small_gaps_that_are_there_over_datasets_as_well_are_a_result():
    small = pooled(DEFINED)  # the gap is above 0 over a population of datasets too
    assert "0.42 [0.31, 0.55] for these datasets" in pooled_sentence(small, FEW)
    assert "Of the datasets 4 of 5 have no gap" in " ".join(uncertainty(small, FEW))


def test_the_verdict_follows_the_interval():
    assert verdict(pooled(DEFINED), FIVE) == (
        "On these 5 datasets taken together the student recovers 42 % of the gap between supervisor and ceiling "
        "(95 % interval 31 % to 55 %): it outshines its supervisor on the whole, and on 3 of the 5 by their own intervals."
    )
    assert verdict(pooled(DEFINED._replace(low=-0.1)), method_rows(AHEAD, AHEAD, BEHIND, OPEN, OPEN)).endswith(
        "whether it outshines its supervisor is not settled; by their own intervals it is ahead on 2 of the 5 and "
        "behind on 1."
    )
    behind = DEFINED._replace(value=-0.4, low=-0.6, high=-0.1)
    assert verdict(pooled(behind), method_rows(BEHIND, *[OPEN] * 4)).endswith(
        "it falls behind its supervisor on the whole, and on 1 of the 5 by their own intervals."
    )
    assert "cannot be said" in verdict(pooled(UNDEFINED), FIVE)


def test_the_verdict_speaks_of_what_was_measured_only():
    one = verdict(pooled(DEFINED, 1), method_rows(AHEAD, seeds=1))
    assert one.startswith("On d0, with these trained models, the student recovers 42 %")
    assert one.endswith("it outshines its supervisor.")
    assert "taken together" not in one
    two = verdict(pooled(DEFINED, 2), method_rows(AHEAD, OPEN, AHEAD, saturated=1))
    assert two.startswith("On these 2 datasets taken together the student")
    assert two.endswith("on the whole, and on 1 of the 2 by their own intervals.")


def test_there_is_no_verdict_from_models_that_did_not_learn():
    assert verdict(pooled(DEFINED), FIVE, {"d0", "d1"}) == verdict(pooled(DEFINED), FIVE)
    assert verdict(pooled(DEFINED), FIVE, {"d0", "d1", "d2"}).endswith(
        ", from which nothing follows: student or ceiling are not shown to have learned on 3 of the 5."
    )
    assert verdict(pooled(DEFINED, 1), method_rows(AHEAD), {"d0"}).endswith("not shown to have learned.")


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
    gain = frame["student_auroc"] - frame["weak_auroc"]
    return method_rows(*[AHEAD] * len(frame), seeds=seeds).assign(**frame, student_minus_weak=gain)


def test_what_stands_behind_the_answer():
    told = uncertainty(pooled(DEFINED, 2), rows((0.6, 0.7, 0.9), (0.8, 0.75, 0.95)))
    assert told == [
        "Mean test AUROC over 2 datasets: supervisor .700, student .725, ceiling .925. "
        "It is higher for the student than for its supervisor on 1 of them.",
        "3 seeds: the interval covers the choice of test rows and of seeds, for these 2 datasets only.",
        "If these datasets were drawn at random from their kind, the kind's share lies between 31 % and 55 % (95 % interval); "
        "exploratory: 2 datasets are few.",
    ]


def test_saturated_datasets_are_in_no_mean_and_are_named():
    own = rows((0.6, 0.7, 0.9), (0.9995, 0.9995, 0.9996)).assign(saturated=[False, True])
    assert uncertainty(pooled(DEFINED, 1), own)[0] == (
        "Test AUROC: supervisor .600, student .700, ceiling .900. Saturated and left out: 1 dataset."
    )


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
