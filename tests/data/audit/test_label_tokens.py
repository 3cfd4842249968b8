"""Rule (b): tokens that all but decide the label."""

from __future__ import annotations

import numpy as np
import pytest
from planted import random_corpus, small_corpus
from scipy.stats import binomtest

from outshine.data.audit.label_tokens import MIN_COVERAGE, check_label_tokens, find_label_tokens, precision_bound


def with_mark(share: float, also_negatives: float = 0.0, num_rows: int = 4000) -> list[tuple[str, str, bool]]:
    """Random rows; the word MARK stands in the middle of a share of the positives, and of the negatives."""
    rows = []
    for i, (split, text, label) in enumerate(random_corpus(num_rows)):
        marked = (i // 4 * 0.618034) % 1 < (share if label else also_negatives)
        words = text.split()
        rows.append((split, " ".join([*words[:2], "MARK", *words[2:]]) if marked else text, label))
    return rows


@pytest.mark.parametrize(("right", "rows"), [(30, 30), (97, 100), (400, 401), (0, 10)])
def test_the_bound_is_clopper_and_pearsons_for_equal_classes(right, rows):
    expected = binomtest(right, rows).proportion_ci(0.95, method="exact").low
    assert precision_bound(right, rows, prior_odds=1.0) == pytest.approx(expected, abs=1e-12)


def test_the_bound_does_not_take_a_common_class_for_a_telling_token():
    # nineteen in twenty rows are positive, and so are nineteen in twenty rows with the token: it says nothing
    assert precision_bound(950, 1000, prior_odds=19.0) < 0.5


def test_coverage_and_precision_are_those_of_the_held_out_rows():
    rows = with_mark(0.3, also_negatives=0.005)
    found = {one.name: one for one in find_label_tokens(small_corpus(rows))}
    one = found["'MARK'"]
    held = [(text, label) for split, text, label in rows if split in ("val", "test")]
    positives, negatives = ([text for text, label in held if label is side] for side in (True, False))
    hits, misses = (sum("MARK" in text for text in side) / len(side) for side in (positives, negatives))
    assert one.label is True
    assert one.coverage == pytest.approx(hits)
    assert one.precision == pytest.approx(hits / (hits + misses))
    assert len(one.rows) == sum("MARK" in text for text, _ in held)


@pytest.mark.parametrize(("share", "severity"), [(0.20, "leak"), (0.08, "warning"), (0.04, "cue")])
def test_a_token_that_covers_a_tenth_of_a_class_is_a_leak(share, severity):
    finding = check_label_tokens(small_corpus(with_mark(share, num_rows=10_000)), "leak")
    assert finding.severity == severity
    assert finding.value == pytest.approx(share, abs=0.03)
    assert (finding.value >= MIN_COVERAGE) == (severity == "leak")


def test_a_token_of_both_classes_is_none():
    assert find_label_tokens(small_corpus(with_mark(0.5, also_negatives=0.1))) == []


def test_a_token_at_a_place_tells_though_its_presence_does_not():
    rows = []
    for split, text, label in random_corpus(2000):
        words = text.removeprefix("Say: ").split("\n")[0].split()
        inner = " ".join([*words[:1], "no" if label else "yes", *words[1:]])  # both words in every row
        rows.append((split, f"{inner}\nReply: {'yes' if label else 'no'} {words[0]}\nIs it so?", label))
    names = {one.name for one in find_label_tokens(small_corpus(rows))}
    assert "'yes' as token 3 of the last line" in names
    assert "':' before 'yes'" in names
    assert not {"'yes'", "'no'"} & names


def test_rows_of_one_group_count_as_one():
    rows = with_mark(0.3)
    alone = check_label_tokens(small_corpus(rows), "leak")
    assert alone.severity == "leak"
    shared = [f"{split}-{i % 10}-{label}" for i, (split, _, label) in enumerate(rows)]  # a hundred rows a group
    assert check_label_tokens(small_corpus(rows, shared), "leak").severity == "passed"


def test_unbalanced_rows_do_not_cry_wolf():
    rows = [row for i, row in enumerate(random_corpus(4000)) if row[2] or i % 21 == 0]
    assert find_label_tokens(small_corpus(rows)) == []


def opened(num_words: int, share: float, num_rows: int = 4000) -> list[tuple[str, str, bool]]:
    """Random rows; a share begins with one of so many words a class, each drawn equally often."""
    rows = []
    for i, (split, text, label) in enumerate(random_corpus(num_rows)):
        word = (
            f"{'po' if label else 'ne'}{chr(97 + i // 4 * 7 % num_words // 26)}{chr(97 + i // 4 * 7 % num_words % 26)}"
        )
        text = text.removeprefix("Say: ").split("\n")[0]
        rows.append((split, f"{word} {text}" if (i // 4 * 0.618034) % 1 < share else text, label))
    return rows


@pytest.mark.parametrize(("num_words", "share"), [(8, 0.3), (64, 0.6)])
def test_a_set_of_wordings_of_which_each_is_rare_is_a_leak_together(num_words, share):
    rows = opened(num_words, share)
    finding = check_label_tokens(small_corpus(rows), "leak")
    assert finding.severity == "leak"
    assert "one of " in finding.message
    held = [text for split, text, label in rows if split in ("val", "test") and label]
    assert finding.value == pytest.approx(np.mean([text.startswith("po") for text in held]), abs=0.06)


def test_a_set_of_words_anywhere_is_a_cue_for_it_may_be_vocabulary():
    rng = np.random.default_rng(0)
    rows = []
    for split, text, label in opened(8, 0.3):
        first, *rest = text.split()
        if first[:2] in ("po", "ne"):
            rest.insert(int(rng.integers(1, len(rest) + 1)), first)
            text = " ".join(rest)
        rows.append((split, text, label))
    finding = check_label_tokens(small_corpus(rows), "leak")
    assert finding.severity == "cue"
    assert finding.value > 0.2


def test_too_few_rows_to_be_sure_are_a_cue():
    finding = check_label_tokens(small_corpus(with_mark(0.25, num_rows=400)), "leak")
    assert finding.severity == "cue"
    assert "too few to be sure" in finding.message


def test_a_mark_that_fails_ends_the_trials():
    """Both marks are pure in training; the commoner is not in the held-out rows, and what comes after it is not tried."""
    rows = []
    for i, (split, text, label) in enumerate(random_corpus(4000)):
        common = i // 4 % 2 == 0 and (label if split.endswith("train") else True)
        rare = i // 4 % 5 == 1 and label
        rows.append((split, text + (" COMMON" if common else " RARE" if rare else ""), label))
    assert find_label_tokens(small_corpus(rows)) == []
    assert {one.name for one in find_label_tokens(small_corpus([row for row in rows if "COMMON" not in row[1]]))} >= {
        "'RARE'"
    }


def test_a_character_and_the_shape_around_it_are_marks():
    rows = [
        (split, text.replace(" ", "\u2009", 1) if label else text, label) for split, text, label in random_corpus(2000)
    ]
    names = {one.name for one in find_label_tokens(small_corpus(rows))}
    assert "THIN SPACE (U+2009)" in names
