"""Shapes and normalised texts by hand, n-grams by brute force, the model against scikit-learn's own pipeline."""

from __future__ import annotations

import numpy as np
import pytest
from planted import random_corpus, small_corpus
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from outshine.data.audit.shallow_classifiers import MIN_ROWS_WITH, REGULARISATION, ngram_scores
from outshine.data.audit.text_features import NgramNames, character_name, code_points, normalised, shape, which_ngrams


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello World, a dog.", "Aw Aw, a w."),
        ("IDs of 3 or 1,234,567", "AAa w 0 w 0,000,000"),
        ("1234567 x\u00a0y\t", "00000 a\u00a0a\t"),
        ("café", "aaaé"),
        ("cafe\u0301", "aaaa\u0301"),
        ("p\u0430y", "a\u0430a"),  # a Cyrillic letter in a Latin word stays
        ("a\u200bb \U0001f642", "a\u200ba \U0001f642"),
    ],
)
def test_letters_and_digits_are_blotted_out_and_all_else_stays(text, expected):
    assert shape(text) == expected


def test_words_of_another_script_are_blotted_out_by_script_and_case():
    russian, greek = shape("мир"), shape("εδώ")
    assert len(set(russian)) == len(set(greek)) == 1
    assert russian[0] != greek[0]
    assert shape("дом") == russian
    assert shape("Дом")[0] != russian[0]


@pytest.mark.parametrize(
    "text",
    [
        "It's  1000 café, (ok) - yes",
        "it\u2019s 1,000 cafe\u0301, [OK] \u2013 yes",
        "IT'S\u00a01000 CAFE ,(ok)\u2014yes\n",
        "\ufeffit's 1000 c\u0430fe, \uff08ok\uff09 - y\u00ades ",
        "it&#39;s １０００ caf\u200bé, {ok} \u2010 yes",
        "it\u02bcs 1 000 \u03f2af\u0435, (ok) - yes\u200f",
    ],
)
def test_what_says_the_same_is_normalised_to_the_same(text):
    assert normalised(text) == "it ' s 1000 cafe , ( ok ) - yes"


@pytest.mark.parametrize(("one", "other"), [("colour", "color"), ("yes.", "yes"), ("it is", "is it"), ("10.5", "105")])
def test_what_says_something_else_is_not(one, other):
    assert normalised(one) != normalised(other)


def test_ngrams_are_counted_once_a_text_and_do_not_cross_texts():
    texts = ["abab", "b", "", "ba"]
    rows, codes = which_ngrams(texts, (1, 2))
    expected = []
    for text in texts:
        whole = f"<{text}>"
        expected.append(len(set(whole)) + len({whole[i : i + 2] for i in range(len(whole) - 1)}))
    assert np.bincount(rows, minlength=4).tolist() == expected
    names = NgramNames(texts, (1, 2))
    assert len({names(int(code)) for code in codes}) == len(set(codes.tolist()))


def test_of_a_long_text_both_ends_are_looked_at():
    middle = "x" * 5000
    found = [set(which_ngrams([text], (1,))[1].tolist()) for text in ("A" + middle + "B", "A", "B")]
    assert found[1] | found[2] <= found[0]
    assert set(which_ngrams(["x" * 2000 + "C" + "x" * 2000], (1,))[1].tolist()) == set(
        which_ngrams([middle], (1,))[1].tolist()
    )


def test_code_points_are_listed_once_a_text():
    rows, codes = code_points(["aab", "", "\u00a0"])
    assert list(zip(rows.tolist(), codes.tolist(), strict=True)) == [(0, 97), (0, 98), (2, 0xA0)]
    assert code_points([])[0].tolist() == []


def test_a_character_is_named_where_it_cannot_be_seen():
    assert character_name(0x61) == "'a' (U+0061)"
    assert character_name(0xA0) == "NO-BREAK SPACE (U+00A0)"
    assert character_name(0x20) == "SPACE (U+0020)"


def test_the_model_is_scikit_learns_on_which_ngrams_are_there():
    rng = np.random.default_rng(0)
    rows = [(s, t + (rng.choice(["!", "?"], p=[0.7, 0.3] if y else [0.3, 0.7])), y) for s, t, y in random_corpus(1200)]
    corpus = small_corpus(rows)
    count = CountVectorizer(
        analyzer=lambda text: [text[i : i + n] for n in (1, 2) for i in range(len(text) - n + 1)],
        binary=True,
        min_df=MIN_ROWS_WITH,
    )
    texts = np.array([f"\ue000{text}\ue001" for text in corpus.texts])
    fitted = count.fit_transform(texts[corpus.fit])
    model = LogisticRegression(C=REGULARISATION, max_iter=2000).fit(fitted, corpus.truth[corpus.fit])
    expected = model.decision_function(count.transform(texts[corpus.held]))
    found = ngram_scores(corpus.texts, corpus.truth, corpus.fit, (1, 2))
    truth = corpus.truth[corpus.held]
    assert roc_auc_score(truth, found) == pytest.approx(roc_auc_score(truth, expected), abs=5e-3)
    assert roc_auc_score(truth, expected) > 0.65
