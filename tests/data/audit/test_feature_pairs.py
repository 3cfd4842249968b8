"""Rules of two marks and of remainders: found where they were planted, and only there."""

from __future__ import annotations

import numpy as np
import pytest
from planted import random_corpus, small_corpus
from sklearn.metrics import roc_auc_score

from outshine.data.audit.feature_pairs import _between_cells, best_rule
from outshine.data.audit.shallow_classifiers import pairs_of_marks


def test_the_variation_between_cells_is_what_counting_gives():
    rng = np.random.default_rng(0)
    table, truth = rng.random((200, 5)) < 0.3, rng.random(200) < 0.4
    found = _between_cells(table.astype(np.float32), truth)
    for i in range(5):
        for j in range(5):
            expected = 0.0
            for a in (False, True):
                for b in (False, True):
                    cell = truth[(table[:, i] == a) & (table[:, j] == b)]
                    expected += len(cell) * (cell.mean() - truth.mean()) ** 2 if len(cell) else 0.0
            assert found[i, j] == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_first_wording_xor_last_wording_is_found_and_named():
    rng = np.random.default_rng(1)
    rows = []
    for split, text, label in random_corpus(1600):
        first = int(rng.integers(2))
        inner = text.removeprefix("Say: ").split("\n")[0]
        rows.append((split, f"{('well', 'now')[first]} {inner} {('ok', 'so')[first ^ label]}", label))
    corpus = small_corpus(rows)
    rule = best_rule(corpus)
    assert roc_auc_score(corpus.truth[corpus.held], rule.score[corpus.held]) == 1.0
    finding = pairs_of_marks(corpus, "leak")
    assert finding.severity == "leak"
    assert "together with" in finding.message


def test_the_parity_of_the_length_is_found_and_named():
    rows = [
        (split, text if len(text) % 2 == label else f"{text}x", label) for split, text, label in random_corpus(1600)
    ]
    finding = pairs_of_marks(small_corpus(rows), "leak")
    assert finding.severity == "leak"
    assert "the number of characters modulo 1" in finding.message


def test_half_of_an_xor_says_nothing():
    rng = np.random.default_rng(1)
    rows = [(split, f"{rng.choice(['well', 'now'])} {text}", label) for split, text, label in random_corpus(1600)]
    assert pairs_of_marks(small_corpus(rows), "leak").severity == "passed"


def test_texts_without_any_common_mark_are_judged_all_the_same():
    rows = [(("weak_train", "strong_train", "val", "test")[i % 4], chr(0x4E00 + i), i // 4 % 2 == 0) for i in range(80)]
    assert pairs_of_marks(small_corpus(rows), "leak").severity == "passed"
