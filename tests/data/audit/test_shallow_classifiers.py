"""Classifiers on form: features counted by other means, their AUCs. On words: against scikit-learn's own pipeline."""

from __future__ import annotations

import math

import numpy as np
import pytest
from planted import WORDS, random_corpus, small_corpus
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from outshine.data.audit.shallow_classifiers import (
    MIN_ROWS_WITH,
    REGULARISATION,
    answer_only,
    bag_of_words,
    characters,
    format_tree,
    last_tokens,
    length,
    ngram_scores,
    normalisation,
    pairs_of_marks,
)
from outshine.data.audit.text_features import format_features


def test_features_are_what_counting_by_hand_gives():
    answer = "The 3 cats, A"
    corpus = small_corpus(
        [
            ("test", f"Passage: Zoë  went 12\nAnswer: {answer}\nIs it so?", True),
            ("val", "Passage: x\nAnswer: y\nIs it so?", False),
        ]
    )
    row = format_features(corpus)[0]
    text = corpus.texts[0]
    assert row[:5].tolist() == [len(text), text.count(" "), 1, 0, 0]
    # content: Zoë went 12 ⏎ Answer : The 3 cats , A      (the prompt's words are not counted)
    assert row[5:13].tolist() == [11, 27, 3, 4, 2, 1, 1, 1]
    # answer: Answer : The 3 cats , A
    assert row[13:21].tolist() == [7, 17, 1, 3, 2, 0, 0, 1]
    # shapes of its first, last and last but one token: Title, letter, sign
    assert np.flatnonzero(row[21:48]).tolist() == [4, 9 + 2, 18 + 7]
    # no word twice in a row; the first, the last and the largest number
    assert row[48:].tolist() == [0, 12, 3, 12]


def test_words_said_twice_in_a_row_and_missing_numbers():
    table = format_features(small_corpus([("test", "the the cat, , sat sat sat", True), ("val", "a b\na b", False)]))
    assert table[:, 48:].tolist() == [[3, -1, -1, -1], [0, -1, -1, -1]]


def test_white_space_at_the_ends_counts():
    table = format_features(small_corpus([("test", " a", True), ("val", "a ", False)]))
    assert table[:, 3:5].tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("mark", [" ", "!", "Z", "7", "ö"])
def test_a_mark_on_the_positives_is_a_leak_whatever_it_is(mark):
    rows = [(split, text + (mark if label else ""), label) for split, text, label in random_corpus()]
    finding = format_tree(small_corpus(rows), "leak")
    assert finding.severity == "leak"
    assert finding.value == 1.0
    assert finding.low > 0.9
    assert len(finding.examples) == 4


def test_random_rows_have_neither_form_nor_last_tokens():
    corpus = small_corpus(random_corpus())
    for check in (format_tree, last_tokens):
        finding = check(corpus, "leak")
        assert finding.severity == "passed"
        assert finding.low < 0.5 < finding.high


def test_a_difference_in_form_that_decides_little_is_no_leak():
    """Nine in ten positives and one in ten negatives end in a sign: an AUC of about .9, and surely not above."""
    rows = [
        (split, text + ("!" if (i % 10 == 0) != label else ""), label)
        for i, (split, text, label) in enumerate(random_corpus(1600))
    ]
    finding = format_tree(small_corpus(rows), "leak")
    assert finding.severity == "warning"
    assert 0.8 < finding.value < 0.95


def test_last_tokens_are_scored_by_naive_bayes_on_the_training_rows():
    rng = np.random.default_rng(0)
    rows = []
    for i in range(600):
        label = bool(rng.random() < 0.5)
        last = rng.choice(WORDS[:8], p=np.arange(1, 9) / 36) if label else rng.choice(WORDS[:8])
        rows.append((("weak_train", "strong_train", "val", "test")[i % 4], f"{rng.choice(WORDS[:20])} {last}", label))
    corpus = small_corpus(rows)
    fit = [row for row in rows if row[0].endswith("train")]
    size = len({word for row in rows for word in row[1].split()}) + 1

    def log_odds(text: str, place: int) -> float:
        token = text.split()[place]
        counts = [sum(t.split()[place] == token for _, t, y in fit if y is label) for label in (True, False)]
        totals = [sum(y is label for _, _, y in fit) for label in (True, False)]
        if not sum(counts):
            return 0.0
        return math.log((counts[0] + 1) / (totals[0] + size)) - math.log((counts[1] + 1) / (totals[1] + size))

    held = [row for row in rows if not row[0].endswith("train")]
    score = [log_odds(text, -1) + log_odds(text, -2) for _, text, _ in held]
    expected = roc_auc_score([label for _, _, label in held], score)
    assert last_tokens(corpus, "leak").value == pytest.approx(expected, abs=1e-9)
    assert expected > 0.55


@pytest.mark.parametrize("check", [format_tree, last_tokens, characters, pairs_of_marks])
def test_a_perfect_auc_on_few_rows_is_a_warning(check):
    """Eight rows a class cannot prove more than .68, but all in their right order are worth a word."""
    rows = [(split, text + (" 7 !" if label else ""), label) for split, text, label in random_corpus(60)]
    rows = [row for i, row in enumerate(rows) if row[0].endswith("train") or i < 32]
    finding = check(small_corpus(rows), "leak")
    assert finding.value == 1.0
    assert finding.low < 0.9
    assert finding.severity == "warning"
    assert "too few to be sure" in finding.message


def test_normalisation_is_the_difference_of_two_aucs_on_the_same_rows():
    rng = np.random.default_rng(3)
    rows = [
        (split, text.replace(" ", "\u00a0" if label and rng.random() < 0.6 else " ", 2), label)
        for split, text, label in random_corpus(1600)
    ]
    corpus = small_corpus(rows)
    finding = normalisation(corpus, "leak")
    scores = [
        ngram_scores(texts, corpus.truth, corpus.fit, (1, 2, 3))
        for texts in (corpus.texts, [" ".join(text.split()) for text in corpus.texts])
    ]
    aucs = [roc_auc_score(corpus.truth[corpus.held], score) for score in scores]
    assert finding.value == pytest.approx(aucs[0] - aucs[1], abs=0.02)  # signs are detached as well
    assert finding.low < finding.value < finding.high
    assert finding.severity == "warning"  # .8 is not enough to refuse


def test_large_datasets_are_judged_by_rows_that_are_drawn_and_say_so(monkeypatch):
    monkeypatch.setattr("outshine.data.audit.shallow_classifiers.MAX_ROWS", 300)
    corpus = small_corpus([(split, text + "\u00a0" * label, label) for split, text, label in random_corpus(1600)])
    finding = characters(corpus, "leak")
    assert finding.severity == "leak"
    assert "(600 rows drawn at random)" in finding.message
    assert characters(corpus, "leak") == finding


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
