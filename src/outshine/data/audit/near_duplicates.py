"""Near duplicates among many texts.

Nearly the same: the sets of word pairs of two texts (lower case, signs left out, pairs that most texts have left
out) have a Jaccard similarity of at least SIMILAR. Candidates come from prefix filtering (Chaudhuri, Ganti and
Kaushik 2006; Bayardo, Ma and Srikant 2007): with each text's pairs in order from the rarest, two such texts share one
of their first m − ⌈SIMILAR · m⌉ + 1. So none is missed, but for the two bounds on work below, and every candidate is
compared exactly.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from outshine.data.audit.tokenized_corpus import Bools, Ints, TokenizedCorpus, distinct, lower_words, tokenise

SIMILAR = 0.8  # Jaccard similarity
TEMPLATE = 0.5  # word pairs in more than this share of the texts are the prompt's
MAX_SHARING = 200  # texts with one rare word pair in common are compared with this many of each other at most
MAX_CANDIDATES = 1_000_000  # pairs that are compared at most
_CHUNK = 20_000  # pairs compared at once
_WORD = re.compile(r"\w+")


class RowPairs(NamedTuple):
    """Pairs of rows that lie in different splits."""

    left: Ints
    right: Ints


class TextGroups(NamedTuple):
    """Clusters of near duplicates: `cluster` [n], a number for each text; `complete`: no pair can have been missed."""

    cluster: Ints
    complete: bool


def group_near_duplicates(texts: Sequence[str]) -> TextGroups:
    """Clusters of texts that are the same but for case, signs and spaces, or share SIMILAR of their word pairs.

    Where a is like b and b like c, all three are one cluster (single linkage). Nearly the same
    is what `outshine.data.audit.split_overlap` calls so. Texts without any word are compared as they are.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    content = [" ".join(_WORD.findall(text.lower())) or text.strip() for text in texts]
    different, number = np.unique(np.array(content, dtype=object).astype(str), return_inverse=True)
    num = len(different)
    if num < 2:
        return TextGroups(np.zeros(len(texts), dtype=np.int64), True)
    names = np.arange(num).astype(str)
    corpus = TokenizedCorpus(  # each text is a split of its own, so that all pairs are compared
        texts=different.tolist(),
        splits=names,
        truth=np.zeros(num, dtype=bool),
        groups=names,
        passages=[""] * num,
        tokens=tokenise(different.tolist()),
    )
    pairs, complete = similar_pairs(corpus)
    links = coo_array((np.ones(len(pairs.left)), (pairs.left, pairs.right)), shape=(num, num))
    cluster = connected_components(links, directed=False)[1]
    return TextGroups(np.asarray(cluster[number], dtype=np.int64), complete)


def similar_pairs(corpus: TokenizedCorpus) -> tuple[RowPairs, bool]:
    """All pairs of rows of different splits whose similarity is at least SIMILAR; whether none can be missing."""
    rows, codes = _shingles(corpus)
    candidates, complete = _candidates(corpus, rows, codes)
    kept = _verified(candidates, rows, codes, len(corpus.texts))
    return RowPairs(candidates.left[kept], candidates.right[kept]), complete


def _shingles(corpus: TokenizedCorpus) -> tuple[Ints, Ints]:
    """The word pairs of each text, each once, without those of the prompt; numbered from the rarest, sorted by row."""
    words, starts = lower_words(corpus.tokens)
    row = np.repeat(np.arange(len(corpus.texts)), np.diff(starts))
    inside = row[:-1] == row[1:]
    size = int(words.max(initial=0)) + 1
    pair = words[:-1][inside].astype(np.int64) * size + words[1:][inside]
    row, pair = np.divmod(distinct(row[:-1][inside] * size**2 + pair), size**2)
    pairs, code, texts_with = np.unique(pair, return_inverse=True, return_counts=True)
    rank = np.empty(len(pairs), dtype=np.int64)
    rank[np.argsort(texts_with, kind="stable")] = np.arange(len(pairs))
    content = texts_with[code] <= max(1.0, TEMPLATE * len(corpus.texts))
    return np.divmod(np.sort(row[content] * (len(pairs) + 1) + rank[code[content]]), len(pairs) + 1)


def _candidates(corpus: TokenizedCorpus, rows: Ints, codes: Ints) -> tuple[RowPairs, bool]:
    """Pairs of rows of different splits that share one of their rarest word pairs, and are of similar size."""
    sizes = np.bincount(rows, minlength=len(corpus.texts))
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    prefix = sizes - np.ceil(SIMILAR * sizes - 1e-9).astype(np.int64) + 1
    at_head = np.arange(len(rows)) - starts[rows] < prefix[rows]
    row, code = rows[at_head], codes[at_head]
    split = np.unique(corpus.splits, return_inverse=True)[1]
    row, code = _in_several_splits(row, code, split)
    candidates: list[Ints] = []
    num_candidates, lag = 0, 0
    while len(code) and lag < MAX_SHARING and num_candidates <= MAX_CANDIDATES:
        lag += 1
        same = np.flatnonzero(code[lag:] == code[:-lag])
        if not len(same):
            break
        left, right = row[same], row[same + lag]
        small, large = np.minimum(sizes[left], sizes[right]), np.maximum(sizes[left], sizes[right])
        like = (split[left] != split[right]) & (small >= SIMILAR * large - 1e-9)
        candidates.append(left[like] * len(corpus.texts) + right[like])
        num_candidates += int(like.sum())
    complete = lag < MAX_SHARING and num_candidates <= MAX_CANDIDATES
    both = distinct(np.concatenate(candidates))[:MAX_CANDIDATES] if candidates else np.empty(0, np.int64)
    return RowPairs(*np.divmod(both, len(corpus.texts))), complete


def _in_several_splits(row: Ints, code: Ints, split: Ints) -> tuple[Ints, Ints]:
    """Sort by code, and leave out codes whose rows all lie in one split: rows of one passage share hundreds."""
    order = np.argsort(code, kind="stable")
    row, code = row[order], code[order]
    size = int(code.max(initial=-1)) + 1
    least, most = np.full(size, len(split)), np.full(size, -1)
    np.minimum.at(least, code, split[row])
    np.maximum.at(most, code, split[row])
    kept = least[code] < most[code]
    return row[kept], code[kept]


def _verified(pairs: RowPairs, rows: Ints, codes: Ints, num_rows: int) -> Bools:
    """Which pairs have |A ∩ B| / |A ∪ B| ≥ SIMILAR, counted exactly."""
    from scipy.sparse import csr_array

    shape = (num_rows, int(codes.max(initial=0)) + 1)
    table = csr_array((np.ones(len(rows), dtype=np.int32), (rows, codes)), shape=shape)
    sizes = np.bincount(rows, minlength=num_rows)
    kept = np.zeros(len(pairs.left), dtype=bool)
    for chunk in range(math.ceil(len(kept) / _CHUNK)):
        part = slice(chunk * _CHUNK, (chunk + 1) * _CHUNK)
        left, right = pairs.left[part], pairs.right[part]
        common = np.asarray(table[left].multiply(table[right]).sum(axis=1)).ravel()
        kept[part] = common >= SIMILAR * (sizes[left] + sizes[right] - common) - 1e-9
    return kept
