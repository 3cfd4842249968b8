"""Which texts are alike: against a comparison of all pairs by the definition."""

from __future__ import annotations

import itertools
import re

import numpy as np

from outshine.data.audit.near_duplicates import group_near_duplicates

WORDS = [f"w{i}" for i in range(400)]


def pairs_of(text: str) -> set[tuple[str, str]]:
    words = re.findall(r"\w+", text.lower())
    return set(itertools.pairwise(words))


def by_all_pairs(texts: list[str]) -> list[int]:
    """Single linkage over Jaccard ≥ .8 of word pairs, and equal words."""
    cluster = list(range(len(texts)))
    for i, j in itertools.combinations(range(len(texts)), 2):
        one, other = pairs_of(texts[i]), pairs_of(texts[j])
        same = re.findall(r"\w+", texts[i].lower()) == re.findall(r"\w+", texts[j].lower())
        if same or (one | other and len(one & other) >= 0.8 * len(one | other)):
            old, new = cluster[j], cluster[i]
            cluster = [new if name == old else name for name in cluster]
    return cluster


def partition(cluster: list[int]) -> set[frozenset[int]]:
    return {frozenset(i for i, other in enumerate(cluster) if other == name) for name in set(cluster)}


def test_it_finds_what_all_pairs_show() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 24)) for _ in range(40)]
    for text in texts[:15]:  # one or two words changed: just above and below the limit
        words = text.split()
        for place in rng.choice(len(words), int(rng.integers(1, 3)), replace=False):
            words[place] = "other"
        texts.append(" ".join(words))
    texts += [texts[0].upper() + "!", texts[41].replace(" ", "  ")]
    found = group_near_duplicates(texts)
    assert found.complete
    assert partition(found.cluster.tolist()) == partition(by_all_pairs(texts))
    assert 30 < len(set(found.cluster.tolist())) < len(texts) - 5


def test_it_goes_on_from_one_to_the_next() -> None:
    base = [f"x{i}" for i in range(30)]
    chain = [" ".join(["a"] * k + base[k:]) for k in range(6)]
    others = [" ".join(f"{name}{i}" for i in range(12)) for name in "klmnopqrst"]
    cluster = group_near_duplicates([*chain, *others]).cluster.tolist()
    assert len(set(cluster[:6])) == 1
    assert len(set(cluster)) == 1 + len(others)


def test_short_and_odd_texts() -> None:
    cluster = group_near_duplicates(["yes", "Yes.", "no", "!!!", "???", "!!!", "", "a b", "b a"]).cluster.tolist()
    assert cluster[0] == cluster[1]
    assert cluster[3] == cluster[5]
    assert len(set(cluster)) == 7
    assert group_near_duplicates(["one"]).cluster.tolist() == [0]


def test_many_copies_of_one_text_are_one_comparison() -> None:
    texts = ["the same text again and again"] * 500 + ["and one that is something else"]
    found = group_near_duplicates(texts)
    assert found.complete
    assert len(set(found.cluster.tolist())) == 2
