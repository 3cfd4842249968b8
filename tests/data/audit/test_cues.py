"""Cues against scikit-learn's own pipeline, and that they stay notes."""

from __future__ import annotations

import numpy as np
import pytest
from planted import random_corpus, small_corpus
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from outshine.data.audit.cues import MIN_ROWS_WITH, REGULARISATION, answer_only, bag_of_words, length


def telling_words(num_rows: int = 1200) -> list[tuple[str, str, bool]]:
    """Positives hold the words "good" or "fine" rather often."""
    rng = np.random.default_rng(0)
    return [
        (split, text.replace("\n", f" {rng.choice(['good', 'fine', 'bad', 'dull'], p=[0.3, 0.3, 0.2, 0.2] if label else [0.1, 0.1, 0.4, 0.4])}\n"), label)
        for split, text, label in random_corpus(num_rows)
    ]  # fmt: skip


def test_the_bag_of_words_is_a_logistic_regression_on_which_words_are_there():
    rows = telling_words()
    contents = [text.removeprefix("Say: ").removesuffix("\nIs it so?") for _, text, _ in rows]
    fit = np.array([split.endswith("train") for split, _, _ in rows])
    truth = np.array([label for _, _, label in rows])
    words = CountVectorizer(binary=True, lowercase=False, token_pattern=r"\w+|[^\w\s]", min_df=MIN_ROWS_WITH)
    fitted = words.fit_transform(np.array(contents)[fit])
    model = LogisticRegression(C=REGULARISATION, max_iter=1000).fit(fitted, truth[fit])
    score = model.decision_function(words.transform(np.array(contents)[~fit]))
    finding = bag_of_words(small_corpus(rows))
    assert finding.value == pytest.approx(roc_auc_score(truth[~fit], score), abs=1e-3)
    assert finding.severity == "cue"
    assert answer_only(small_corpus(rows)).value == pytest.approx(finding.value)


def test_answer_only_does_not_see_the_lines_above():
    rows = [
        (split, f"{'good' if label else 'bad'} x\n{text.removeprefix('Say: ')}", label)
        for split, text, label in random_corpus()
    ]
    assert bag_of_words(small_corpus(rows)).value == 1.0
    assert answer_only(small_corpus(rows)).severity == "passed"


@pytest.mark.parametrize("long_label", [True, False])
def test_length_tells_in_either_direction(long_label):
    rows = [(split, text + "!" * (9 * (label is long_label)), label) for split, text, label in random_corpus()]
    corpus = small_corpus(rows)
    sign = 1 if long_label else -1
    lengths = np.array([sign * len(text) for text in corpus.texts])
    finding = length(corpus)
    assert finding.value == pytest.approx(roc_auc_score(corpus.truth[corpus.held], lengths[corpus.held]))
    assert finding.severity == "cue"


def test_random_rows_give_no_cue():
    corpus = small_corpus(random_corpus())
    assert {check(corpus).severity for check in (bag_of_words, answer_only, length)} == {"passed"}
