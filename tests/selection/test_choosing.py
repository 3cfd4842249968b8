"""Choosing without ground truth: rules and trusted labels against brute force, the oracle's flattery, regrets by hand."""

from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_auc_score

from outshine.selection.candidates import CandidateSet, EvaluationRows, shares
from outshine.selection.regret import REGRET_COLUMNS, TRUSTED, ask_oracle, regrets
from outshine.selection.rules import (
    RULES,
    agreement,
    budgets,
    confidence,
    consistency,
    last,
    orders,
    trusted_shares,
    weak_auroc,
)
from outshine.stats.auroc import soft_auroc

ABOUT = {"dataset": "d", "weak": "w", "strong": "s", "purpose": "", "method": "", "variant": "", "round": 0, "loss": ""}
ABOUT |= {"data_seed": 0, "seed": 0}


def rows(y: np.ndarray, groups: list[str] | None = None) -> EvaluationRows:
    ids = [f"{number:03}" for number in range(len(y))]
    return EvaluationRows(ids, np.asarray(y) > 0, groups or ids)


def choice(seed: int = 0, m: int = 4, v: int = 60, t: int = 80, twins: int = 2, **changed) -> CandidateSet:
    """Candidates of different worth on random rows; the weak labels are right three times in four."""
    rng = np.random.default_rng(seed)
    y_val, y_test = (rng.permutation(np.arange(n) % 2 == 0) for n in (v, t))
    signal = np.linspace(0.2, 1.5, m)[:, None]

    def scores(y: np.ndarray) -> np.ndarray:
        return signal * (2 * y - 1) + rng.normal(size=(m, len(y)))

    right = np.where(rng.uniform(size=v) < 0.75, y_val, ~y_val)
    made = CandidateSet(
        kind="method",
        about=ABOUT,
        saturated=False,
        names=tuple("abcdefgh"[:m]),
        val=rows(y_val),
        p_weak=np.clip(0.5 + 0.3 * (2 * right - 1) + rng.normal(0, 0.05, v), 0, 1),
        val_metric="hard",
        on_val=scores(y_val),
        twins=np.stack([scores(y_val) for _ in range(twins)]) if twins else np.zeros((0, m, v)),
        test=rows(y_test),
        on_test=scores(y_test),
    )
    return made._replace(**changed)


def test_the_rules_by_their_definitions():
    one = choice()
    weak = one.p_weak > 0.5
    assert weak_auroc(one) == pytest.approx([roc_auc_score(weak, own) for own in one.on_val])
    for number, own in enumerate(one.on_val):
        p = expit(own)
        assert agreement(one)[number] == sum((p > 0.5) == weak) / 60
        assert confidence(one)[number] == pytest.approx(np.mean([abs(2 * one_p - 1) for one_p in p]))
        same = [sum((expit(twin[number]) > 0.5) == (p > 0.5)) / 60 for twin in one.twins]
        assert consistency(one)[number] == pytest.approx(np.mean(same))
    assert last(one).tolist() == [0, 1, 2, 3]


def test_weak_labels_count_as_training_takes_them():
    """Soft where the study says so; split by rank where nearly all lie on one side; nothing where they are equal."""
    soft = choice(val_metric="soft")
    assert weak_auroc(soft) == pytest.approx([soft_auroc(soft.p_weak, own) for own in soft.on_val])
    low = choice()
    low = low._replace(p_weak=low.p_weak / 3)
    upper = low.p_weak >= np.sort(low.p_weak)[30]
    assert weak_auroc(low) == pytest.approx([roc_auc_score(upper, own) for own in low.on_val])
    assert weak_auroc(choice(p_weak=np.full(60, 0.4))) is None


def test_no_other_seed_no_consistency():
    assert consistency(choice(twins=0)) is None
    frame = regrets("s", [choice(twins=0)], num_draws=3)
    assert set(frame["rule"]) == {"weak_auroc", "agreement", "confidence", "random", TRUSTED}


def test_no_label_free_rule_sees_the_truth_of_val_and_trusted_labels_see_no_weak_ones():
    one = choice()
    lied = one._replace(val=one.val._replace(y=~one.val.y))
    shown = one._replace(p_weak=1 - one.p_weak)
    true, flipped, other = (regrets("s", [own], num_draws=20) for own in (one, lied, shown))
    free = true["rule"] != TRUSTED
    pd.testing.assert_frame_equal(true[free], flipped[free])
    pd.testing.assert_frame_equal(true[~free], other[~free])
    assert (true.loc[~free, "auroc"].to_numpy() > flipped.loc[~free, "auroc"].to_numpy()).all()
    assert true.loc[free, "auroc"].tolist() != other.loc[free, "auroc"].tolist()


def test_equals_are_drawn_by_lot():
    assert shares(np.array([[1, 3, 3], [2, 1, 0], [0, 0, 0]])).tolist() == [[0, 0.5, 0.5], [1, 0, 0], [1 / 3] * 3]


