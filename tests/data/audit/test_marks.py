"""Many marks that a reader overlooks: each is found; random labels on the same texts are not accused."""

from __future__ import annotations

import random

import numpy as np
import pytest
from marks import MARKS
from planted import WORDS, small_corpus

from outshine.data.audit.findings import Finding
from outshine.data.audit.label_tokens import check_label_tokens
from outshine.data.audit.shallow_classifiers import (
    characters,
    format_tree,
    last_tokens,
    normalisation,
    pairs_of_marks,
)
from outshine.data.audit.tokenized_corpus import TokenizedCorpus

CHECKS = (format_tree, last_tokens, characters, normalisation, pairs_of_marks, check_label_tokens)
NUM_TRAIN, NUM_VAL, NUM_TEST = 1200, 180, 540

# What is told, but no reason to refuse: words that may be vocabulary, and marks on few rows.
NOT_REFUSED = {
    "openers in the middle on 30 %": "cue",
    "a tenth of one class": "cue",
    "a tenth by no-break spaces": "warning",
}


def corpus_with(name: str | None, num_train: int = NUM_TRAIN, seed: int = 0) -> TokenizedCorpus:
    """Random words with labels by coin, written with the mark."""
    rng = random.Random(seed)
    ends = {"weak_train": num_train // 2, "strong_train": num_train, "val": num_train + num_train * 3 // 20}
    rows = []
    for i in range(num_train * 8 // 5):
        text, label = " ".join(rng.choices(WORDS, k=rng.randint(4, 12))), rng.random() < 0.5
        split = next((split for split, end in ends.items() if i < end), "test")
        rows.append((split, MARKS[name](text, label, rng) if name else text, label))
    return small_corpus(rows)


def severities(corpus: TokenizedCorpus) -> set[str]:
    return {check(corpus, "leak").severity for check in CHECKS}


def worst(found: set[str]) -> str:
    return next(level for level in ("leak", "warning", "cue", "passed") if level in found)


@pytest.mark.slow
@pytest.mark.parametrize("name", MARKS)
def test_a_mark_is_found(name):
    assert worst(severities(corpus_with(name))) == NOT_REFUSED.get(name, "leak")


def test_without_a_mark_nothing_is_found():
    assert severities(corpus_with(None)) == {"passed"}


@pytest.mark.slow
@pytest.mark.parametrize("num_train", [40, 75, 190])
def test_labels_by_coin_are_not_accused_however_few(num_train):
    """60 to 300 rows in all, 15 datasets each: dozens of thousands of marks, and no leak."""
    found = [severities(corpus_with(None, num_train, seed)) for seed in range(15)]
    assert sum("leak" in one for one in found) == 0
    assert sum("warning" in one for one in found) <= 1
    assert np.mean(["cue" in one for one in found]) <= 0.1


def test_every_finding_has_a_sentence_and_an_accusation_has_rows():
    findings: list[Finding] = [check(corpus_with("no-break space"), "leak") for check in CHECKS]
    assert all(finding.message for finding in findings)
    assert all(finding.examples for finding in findings if finding.severity == "leak")
    assert any("⟨U+00A0⟩" in text for finding in findings for text in finding.examples)
