"""Seven ways to label a file: how they are fitted, that no row judges what it has taught, and what is recommended."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from outshine.labelling.ladder import Ladder, climb
from outshine.labelling.ladder_text import ladder_rows, ladder_sentences
from outshine.labelling.options import BY_NAME, OPTIONS, Designs, Scores, cross_fitted, fit_logistic
from outshine.labelling.trusted_sample import Sample, Trusted

NUM = 1200


class World:
    """A file whose truth follows its embeddings, with a student and cheap labels that know part of it."""

    def __init__(self, seed: int = 0, label_right: float = 0.7, student: float = 1.0, clear: float = 4.0) -> None:
        rng = np.random.default_rng(seed)
        self.embedding = rng.normal(size=(NUM, 40)) / np.sqrt(40)
        signal = clear * np.sqrt(40) * self.embedding[:, 0]
        self.truth = rng.random(NUM) < expit(signal)
        self.label = np.where(rng.random(NUM) < label_right, self.truth, ~self.truth).astype(float)
        self.student = student * signal + rng.normal(size=NUM) + 0.5
        self.scores = Scores(self.student, self.label, self.embedding)

    def trusted(self, num: int, seed: int = 1) -> Trusted:
        rows = np.random.default_rng(seed).choice(NUM, num, replace=False)
        return Trusted(rows, self.truth[rows], np.ones(num), rows.astype(str))

    def climb(self, num: int = 100, seed: int = 1) -> Ladder:
        found = climb(self.scores, self.trusted(num, seed), in_file=np.ones(NUM, dtype=bool))
        assert found is not None
        return found


WORLD = World()


def test_a_fit_is_sklearns_where_the_prior_is_a_ridge() -> None:
    rng = np.random.default_rng(0)
    x, y, weight = rng.normal(size=(80, 3)), rng.random(80) < 0.4, rng.random(80) + 0.5
    own = fit_logistic(np.c_[x, np.ones(80)], y.astype(float), weight, np.zeros(4), np.array([1, 1, 1, 1e-9]) * 0.5)
    other = LogisticRegression(C=2.0, tol=1e-10, max_iter=1000).fit(x, y, sample_weight=weight)
    assert own == pytest.approx(np.r_[other.coef_[0], other.intercept_], abs=1e-5)


def test_a_fit_is_the_minimum_of_what_it_promises() -> None:
    rng = np.random.default_rng(1)
    x, p, weight = rng.normal(size=(20, 4)) * 3, rng.random(20), rng.random(20)
    mean, precision = np.array([1.0, 0.5, 0.0, -2.0]), np.array([1.0, 4.0, 0.1, 2.0])

    def objective(t: np.ndarray) -> float:
        cross_entropy = -p * np.log(expit(x @ t)) - (1 - p) * np.log(expit(-x @ t))
        return float(weight @ cross_entropy + 0.5 * precision @ (t - mean) ** 2)

    found = minimize(objective, mean, method="BFGS", options={"gtol": 1e-9})
    assert fit_logistic(x, p, weight, mean, precision) == pytest.approx(found.x, abs=1e-5)


def test_without_evidence_an_option_stays_with_its_prior() -> None:
    """Two rows hardly move it: the student leads, and the cheap label has a say of half a deviation."""
    designs = Designs(WORLD.scores)
    rows = np.arange(NUM)
    two = WORLD.trusted(2)
    z = designs.log_odds(BY_NAME["student_recalibrated"], two, rows)
    assert np.corrcoef(z, WORLD.student)[0, 1] == pytest.approx(1)
    assert 0.4 < np.std(z) < 1.6
    both = designs.log_odds(BY_NAME["combined"], two, rows)
    turned = np.abs(both[WORLD.label == 1].mean() - both[WORLD.label == 0].mean())
    assert turned > 0


def test_no_row_judges_what_it_has_taught() -> None:
    """Turning a row's truth changes neither its own held-out prediction nor that of its group."""
    trusted = WORLD.trusted(60)
    trusted = trusted._replace(group=(np.arange(60) // 2).astype(str))
    fold = np.arange(60) // 6
    before = cross_fitted(Designs(WORLD.scores), trusted, fold)
    turned = trusted._replace(truth=np.where(np.arange(60) < 2, ~trusted.truth, trusted.truth))
    after = cross_fitted(Designs(WORLD.scores), turned, fold)
    for option in OPTIONS:
        assert np.array_equal(before[option.name][fold == 0], after[option.name][fold == 0])
        if option.fitted:
            assert not np.array_equal(before[option.name][fold != 0], after[option.name][fold != 0])


def test_the_recommended_labels_of_a_trusted_row_do_not_depend_on_its_truth() -> None:
    trusted = WORLD.trusted(60)
    in_file = np.ones(NUM, dtype=bool)
    first = climb(WORLD.scores, trusted, in_file=in_file)
    truth = trusted.truth.copy()
    truth[7] = ~truth[7]
    second = climb(WORLD.scores, trusted._replace(truth=truth), in_file=in_file)
    assert first is not None
    assert second is not None
    row = trusted.row[7]
    assert first.recommended == second.recommended
    assert first.log_odds[row] == second.log_odds[row]


def test_options_that_the_embedding_teaches_are_as_a_ridge_regression_on_it() -> None:
    trusted = WORLD.trusted(30)
    own = Designs(WORLD.scores).log_odds(BY_NAME["trusted_only"], trusted, np.arange(NUM))
    x = np.c_[WORLD.embedding, np.ones(NUM)]
    whole = fit_logistic(
        x[trusted.row], trusted.truth.astype(float), np.ones(30), np.zeros(41), np.r_[np.full(40, 0.5), 1 / 9]
    )
    assert own == pytest.approx(x @ whole, abs=1e-6)


def test_effective_numbers() -> None:
    rng = np.random.default_rng(2)
    values = (rng.random(400) < 0.3).astype(float)
    rows = np.arange(400)
    plain = Trusted(rows, values > 0.5, np.ones(400), rows.astype(str))
    assert Sample(plain, None).effective(values) == pytest.approx(399, abs=1.5)
    copies = Sample(plain._replace(group=(rows // 4).astype(str)), None)
    assert copies.effective(np.repeat(values[:100], 4)) == pytest.approx(99, rel=0.03)
    same = copies.effective(np.ones(400))
    assert same == pytest.approx(100)


def test_the_variance_of_a_stratified_draw_is_what_many_draws_show() -> None:
    """Disagreements four times as often as they are: weights make up for it, and the effective number knows."""
    rng = np.random.default_rng(3)
    stratum = (np.arange(5000) < 1000).astype(int)
    value = (rng.random(5000) < np.where(stratum, 0.7, 0.1)).astype(float)
    means, variances = [], []
    for _ in range(2000):
        rows = np.r_[rng.choice(1000, 80, replace=False), 1000 + rng.choice(4000, 20, replace=False)]
        weight = np.where(stratum[rows], 0.2 / 80, 0.8 / 20)
        sample = Sample(Trusted(rows, value[rows] > 0.5, weight, rows.astype(str)), stratum[rows])
        mean = sample.mean(value[rows])
        means.append(mean)
        variances.append(mean * (1 - mean) / sample.effective(value[rows]))
    assert np.mean(means) == pytest.approx(value.mean(), abs=4 * np.std(means) / np.sqrt(2000))
    assert np.mean(variances) == pytest.approx(np.var(means), rel=0.15)


def test_labels_of_an_oracle_are_left_alone() -> None:
    """Right in 95 %, while the texts tell less: the labels are kept, and no row is turned."""
    kept = []
    for seed in range(6):
        world = World(seed, label_right=0.95, clear=1.5)
        found = world.climb(100, seed)
        kept.append(found.recommended == "labels")
        if kept[-1]:
            assert np.array_equal(found.log_odds > 0, world.label > 0.5)
            assert ladder_sentences(found)[0].startswith("Keep the cheap labels as they are: about 9")
            assert "No label is turned" in ladder_sentences(found)[0]
    assert sum(kept) == 6


def test_a_student_that_learned_the_labels_bias_is_no_gain() -> None:
    """Labels and student follow a cue that has nothing to do with the truth: nothing is claimed of either."""
    claimed = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        embedding = rng.normal(size=(NUM, 40)) / np.sqrt(40)
        truth = rng.random(NUM) < 0.5
        cue = embedding[:, 0] > 0
        label = np.where(rng.random(NUM) < 0.9, cue, ~cue).astype(float)
        student = 8 * np.sqrt(40) * embedding[:, 0]
        rows = rng.choice(NUM, 60, replace=False)
        found = climb(
            Scores(student, label, embedding),
            Trusted(rows, truth[rows], np.ones(60), rows.astype(str)),
            in_file=np.ones(NUM, dtype=bool),
        )
        assert found is not None
        claimed.append(found.verdict == "better")
        if found.verdict == "open":
            said = " ".join(ladder_sentences(found))
            assert ("is not shown yet" if found.gain.value > 0 else "Not told apart") in said
    assert sum(claimed) <= 2


def test_cheap_labels_that_are_worthless_give_way_to_trusted_rows() -> None:
    world = World(5, label_right=0.5, student=0.0)
    found = world.climb(400)
    alone = Designs(world.scores).log_odds(BY_NAME["trusted_only"], world.trusted(400), np.arange(NUM))
    rest = np.setdiff1d(np.arange(NUM), world.trusted(400).row)
    own = np.mean((found.log_odds > 0)[rest] == world.truth[rest])
    assert own > np.mean((alone > 0)[rest] == world.truth[rest]) - 0.02
    assert found.verdict == "better"
    assert found.worth is not None
    assert found.worth.high is not None
    assert found.worth.high < 200


def test_without_an_embedding_scores_are_combined() -> None:
    found = climb(
        WORLD.scores._replace(embedding=np.empty((NUM, 0))), WORLD.trusted(80), in_file=np.ones(NUM, dtype=bool)
    )
    assert found is not None
    assert [option.name for option in found.options] == [
        *("labels", "labels_recalibrated", "student", "student_recalibrated", "combined")
    ]
    assert found.recommended == "combined"
    assert found.worth is None


def test_too_few_trusted_rows_fit_nothing() -> None:
    assert climb(WORLD.scores, WORLD.trusted(9), in_file=np.ones(NUM, dtype=bool)) is None
    few = WORLD.trusted(60)._replace(group=(np.arange(60) % 5).astype(str))
    assert climb(WORLD.scores, few, in_file=np.ones(NUM, dtype=bool)) is None
    some = climb(WORLD.scores, few._replace(group=(np.arange(60) % 8).astype(str)), in_file=np.ones(NUM, dtype=bool))
    assert some is not None
    assert some.verdict == "open"
    assert "too few groups" in " ".join(ladder_sentences(some))


def test_class_share_and_confusion_are_the_plain_counts() -> None:
    """The correction is the mean of truth less held-out prediction; the rest is known of the file."""
    trusted = WORLD.trusted(100)
    found = WORLD.climb(100)
    p = expit(found.log_odds)
    lacking = WORLD.truth[trusted.row] - p[trusted.row]
    share = found.class_shares[0].share
    assert share.value == pytest.approx(p.mean() + lacking.mean())
    assert share.high - share.low == pytest.approx(2 * 1.984 * lacking.std(ddof=1) / 10, rel=0.03)
    assert share.high - share.low < found.class_shares[0].trusted.high - found.class_shares[0].trusted.low
    label = WORLD.label[trusted.row] > 0.5
    for truth in (0, 1):
        of_class = trusted.truth == bool(truth)
        assert found.confusion.counts[truth] == (int((of_class & ~label).sum()), int((of_class & label).sum()))
        assert found.confusion.rightly[truth].value == pytest.approx((label[of_class] == bool(truth)).mean())


def test_the_table_marks_what_is_recommended() -> None:
    rows = ladder_rows(WORLD.climb(100))
    assert [row[0].startswith("→") for row in rows].count(True) == 1
    assert len(rows) == 7