def expected_shares(y: np.ndarray, scores: np.ndarray, n: int) -> np.ndarray:
    """Every set of n rows, each as likely as another: who has the highest AUROC on it."""
    picked = []
    for rows_ in map(list, combinations(range(len(y)), n)):
        if len(set(y[rows_])) < 2:
            picked.append(np.full(len(scores), 1 / len(scores)))
            continue
        aurocs = np.array([round(roc_auc_score(y[rows_], rankdata(own[rows_])), 12) for own in scores])
        picked.append((aurocs == aurocs.max()) / (aurocs == aurocs.max()).sum())
    return np.mean(picked, axis=0)


CASES = {
    "no ties": np.array([[0.1, 0.7, 0.3, 0.9, 0.5], [0.9, 0.1, 0.4, 0.6, 0.2], [0.5, 0.6, 0.7, 0.8, 0.9]]),
    "ties within and between": np.array([[0, 1, 0, 1, 1], [1, 1, 1, 1, 1], [0, 1, 0, 1, 1], [2, 0, 0, 1, 0]]),
    "infinite": np.array([[-math.inf, math.inf, 0, math.inf, 1], [0, 1, 0, -math.inf, 2]]),
}


@pytest.mark.parametrize("scores", CASES.values(), ids=CASES)
@pytest.mark.parametrize("y", [[0, 1, 0, 1, 1], [1, 0, 0, 0, 0]])
def test_trusted_labels_by_enumeration(scores, y):
    """With all orders of five rows the first n are every set of n equally often: the expectation itself."""
    truth = np.array(y, dtype=bool)
    everything = np.array(list(permutations(range(5))))
    found = trusted_shares(truth, scores.astype(float), everything, [1, 2, 3, 4, 5])
    for n, own in zip([1, 2, 3, 4, 5], found, strict=True):
        assert own == pytest.approx(expected_shares(truth, scores, n)), n
    assert found[0] == pytest.approx(1 / len(scores))  # one label is of one class


def test_the_expected_regret_of_a_budget_by_enumeration():
    """From the rows up, within four standard errors of the draws."""
    one = choice(seed=3, m=3, v=8)
    frame = regrets("s", [one], num_draws=4000)
    aurocs = np.array([roc_auc_score(one.test.y, own) for own in one.on_test])
    expected = aurocs.max() - expected_shares(one.val.y, one.on_val, 5) @ aurocs
    (found,) = frame.loc[frame["n"] == 5, "regret"]
    assert found == pytest.approx(expected, abs=4 * np.ptp(aurocs) / 2 / math.sqrt(4000))
    assert expected < aurocs.max() - aurocs.mean() - 0.01  # labels tell something


def test_draws_are_without_replacement_nested_and_the_same_for_a_dataset():
    found = orders(9, 50, "d", 0)
    assert (np.sort(found, axis=1) == np.arange(9)).all()
    assert len({tuple(one) for one in found.tolist()}) > 40
    assert (orders(9, 50, "d", 0) == found).all()
    assert (orders(9, 50, "e", 0) != found).any()


def test_budgets_grow_to_the_rows_there_are():
    assert budgets(100) == [5, 10, 20, 50, 100]
    assert budgets(99) == [5, 10, 20, 50]
    assert budgets(4) == []


def test_a_perfect_rule_and_the_worst():
    """Agreement is highest for the best candidate on test, confidence for the worst."""
    y_val, y_test = np.arange(40) % 2 == 0, np.arange(60) % 3 == 0
    sign = 2 * y_val - 1.0
    quality = np.array([1.0, 0.8, 0.55])
    on_val = np.stack([np.where(np.arange(40) < 40 * q, sign, -sign) for q in quality]) * np.array([[0.1], [1], [5]])
    noise = np.random.default_rng(0).normal(size=60)
    on_test = np.stack([gain * (2 * y_test - 1) + noise for gain in (2.0, 1.0, 0.1)])
    weak = np.where(y_val, 0.9, 0.1)
    one = choice(m=3, v=40, t=60, on_val=on_val, on_test=on_test, p_weak=weak)
    one = one._replace(val=rows(y_val), test=rows(y_test), twins=-on_val[None])
    frame = regrets("s", [one], num_draws=10).set_index("rule")
    aurocs = [roc_auc_score(y_test, own) for own in on_test]
    assert aurocs[0] > aurocs[1] > aurocs[2]
    assert tuple(frame.loc["agreement", ["choice", "regret", "hit"]]) == ("a", 0, 1)
    assert frame.loc["agreement", "auroc"] == pytest.approx(aurocs[0])
    assert frame.loc["confidence", "choice"] == "c"
    assert frame.loc["confidence", "regret"] == pytest.approx(aurocs[0] - aurocs[2])
    assert frame.loc["confidence", "hit"] == 0
    assert frame.loc["consistency", "choice"] == ""  # all are consistently inconsistent: lots are drawn
    for rule in ("consistency", "random"):
        assert frame.loc[rule, "regret"] == pytest.approx(aurocs[0] - np.mean(aurocs))
        assert frame.loc[rule, "hit"] == pytest.approx(1 / 3)
    assert (frame["oracle"] == "a").all()
    everything = frame[frame["n"] == 20]
    assert everything["regret"].iloc[0] < frame.loc["random", "regret"]


