"""Overlap of splits, near duplicates against a comparison of all pairs."""

from __future__ import annotations

import random
import re
from itertools import combinations, pairwise, product

import pytest
from planted import WORDS, random_corpus, small_corpus

from outshine.data.audit import near_duplicates as near_duplicates_module
from outshine.data.audit.near_duplicates import SIMILAR, similar_pairs
from outshine.data.audit.split_overlap import (
    CONTAINED_WORDS,
    PAIRS,
    contained_texts,
    exact_duplicates,
    near_duplicates,
    shared_groups,
    shared_passages,
    shared_sentences,
)
from outshine.data.splits import SPLITS


def mutated(num_rows: int, seed: int) -> list[tuple[str, str, bool]]:
    """Texts that are copies of one another with some words changed, dropped or doubled."""
    rng = random.Random(seed)
    originals = [rng.choices(WORDS[:60], k=rng.randint(2, 30)) for _ in range(num_rows // 5)]
    rows = []
    for i in range(num_rows):
        words = list(rng.choice(originals))
        for _ in range(rng.choice([0, 0, 1, 1, 2, 4])):
            at = rng.randrange(max(1, len(words)))
            words[at : at + 1] = rng.choice([[], [rng.choice(WORDS)], words[at : at + 1] * 2])
        case = rng.choice([str, str.upper])
        text = rng.choice([" ", "  ", ", "]).join(map(case, words)) or "x"
        rows.append((rng.choice(SPLITS), f"Say: {text}\nIs it so? {i}", i % 2 == 0))
    return rows


def all_similar_pairs(rows) -> set[frozenset[int]]:
    """Every pair compared as sets of word pairs; those of more than half of the texts left out."""
    sets = []
    for _, text, _ in rows:
        words = re.findall(r"\w+", text.lower())
        sets.append(set(pairwise(words)))
    common = {pair for pair in set().union(*sets) if sum(pair in one for one in sets) > max(1, len(sets) / 2)}
    sets = [one - common for one in sets]
    return {
        frozenset((i, j))
        for i, j in combinations(range(len(rows)), 2)
        if rows[i][0] != rows[j][0]
        and sets[i]
        and sets[j]
        and len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= SIMILAR - 1e-12
    }


@pytest.mark.parametrize("seed", range(5))
def test_similar_pairs_are_those_that_comparing_all_pairs_finds(seed):
    rows = mutated(250, seed)
    pairs, complete = similar_pairs(small_corpus(rows))
    found = [frozenset((int(i), int(j))) for i, j in zip(pairs.left, pairs.right, strict=True)]
    expected = all_similar_pairs(rows)
    assert complete
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert len(expected) > 20


def test_work_is_bounded_and_what_is_not_compared_is_told(monkeypatch):
    monkeypatch.setattr(near_duplicates_module, "MAX_CANDIDATES", 10)
    finding = near_duplicates(small_corpus(mutated(250, 0)))
    assert "not all were compared" in finding.message


def test_near_duplicates_are_counted_in_val_and_test_and_shown():
    rows = random_corpus(400)
    rows[0] = ("weak_train", f"Say: {' '.join(WORDS[:30])}\nIs it so?", True)
    tests = [i for i, (split, _, _) in enumerate(rows) if split == "test"]
    for i in tests[:10]:
        rows[i] = ("test", rows[0][1].replace("Say: ", f"Say: {WORDS[i]} "), rows[i][2])
    finding = near_duplicates(small_corpus(rows))
    assert finding.severity == "warning"
    assert finding.value == pytest.approx(10 / len(tests))
    assert len(finding.examples) == 2
    assert any(shown.startswith("test") for shown in finding.examples)


def test_duplicates_but_for_case_signs_and_spaces():
    rows = [
        ("weak_train", "The cat sat on a mat.", True),
        ("strong_train", "All is well", False),
        ("test", "the  CAT sat on a mat", True),
        ("test", "something else", False),
        ("val", "the cat sat on the mat", True),
        ("val", "!?", False),
        ("weak_train", "...", False),
    ]
    finding = exact_duplicates(small_corpus(rows))
    assert finding.value == 0.5
    assert finding.message.endswith(": 50.0% of test (in weak_train)")
    assert finding.examples == (
        "test: [positive] the  CAT sat on a mat",
        "weak_train: [positive] The cat sat on a mat.",
    )


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_every_pair_of_splits_is_compared(one, other):
    """A pair of equal texts in two splits; warned of unless only val's choice of a checkpoint is concerned."""
    filler = [(split, f"{split} {word} {word} word", True) for split in SPLITS for word in ("lone", "tall", "green")]
    rows = [
        *filler,
        (one, "One text of some length in two splits", True),
        (other, "one  text of some length in TWO splits", False),
    ]
    for check in (exact_duplicates, near_duplicates):
        finding = check(small_corpus(rows))
        assert finding.message.endswith(f": 25.0% of {one} (in {other})")
        assert finding.severity == ("cue" if "val" in (one, other) else "warning")
        assert finding.value == 0.25
        assert [shown.split(":")[0] for shown in finding.examples] == [one, other]
    assert exact_duplicates(small_corpus(filler)).severity == "passed"
    assert exact_duplicates(small_corpus(filler)).message.endswith(": none")


def test_all_pairs_of_splits_are_listed_once_and_the_supervisors_comes_first():
    assert PAIRS[0] == ("strong_train", "weak_train")
    assert sorted(map(frozenset, PAIRS), key=sorted) == sorted(map(frozenset, combinations(SPLITS, 2)), key=sorted)


def words_of(text: str) -> list[str]:
    return [token.lower() for token in re.findall(r"\w+", text)]


def all_contained(rows) -> dict[tuple[str, str], set[int]]:
    """By comparing every text, its first word and its last two left out, with every other as text."""
    whole = [" ".join(words_of(text)[1:-2]) for _, text, _ in rows]
    found: dict[tuple[str, str], set[int]] = {pair: set() for pair in PAIRS}
    for i, j in product(range(len(rows)), repeat=2):
        if rows[i][0] == rows[j][0] or not CONTAINED_WORDS[0] <= len(whole[i].split()) <= CONTAINED_WORDS[1]:
            continue
        if whole[i] != whole[j] and f" {whole[i]} " in f" {whole[j]} ":
            for one, other in ((i, j), (j, i)):
                if (rows[one][0], rows[other][0]) in found:
                    found[rows[one][0], rows[other][0]].add(one)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_contained_texts_are_those_that_a_search_finds(seed):
    rng = random.Random(seed)
    long = [rng.choices(WORDS[:12], k=rng.randint(1, 70)) for _ in range(120)]
    parts = []
    for _ in range(130):
        words = rng.choice(long)
        start = rng.randrange(len(words))
        parts.append(words[start : start + rng.randint(1, 12)])
    rows = [(rng.choice(SPLITS), f"Say: {', '.join(words)}. Is it?", True) for words in [*long, *parts]]
    expected = all_contained(rows)
    finding = contained_texts(small_corpus(rows))
    shares = {pair: len(found) / sum(row[0] == pair[0] for row in rows) for pair, found in expected.items()}
    assert finding.value == pytest.approx(max(shares.values()))
    assert finding.value > 0.1
    for (one, other), share in shares.items():
        assert f"{share:.1%} of {one} (in {other})" in finding.message
    assert finding.severity == "cue"  # phrases of one sentence may be what a source consists of


def test_sentences_and_openings_that_two_splits_share():
    sentence = "the old mill by the river has been closed for years"
    rows = random_corpus(400)
    training = [i for i, (split, _, _) in enumerate(rows) if split == "weak_train"]
    students = [i for i, (split, _, _) in enumerate(rows) if split == "strong_train"]
    finding = shared_sentences(small_corpus(rows))
    assert finding.severity == "passed"
    for place, other in ((0, 1), (1, 0)):  # as the first of two sentences, and as the second
        planted = list(rows)
        for split, at in ((training[:10], place), (students[:10], other)):
            for i in split:
                pair = [sentence, f"and here is what row number {i} alone has to say"]
                planted[i] = (rows[i][0], f"First: {pair[at].title()}\nSecond: {pair[1 - at]}\nIs it so?", rows[i][2])
        finding = shared_sentences(small_corpus(planted))
        assert f"{10 / len(students):.1%} of strong_train (in weak_train)" in finding.message
        assert finding.severity == ("warning" if 10 / len(students) >= 0.2 else "cue")
    begun = list(rows)
    for number, i in enumerate([*training[:10], *students[:10]]):
        begun[i] = (rows[i][0], f"I usually walk my dog around the lake at noon, but today not: reason {number}", True)
    assert f"{10 / len(students):.1%} of strong_train (in weak_train)" in shared_sentences(small_corpus(begun)).message


def test_a_sentence_on_very_many_rows_is_no_shared_one():
    sentence = "this one sentence stands in each and every row of all"
    rows = [
        (split, f"{i} {WORDS[i % 60]}. {sentence}. {WORDS[-1 - i % 50]}?", True)
        for i, (split, _, _) in enumerate(random_corpus(400))
    ]
    assert shared_sentences(small_corpus(rows)).severity == "passed"


def test_what_a_leak_through_pairs_of_sentences_looks_like():
    """Pairs that are cut row by row: most rows of strong_train share a sentence with weak_train, and it is a warning."""
    rng = random.Random(0)
    sentences = [" ".join(rng.choices(WORDS, k=12)) for _ in range(100)]
    rows = [
        (
            rng.choice(SPLITS),
            f"First sentence: {one}.\nSecond sentence: {other}.\nDo the two mean the same?",
            i % 2 == 0,
        )
        for i, (one, other) in enumerate(rng.sample(list(combinations(sentences, 2)), k=400))
    ]
    finding = shared_sentences(small_corpus(rows))
    assert finding.severity == "warning"
    assert finding.value is not None
    assert finding.value > 0.9
    assert near_duplicates(small_corpus(rows)).value == 0


def test_a_group_in_two_splits_is_a_leak():
    rows = [("weak_train", "a", True), ("test", "b", False), ("val", "c", True), ("test", "d", False)]
    assert shared_groups(small_corpus(rows, ["g", "h", "i", "h"])).severity == "passed"
    finding = shared_groups(small_corpus(rows, ["g", "g", "i", "h"]))
    assert finding.severity == "leak"
    assert finding.value == pytest.approx(1 / 3)
    assert finding.examples == ("weak_train: [positive] a", "test: [negative] b")


def test_passages_that_training_rows_show_too():
    rows = [
        ("weak_train", "Passage: Of cats.\nWhy?", True),
        ("test", "Passage: of  cats.\nWho?", False),
        ("test", "Passage: Of dogs.\nWho?", True),
        ("val", "Passage: Of cows.\nWho?", True),
        ("val", "Passage: Of cows.\nWhy?", False),
    ]
    finding = shared_passages(small_corpus(rows, passages=[text.split("\n")[0][9:] for _, text, _ in rows]))
    assert finding is not None
    assert finding.value == 0.5
    assert finding.severity == "warning"
    assert shared_passages(small_corpus(rows)) is None
