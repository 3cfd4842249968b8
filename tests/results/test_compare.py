"""Comparisons over datasets: the table against scipy on the raw differences, Holm, noise floor, sentences."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from outshine.engine.errors import DataError
from outshine.engine.messages import decimals
from outshine.report.compare_section import comparison_sentences, comparison_tables, conclusion
from outshine.results.compare import compare, skewness
from outshine.results.compare_text import (
    caveats,
    left_out_text,
    noise_sentence,
    p_cell,
    p_text,
    too_few_datasets,
    verdict,
)
from outshine.w2s.fewest_datasets import cannot_show
from study_tables import against_xent, pgrs, scores, student

# 16 wins of 21, t-test .135, Wilcoxon .079, sign test .013: the figures of the original post
LIKE_THE_POST = [0.0019, 0.002, 0.0021, 0.0036, 0.0057, -0.0083, 0.0089, 0.0093, 0.0096, 0.011, 0.0113, 0.0167]
LIKE_THE_POST += [-0.0172, 0.0178, 0.0179, -0.0182, 0.0279, 0.0365, -0.0407, -0.0452, 0.0914]


def two_methods(first: list[float], second: list[float]) -> pd.DataFrame:
    return scores(against_xent(first) + against_xent(second, loss="window")[len(second) :])


def test_the_table_is_scipys_on_the_raw_differences():
    rng = np.random.default_rng(0)
    seeds = [rng.normal(0.01, 0.03, 12).round(6) for _ in range(3)]
    table = scores([row for seed, d in enumerate(seeds) for row in against_xent(list(d), seed=seed)])
    (one,) = compare(table, baseline="xent").methods
    d = np.mean(seeds, axis=0)
    assert (one.wins, one.losses, one.ties) == ((d > 0).sum(), (d < 0).sum(), 0)
    assert one.wilcoxon.better == pytest.approx(stats.wilcoxon(d, alternative="greater", method="exact").pvalue)
    assert one.wilcoxon.two_sided == pytest.approx(stats.wilcoxon(d, method="exact").pvalue)
    assert one.t.better == pytest.approx(stats.ttest_1samp(d, 0, alternative="greater").pvalue)
    assert one.sign.better == pytest.approx(stats.binomtest(one.wins, 12, alternative="greater").pvalue)
    limits = stats.ttest_1samp(d, 0).confidence_interval()
    np.testing.assert_allclose(one.mean[:3], [d.mean(), limits.low, limits.high])
    walsh = [(d[i] + d[j]) / 2 for i in range(12) for j in range(i, 12)]
    assert one.hodges_lehmann.value == pytest.approx(np.median(walsh))
    assert one.median.value == pytest.approx(np.median(d))
    assert one.skewness == pytest.approx(stats.skew(d))
    assert one.p == one.holm == one.wilcoxon.two_sided
    assert (one.t_holm, one.sign_holm) == (one.t.two_sided, one.sign.two_sided)
    assert one.least_p == 2 / 2**12


def test_ties_and_zeros_survive_the_arithmetic_of_floats():
    """.8 + d − .8 is not d to the last bit; ranks must tie all the same."""
    (one,) = compare(scores(against_xent([0.1, -0.1, 0.1, 0.0, 0.2, 0.3])), baseline="xent").methods
    assert (one.wins, one.losses, one.ties) == (4, 1, 1)
    assert one.wilcoxon.statistic == 3 + 3 + 5 + 6  # ranks 1 (zero), 3, 3, 3, 5, 6


def test_holm_runs_over_the_methods_of_the_study():
    first, second = [0.01 * k for k in range(1, 9)], [0.01 * k for k in (-1, 2, 3, -4, 5, 6, 7, 8)]
    one, two = compare(two_methods(first, second), baseline="xent").methods
    assert one.holm == pytest.approx(2 * one.wilcoxon.two_sided)
    assert two.holm == pytest.approx(max(one.holm, two.wilcoxon.two_sided))
    assert one.sign_holm == pytest.approx(2 * one.sign.two_sided)
    assert one.least_p == two.least_p == pytest.approx(2 * 2 / 2**8)


def test_the_least_p_of_fewer_datasets_is_that_where_other_methods_pass_first():
    """Of 8 and 6 datasets: 2/2⁸ times two, and 2/2⁶ times one."""
    first, second = [0.01 * k for k in range(1, 9)], [0.01 * k for k in range(1, 7)]
    rows = against_xent(first) + [one for one in against_xent(second, loss="window") if one["loss"] == "window"]
    one, two = compare(scores(rows), baseline="xent").methods
    assert (one.num_datasets, two.num_datasets) == (8, 6)
    assert one.holm == one.least_p == pytest.approx(2 * 2 / 2**8)
    assert two.holm == two.least_p == pytest.approx(2 / 2**6)
    assert math.isinf(two.noise.detectable)
    sentence = noise_sentence(compare(scores(rows), baseline="xent"), two)
    assert "none for Wilcoxon's test (two-sided, level .05/2), which so few datasets reach only where other" in sentence


def test_the_posts_figures_are_one_sided_and_the_sentence_is_not():
    compared = compare(scores(against_xent(LIKE_THE_POST)), baseline="xent")
    one = compared.methods[0]
    assert [round(p, 3) for p in (one.wilcoxon.better, one.t.better, one.sign.better)] == [0.079, 0.135, 0.013]
    assert verdict(compared, "logconf") == (
        "logconf beats xent on 16 of 21 datasets; there is no good evidence that it helps or hurts on a typical dataset "
        "(Wilcoxon p = .157, two-sided). The tests disagree: the sign test (p = .027) would say that it helps."
    )


def test_a_declared_direction_makes_all_tests_one_sided_and_the_sentence_says_so():
    table = scores(against_xent(LIKE_THE_POST))
    compared = compare(table, baseline="xent", declared=["xent"])
    assert compared.one_sided
    assert compared.methods[0].holm == compared.methods[0].wilcoxon.better
    assert verdict(compared, "logconf") == (
        "logconf beats xent on 16 of 21 datasets; there is no good evidence that it helps on a typical dataset "
        "(Wilcoxon p = .079, one-sided as the study declared). The tests disagree: the sign test (p = .013) would say "
        "that it helps."
    )
    assert caveats(compared) == []


def test_a_direction_is_only_the_declared_one():
    """Five losses of five: one-sided for better they say nothing, and better than another baseline was not declared."""
    table = scores(against_xent([-0.01, -0.02, -0.03, -0.04, -0.05, -0.06]))
    assert "hurts" in verdict(compare(table, baseline="xent"), "logconf")
    declared = compare(table, baseline="xent", declared=["xent"])
    assert "no good evidence that it helps on a typical dataset (Wilcoxon p = 1.000" in verdict(declared, "logconf")
    turned = compare(table, baseline="logconf", declared=["xent"])
    assert not turned.one_sided
    assert "Wilcoxon p = .031, two-sided" in verdict(turned, "xent")
    assert "the study declared its methods better than xent, not than logconf: tests are two-sided" in caveats(turned)


def test_studies_that_declare_different_things_are_tested_two_sided():
    table = scores(against_xent([0.01, 0.02, 0.03, 0.04, 0.05, 0.06]))
    for declared in (["xent", None], ["xent", "logconf"], [None, None], []):
        compared = compare(table, baseline="xent", declared=declared)
        assert not compared.one_sided
        assert any("different directions" in told for told in caveats(compared)) == (len(set(declared)) > 1)
    assert compare(table, baseline="xent", declared=["xent", "xent"]).one_sided
    assert compare(table, baseline="xent", declared=["vanilla xent"]).one_sided  # other words for the same method
    assert not compare(table, baseline="xent", declared=["no such method"]).one_sided


@pytest.mark.parametrize(
    ("differences", "words"),
    [
        (
            [0.01 * k for k in range(1, 11)],
            "10 of 10 datasets; the evidence that it helps on a typical dataset is strong",
        ),
        (
            [-0.01 * k for k in range(1, 11)],
            "0 of 10 datasets; the evidence that it hurts on a typical dataset is strong",
        ),
        (
            [0.01 * k for k in range(1, 7)],
            "6 of 6 datasets; the evidence that it helps on a typical dataset is moderate",
        ),
        ([0.01 * k for k in range(1, 6)], "5 datasets are too few to show whether it helps or hurts"),
        ([0.1, 0.2], "(Wilcoxon p = .500, two-sided; the least that is possible is .500)"),
        ([0.01, -0.012, 0.02, -0.022, 0.03, 0.04], "4 of 6 datasets; there is no good evidence that it helps or hurts"),
        ([0.0, 0.0, 0.0], "0 of 3 datasets (3 tied); 3 datasets are too few"),
    ],
)
def test_the_sentence_follows_the_primary_test(differences, words):
    sentence = verdict(compare(scores(against_xent(differences)), baseline="xent"), "logconf")
    assert words in sentence
    assert "nan" not in sentence


def test_the_sentence_of_several_methods_follows_the_corrected_p():
    """p = 2/64 is moderate alone, and as one of two methods six datasets cannot reach .05; seven can."""
    first, second = [0.01 * k for k in range(1, 8)], [0.01, -0.02, 0.03, -0.04, 0.05, 0.06, -0.01]
    few = compare(two_methods(first[:6], second[:6]), baseline="xent")
    assert "6 datasets are too few for 2 methods to show" in verdict(few, "logconf")
    assert "(Wilcoxon p = .031, two-sided; p = .062 after Holm's correction over 2 methods; the least that" in verdict(
        few, "logconf"
    )
    more = compare(two_methods(first, second), baseline="xent")
    assert "helps on a typical dataset is moderate (Wilcoxon p = .016, two-sided; p = .031 after Holm's correction" in (
        verdict(more, "logconf")
    )


def test_too_few_datasets_are_said_first_and_by_one_sentence():
    compared = compare(scores(against_xent([0.1, 0.2, 0.3, 0.4])), baseline="xent")
    assert (
        comparison_sentences(compared, None)[0]
        == too_few_datasets(compared)
        == (
            "With 4 datasets no difference, however large, can be shown: the smallest p that Wilcoxon's test can give is "
            ".125 (two-sided); at least 6 datasets are needed."
        )
    )
    assert conclusion(compared).endswith(too_few_datasets(compared))
    assert too_few_datasets(compare(scores(against_xent([0.1] * 6)), baseline="xent")) == ""
    assert cannot_show(5, 1) != ""
    assert cannot_show(5, 1, one_sided=True) == ""
    assert cannot_show(6, 12).endswith(
        "can give is .375 (two-sided after Holm's correction over 12 methods); at least 9 datasets are needed"
    )


def test_a_floor_below_the_last_digit_is_not_said_to_be_nothing():
    compared = compare(scores(against_xent([0.01 + 1e-5 * k for k in range(7)])), baseline="xent")
    sentence = noise_sentence(compared, compared.methods[0])
    assert "with power .8 is below .001 AUROC (below .001 PGR), if" in sentence
    assert ".000" not in sentence


def test_differences_that_do_not_vary_claim_no_certainty():
    compared = compare(scores(against_xent([0.1] * 7)), baseline="xent")
    one = compared.methods[0]
    assert math.isnan(one.t.two_sided)
    assert math.isnan(one.t_holm)
    assert (one.mean.value, one.mean.low, one.mean.high) == (pytest.approx(0.1), -math.inf, math.inf)
    assert "differences are the same on all 7 datasets" in caveats(compared)[0]
    assert "The tests disagree" not in verdict(compared, "logconf")
    assert "unknown, since the differences do not vary" in noise_sentence(compared, one)
    assert "nan" not in " ".join(cell for sheet in comparison_tables(compared) for row in sheet.rows for cell in row)


def test_tests_that_point_to_opposite_sides_are_named_with_their_sides():
    """Many small gains and a few large losses: the sign test is for the method, the t-test against it."""
    d = [0.001 + 1e-5 * k for k in range(16)] + [-0.1 - 1e-4 * k for k in range(5)]
    sentence = verdict(compare(scores(against_xent(d)), baseline="xent"), "logconf")
    assert "there is no good evidence that it helps or hurts" in sentence
    sign, t = stats.binomtest(16, 21).pvalue, stats.ttest_1samp(d, 0).pvalue
    assert (
        f"the sign test ({p_text(sign)}) would say that it helps and the t-test ({p_text(t)}) would say that it hurts"
        in (sentence)
    )


def test_the_sentence_tells_where_pgr_disagrees():
    """A small gain on a wide gap and losses on narrow ones: AUROC is for the method, PGR is not."""
    gains = [0.03, 0.031, 0.032, 0.033, 0.034, 0.035, 0.036, -0.004, -0.005]
    table = scores(against_xent(gains), d07=(0.79, 0.80), d08=(0.79, 0.80))
    on_auroc, on_pgr = (compare(table, pgrs(table), baseline="xent", metric=metric) for metric in ("auroc", "pgr"))
    sentence = verdict(on_auroc, "logconf", on_pgr)
    assert "helps on a typical dataset is moderate" in sentence
    assert "Wilcoxon's test on PGR (p = " in sentence
    assert "does not show it" in sentence
    assert "(a secondary measure)" in verdict(on_pgr, "logconf")


def test_better_baselines_are_not_named_better_methods():
    forward = compare(scores(against_xent(LIKE_THE_POST)), baseline="xent").methods[0]
    backward = compare(scores(against_xent(LIKE_THE_POST)), baseline="logconf").methods[0]
    assert backward.wins == forward.losses
    assert backward.wilcoxon.worse == pytest.approx(forward.wilcoxon.better)
    assert backward.mean.value == pytest.approx(-forward.mean.value)


def test_the_posterior_is_there_where_a_rope_is():
    table = scores(against_xent(LIKE_THE_POST))
    assert compare(table, baseline="xent").methods[0].posterior is None
    found = compare(table, baseline="xent", rope=0.005)
    posterior = found.methods[0].posterior
    assert posterior is not None
    assert sum(posterior) == pytest.approx(1)
    assert posterior.above > posterior.below
    assert found == compare(table, baseline="xent", rope=0.005)  # the same draws every time


SIX = [0.01, 0.02, 0.03, 0.05, 0.07, 0.09]


def test_the_noise_floor_by_hand():
    """Six datasets, two seeds .01 apart; six of six must win: Φ(floor/σ)⁶ = .8."""
    table = scores(against_xent(SIX) + against_xent([one + 0.01 for one in SIX], seed=1))
    noise = compare(table, baseline="xent").methods[0].noise
    seeds, observed = 0.01**2 / 2, float(np.var(SIX, ddof=1))
    assert noise.components.seeds == pytest.approx(seeds)
    assert noise.components.datasets == pytest.approx(observed - seeds / 2)
    assert noise.sd == pytest.approx(math.sqrt(observed))
    assert noise.tail == 0.025
    assert stats.norm.cdf(noise.detectable / noise.sd) ** 6 == pytest.approx(0.8, abs=0.012)
    assert noise.mean_gap == pytest.approx(0.2)
    assert noise.in_pgr(noise.detectable) == pytest.approx(noise.detectable / 0.2)
    assert noise.observed.effect == pytest.approx(np.mean(SIX) + 0.005)
    assert noise.target.effect == pytest.approx(0.05 * 0.2)
    assert noise.target.datasets == pytest.approx((2.8 / 0.01) ** 2 * observed * math.pi / 3, rel=0.05)
    assert noise.target.seeds == math.inf


def test_the_noise_floor_in_words():
    both = compare(scores(against_xent(SIX) + against_xent([one + 0.01 for one in SIX], seed=1)), baseline="xent")
    one = both.methods[0]
    floor, sd, datasets = one.noise.detectable, one.noise.sd, int(one.noise.target.datasets)
    assert noise_sentence(both, one) == (
        "Noise floor of logconf − xent (6 datasets × 2 seeds): the smallest true mean difference that Wilcoxon's test "
        f"(two-sided, level .05) finds with power .8 is {decimals(floor)} AUROC ({decimals(5 * floor)} PGR), if "
        f"differences between datasets are normal with the standard deviation estimated here, {decimals(sd)}. By the "
        f"standard deviation of these 6 datasets a PGR difference of .05 needs {datasets} datasets at these seeds, and no "
        "number of seeds on these datasets is enough."
    )
    single = compare(scores(against_xent(SIX)), baseline="xent")
    sentence = noise_sentence(single, single.methods[0])
    assert "× 1 seed)" in sentence
    assert "unknown number of seeds" in sentence


@pytest.mark.parametrize("num_datasets", [2, 4, 5])
def test_a_floor_that_the_test_cannot_reach_is_none(num_datasets):
    """Differences that hardly vary: power of the normal formula, none of the exact test."""
    compared = compare(scores(against_xent([0.15 + 1e-4 * k for k in range(num_datasets)])), baseline="xent")
    one = compared.methods[0]
    assert math.isinf(one.noise.detectable)
    assert one.noise.target.datasets == one.noise.observed.datasets == 6
    assert noise_sentence(compared, one).startswith(
        f"Noise floor of logconf − xent ({num_datasets} datasets × 1 seed): none, since no difference, however large, "
        f"can be shown. By the standard deviation of these {num_datasets} datasets a PGR difference of .05 needs 6 datasets"
    )


def test_a_gap_that_is_not_above_zero_gives_no_pgr():
    compared = compare(scores(against_xent(SIX), weak=0.9, ceiling=0.8), baseline="xent")
    noise = compared.methods[0].noise
    assert math.isnan(noise.in_pgr(noise.detectable))
    sentence = noise_sentence(compared, compared.methods[0])
    assert "(– PGR)" in sentence
    assert "not above 0" in sentence
    assert "nan" not in sentence


def test_undefined_pgrs_are_counted_and_named():
    table = scores(against_xent([0.02, 0.04, 0.06, 0.08]))
    compared = compare(table, pgrs(table, {"d01": "the gap is noise", "d03": "no gap"}), baseline="xent", metric="pgr")
    assert (compared.methods[0].num_datasets, compared.methods[0].num_left_out) == (2, 2)
    assert left_out_text(compared) == ["2 datasets left out, PGR undefined: d01 (the gap is noise), d03 (no gap)"]


def test_what_is_left_out_for_one_method_only_says_so():
    rows = against_xent([0.01, 0.02, 0.03]) + against_xent([0.01, 0.02], loss="window")[2:]
    compared = compare(scores(rows, d00=(0.9995, 0.9999)), baseline="xent")
    assert compared.too_few == ("window",)
    assert left_out_text(compared) == [
        "1 dataset left out, saturated (supervisor and ceiling both above 0.999): d00",
        "1 dataset left out for window, no result of window: d02",
    ]
    assert "window: fewer than two datasets, no test" in caveats(compared)
    assert "no test can be made" in verdict(compared, "window")


def test_caveats_tell_of_skew_and_seeds():
    rows = against_xent([0.001, 0.002, 0.003, 0.004, 0.3]) + against_xent([0.001], seed=1)[1:]
    told = caveats(compare(scores(rows), baseline="xent"))
    assert len(told) == 2
    assert "skewed (+1.5)" in told[0]
    assert told[1] == "d00, logconf: 1 of 2 seeds left out (not run for both, or AUROC undefined)"
    assert caveats(compare(scores(against_xent([0.01, 0.02, 0.03])), baseline="xent")) == []


def test_many_datasets_are_said_to_be_approximate():
    d = np.random.default_rng(1).normal(0, 0.01, 70)
    (told,) = caveats(compare(scores(against_xent(list(d))), baseline="xent"))
    assert "normal approximation" in told
    few = [row for row in against_xent(list(d[:40]), loss="entropy") if row["loss"] == "entropy"]
    both = compare(scores([*few, *against_xent(list(d))]), baseline="xent")
    assert [one.method for one in both.methods] == ["entropy", "logconf"]
    assert "Wilcoxon's p of logconf: normal approximation with continuity correction" in caveats(both)


def test_a_single_dataset_cannot_be_compared_over():
    table = scores(against_xent([0.1, 0.2, 0.3]), d00=(0.9995, 1.0), d01=(0.9995, 1.0))
    with pytest.raises(DataError, match=r"two or more .* xent; there is 1 \(d02\); left out: d00: saturated .*; d01"):
        compare(table, baseline="xent")
    with pytest.raises(DataError, match="there is none; left out: a: no result of logconf"):
        compare(scores([student("a", 0.8), student("b", 0.8, loss="logconf")]), baseline="xent")


def test_the_frame_has_a_number_in_every_column():
    compared = compare(two_methods([0.01, 0.03, -0.02], [0.02, 0.01, 0.05]), baseline="xent", rope=0.005)
    frame = compared.frame()
    assert list(frame["method"]) == ["logconf", "window"]
    one = compared.methods[0]
    row = frame.iloc[0]
    assert row["wilcoxon_better"] == one.wilcoxon.better
    assert (row["mean"], row["mean_low"]) == (one.mean.value, one.mean.low)
    assert row["posterior_above"] == pytest.approx(one.posterior.above if one.posterior else None)
    assert row["datasets_for_target"] == one.noise.target.datasets
    assert not [column for column in frame if frame[column].map(lambda value: isinstance(value, tuple)).any()]
    assert "posterior_above" not in compare(two_methods([0.01, 0.03], [0.02, 0.01]), baseline="xent").frame()


def test_skewness():
    assert skewness([0.1, 0.1, 0.1]) == 0
    d = np.random.default_rng(2).lognormal(size=20)
    assert skewness(d) == pytest.approx(stats.skew(d))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0787, ".079"), (1.0, "1.000"), (-0.0123, "-.012"), (-0.0001, ".000"), (0.9996, "1.000"), (-1.5, "-1.500")],
)
def test_decimals(value, text):
    assert decimals(value) == text


def test_numbers_that_are_none():
    assert (decimals(math.nan), decimals(math.inf), decimals(-math.inf)) == ("–", "∞", "-∞")
    assert p_text(0.0004) == "p < .001"
    assert p_text(0.0133) == "p = .013"
    assert (p_cell(0.0004), p_cell(0.001), p_cell(1.0)) == ("< .001", ".001", "1.000")