def test_all_of_val_is_one_draw():
    one = choice(v=50)
    (row,) = regrets("s", [one], num_draws=7).query("n == 50").to_dict("records")
    best = int(np.argmax([roc_auc_score(one.val.y, own) for own in one.on_val]))
    assert (row["choice"], row["hit"] in (0, 1)) == (one.names[best], True)
    assert row["auroc"] == pytest.approx(roc_auc_score(one.test.y, one.on_test[best]))


def test_the_frame():
    other = choice(seed=1, about={**ABOUT, "dataset": "e", "seed": 1}, saturated=True)
    frame = regrets("mine", [choice(), other, choice(m=1)], num_draws=5)
    assert tuple(frame.columns) == REGRET_COLUMNS
    assert set(frame["study"]) == {"mine"}
    assert set(frame["dataset"]) == {"d", "e"}  # one candidate is no choice
    assert frame.groupby("dataset")["saturated"].agg(set).to_dict() == {"d": {False}, "e": {True}}
    per_choice = len([rule for rule in RULES if "method" in rule.kinds]) + len(budgets(60))
    assert frame.groupby("dataset").size().tolist() == [per_choice] * 2
    assert (frame.loc[frame["rule"] != TRUSTED, "n"] == 0).all()
    assert (frame["regret"] >= 0).all()
    assert np.allclose(frame["regret"], frame["oracle_auroc"] - frame["auroc"])
    pd.testing.assert_frame_equal(frame, regrets("mine", [choice(), other], num_draws=5))
    assert tuple(regrets("none", []).columns) == REGRET_COLUMNS


def equally_good(seed: int) -> CandidateSet:
    """Six candidates of the same worth, each with noise of its own on test."""
    rng = np.random.default_rng(seed)
    y = np.arange(100) % 2 == 0
    return choice(m=6, t=100, test=rows(y), on_test=(2 * y - 1) + rng.normal(size=(6, 100)))


def test_the_oracle_is_flattered_and_the_nested_one_is_not():
    """Where all candidates are equally good no choice loses anything: the nested regret says so, the plain one does not."""
    found = [regrets("s", [equally_good(seed)], num_draws=1).query("rule == 'random'").iloc[0] for seed in range(60)]
    plain, nested = (np.array([row[name] for row in found]) for name in ("regret", "nested_regret"))
    assert plain.min() > 0
    assert plain.mean() > 0.02
    assert abs(nested.mean()) < 3 * nested.std(ddof=1) / math.sqrt(60)
    assert nested.std() > 0


def test_the_truth_lies_between_the_two_regrets():
    """Candidates of known AUROC Φ(d/√2), the first one chosen: on average nested ≤ true ≤ plain, both strictly here."""
    shifts = np.array([1.0, 1.1, 1.2, 1.3, 1.4])
    true = norm.cdf(1.4 / math.sqrt(2)) - norm.cdf(1.0 / math.sqrt(2))
    y = np.arange(100) % 2 == 0
    plain, nested = [], []
    for seed in range(80):
        noise = np.random.default_rng(seed).normal(size=(5, 100))
        oracle = ask_oracle(choice(m=5, t=100, test=rows(y), on_test=shifts[:, None] * y + noise))
        plain.append(oracle.aurocs.max() - oracle.aurocs[0])
        nested.append(oracle.nested - oracle.half_aurocs[0])
    error = np.std(plain, ddof=1) / math.sqrt(80)
    assert np.mean(nested) < true - 2 * error
    assert np.mean(plain) > true + 2 * error


def test_a_clear_winner_is_found_by_both_oracles():
    y = np.arange(100) % 2 == 0
    noise = np.random.default_rng(0).normal(size=(3, 100))
    one = choice(m=3, t=100, test=rows(y), on_test=np.array([[4.0], [0.3], [0.0]]) * (2 * y - 1) + noise)
    oracle = ask_oracle(one)
    assert oracle.nested == pytest.approx(oracle.half_aurocs[0])
    assert oracle.aurocs == pytest.approx([roc_auc_score(y, own) for own in one.on_test])
    assert oracle.half_aurocs == pytest.approx(oracle.aurocs, abs=0.03)


def test_a_group_stays_in_one_half():
    """Each group has one class: were it torn apart, halves of two groups could be measured."""
    y = np.repeat([0, 1], 10) > 0
    one = choice(
        m=2, t=20, test=rows(y, ["no"] * 10 + ["yes"] * 10), on_test=np.random.default_rng(0).normal(size=(2, 20))
    )
    oracle = ask_oracle(one)
    assert math.isnan(oracle.nested)
    assert np.isnan(oracle.half_aurocs).all()
    assert regrets("s", [one], num_draws=2)["nested_regret"].isna().all()
    torn = one._replace(test=rows(y))
    assert not math.isnan(ask_oracle(torn).nested)


def test_checkpoints_may_be_taken_last():
    one = choice(kind="checkpoint", twins=0)
    frame = regrets("s", [one], num_draws=2).set_index("rule")
    assert frame.loc["last", "choice"] == "d"
    assert "last" not in regrets("s", [choice()], num_draws=2)["rule"].tolist()
