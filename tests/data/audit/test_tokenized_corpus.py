"""Tokens, the content without its prompt, the last line, and held-out AUCs."""

from __future__ import annotations

import numpy as np
import pytest
from planted import random_corpus, small_corpus
from sklearn.metrics import roc_auc_score

from outshine.data.audit.tokenized_corpus import Spans, distinct, tokenise


def words_in(corpus, spans: Spans) -> list[list[str]]:
    tokens = corpus.tokens
    return [
        [tokens.vocabulary[token] for token in tokens.flat[start:end]]
        for start, end in zip(spans.start, spans.end, strict=True)
    ]


def test_single_letters_digits_case_signs_and_line_breaks_are_kept():
    tokens = tokenise(["A: 7 of\n\nEleven, a1!", "", "A a"])
    assert [tokens.vocabulary[token] for token in tokens.flat] == [
        *["A", ":", "7", "of", "\n\n", "Eleven", ",", "a1", "!"],
        *["A", "a"],
    ]
    assert tokens.starts.tolist() == [0, 9, 9, 11]


def test_the_content_is_what_the_prompt_leaves_and_the_answer_its_last_line():
    corpus = small_corpus(
        [
            ("test", "Passage: one two\n\nQuestion: which?\nAnswer: B\nIs it right?", True),
            ("val", "Passage: three\n\nQuestion: who now?\nAnswer: the cat, C\nIs it right?", False),
            ("weak_train", "Passage: four\n\nQuestion: so?\nAnswer: one\nIs it right?", True),
        ]
    )
    assert words_in(corpus, corpus.answer) == [
        ["Answer", ":", "B"],
        ["Answer", ":", "the", "cat", ",", "C"],
        ["Answer", ":", "one"],
    ]
    assert [words[0] for words in words_in(corpus, corpus.content)] == ["one", "three", "four"]
    assert [words[-1] for words in words_in(corpus, corpus.content)] == ["B", "C", "one"]


def test_one_odd_row_in_a_hundred_does_not_hide_the_prompt():
    rows = [("test", f"Say: w{i}\nIs it so?", i % 2 == 0) for i in range(199)]
    corpus = small_corpus([*rows, ("test", "something else", True)])
    assert words_in(corpus, corpus.content)[:2] == [["w0"], ["w1"]]


def test_texts_of_one_line_without_a_prompt_are_content_and_answer_whole():
    corpus = small_corpus([("test", "one two", True), ("val", "three", False)])
    assert words_in(corpus, corpus.content) == words_in(corpus, corpus.answer) == [["one", "two"], ["three"]]


def test_present_lists_each_token_of_a_span_once():
    corpus = small_corpus([("test", "a b a\nb b", True), ("val", "b", False)])
    rows, tokens = corpus.tokens.present(corpus.tokens.whole)
    found = [(row, corpus.tokens.vocabulary[token]) for row, token in zip(rows, tokens, strict=True)]
    assert sorted(found) == [(0, "\n"), (0, "a"), (0, "b"), (1, "b")]


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_distinct_is_numpys_unique(size):
    values = np.random.default_rng(size).integers(0, 300, size)
    np.testing.assert_array_equal(distinct(values), np.unique(values))


def test_the_held_out_auc_is_of_val_and_test_rows():
    corpus = small_corpus(random_corpus())
    score = np.random.default_rng(0).normal(size=int(corpus.held.sum()))
    held = np.isin(corpus.splits, ["val", "test"])
    found = corpus.held_auc(score)
    assert found.value == pytest.approx(roc_auc_score(corpus.truth[held], score), abs=1e-12)
    assert found.low < found.value < found.high
