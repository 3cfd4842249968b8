"""Overlap of splits: every pair is searched for common texts, strong_train with weak_train first.

Looked for: shared groups and passages, sentences and openings that two splits have in common, texts that are contained
in others, texts that are the same after normalisation, or nearly so.

Nearly the same: the sets of word pairs of two texts (lower case, signs left out, pairs that most texts have left
out) have a Jaccard similarity of at least SIMILAR. Candidates come from prefix filtering (Chaudhuri, Ganti and
Kaushik 2006; Bayardo, Ma and Srikant 2007): with each text's pairs in order from the rarest, two such texts share one
of their first m − ⌈SIMILAR · m⌉ + 1. So none is missed, but for the two bounds on work below, and every candidate is
compared exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from outshine.data.audit.corpus import Bools, Corpus, Ints, Spans, distinct
from outshine.data.audit.findings import Finding, Severity, example
from outshine.data.grouping import STOCK_ROWS, STOCK_SHARE

SIMILAR = 0.8  # Jaccard similarity
TEMPLATE = 0.5  # word pairs in more than this share of the texts are the prompt's
WORTH_A_WARNING = 0.05  # share of a split's rows that another split knows, of the pairs in GRAVE
SENTENCES_WORTH_A_WARNING = 0.2  # the same for shared sentences: honest questions are often asked in the same words
SENTENCE_WORDS = 8  # words from which a sentence is compared
OPENING_WORDS = 10  # words at the beginning of a text that are compared
CONTAINED_WORDS = (5, 60)  # words of a text that is looked for within others
MAX_SHARING = 200  # texts with one rare word pair in common are compared with this many of each other at most
MAX_CANDIDATES = 1_000_000  # pairs that are compared at most
_CHUNK = 20_000  # pairs compared at once

PAIRS = (  # of each row of the first split it is asked whether the second one knows it
    ("strong_train", "weak_train"),
    ("test", "weak_train"),
    ("test", "strong_train"),
    ("val", "weak_train"),
    ("val", "strong_train"),
    ("test", "val"),
)
GRAVE = PAIRS[
    :3
]  # what a supervisor or a student learned here is scored or labelled there; val only chooses checkpoints


class _Pairs(NamedTuple):
    """Pairs of rows that lie in different splits."""

    left: Ints
    right: Ints


class _Known(NamedTuple):
    """Rows that another split knows: `hits` [n] for each of PAIRS, and two rows that show it."""

    hits: dict[tuple[str, str], Bools]
    shown: tuple[int, ...]


def shared_groups(corpus: Corpus) -> Finding:
    """Groups whose rows lie in two splits. There are none in what `prepare` writes: any is a leak across splits."""
    split_of: dict[str, set[str]] = {}
    for group, split in zip(corpus.groups.tolist(), corpus.splits.tolist(), strict=True):
        split_of.setdefault(group, set()).add(split)
    shared = [group for group, splits in split_of.items() if len(splits) > 1]
    if not shared:
        return Finding("shared groups", "passed", f"each of {len(split_of):,} groups lies in one split", value=0.0)
    rows = np.flatnonzero(np.isin(corpus.groups, shared[:1]))[:3]
    return Finding(
        "shared groups",
        "leak",
        f"{len(shared):,} of {len(split_of):,} groups have rows in more than one split",
        value=len(shared) / len(split_of),
        examples=_shown(corpus, rows.tolist()),
    )


def shared_passages(corpus: Corpus) -> Finding | None:
    """Passages (the part of a text that may be shortened) that rows of two splits show; None: no passages."""
    if not any(corpus.passages):
        return None
    contents = [{key} if (key := " ".join(passage.lower().split())) else set() for passage in corpus.passages]
    return _finding(corpus, "shared passages", _known(corpus, contents), "whose passage rows of another split show too")


def shared_sentences(corpus: Corpus) -> Finding:
    """Sentences of SENTENCE_WORDS words or more, and openings of OPENING_WORDS, that rows of two splits show.

    Compared without case and signs, and without the words of the prompt. What very many rows show is none.
    """
    found = _known(corpus, _sentences(corpus), max(STOCK_ROWS, STOCK_SHARE * len(corpus.texts)))
    what = "that share a long sentence or their beginning with a row of another split"
    return _finding(corpus, "shared sentences", found, what, SENTENCES_WORTH_A_WARNING)


def contained_texts(corpus: Corpus) -> Finding:
    """Texts of CONTAINED_WORDS words, without the prompt, that are a part of a text of another split, or have one."""
    pairs, complete = _contained_pairs(corpus)
    what = "that are a part of a text of another split, or have one as a part"
    found = _finding(corpus, "contained texts", _of_pairs(corpus, pairs), what + _unless(complete))
    return found._replace(severity="cue") if found.severity == "warning" else found


def exact_duplicates(corpus: Corpus) -> Finding:
    """Rows that are, but for case, signs and white space, the same text as a row of another split."""
    words, starts = _words(corpus)
    contents = [{content} if (content := words[start:end].tobytes()) else set() for start, end in pairwise(starts)]
    what = "that are the same as a row of another split but for case, signs and spaces"
    return _finding(corpus, "duplicates", _known(corpus, contents), what)


def near_duplicates(corpus: Corpus) -> Finding:
    """Rows that are nearly the same as one of another split; exact duplicates are among them."""
    pairs, complete = similar_pairs(corpus)
    what = f"that share {SIMILAR:.0%} of the word pairs with a row of another split"
    return _finding(corpus, "near duplicates", _of_pairs(corpus, pairs), what + _unless(complete))


def similar_pairs(corpus: Corpus) -> tuple[_Pairs, bool]:
    """All pairs of rows of different splits whose similarity is at least SIMILAR; whether none can be missing."""
    rows, codes = _shingles(corpus)
    candidates, complete = _candidates(corpus, rows, codes)
    kept = _verified(candidates, rows, codes, len(corpus.texts))
    return _Pairs(candidates.left[kept], candidates.right[kept]), complete


# --- near duplicates ---------------------------------------------------------------------------------------


def _words(corpus: Corpus, spans: Spans | None = None) -> tuple[NDArray[np.int32], Ints]:
    """The words of all texts in lower case as numbers, signs and line breaks left out, and where each text begins.

    `spans`: the part of each text; None: all of it.
    """
    numbers: dict[str, int] = {}
    lower = np.array(
        [
            numbers.setdefault(token.lower(), len(numbers)) if token[0].isalnum() else -1
            for token in corpus.tokens.vocabulary
        ],
        dtype=np.int32,
    )
    flat = lower[corpus.tokens.flat] if len(lower) else np.empty(0, dtype=np.int32)
    if spans is not None and len(flat):
        row, place = corpus.tokens.row_of_each(), np.arange(len(flat))
        flat = np.where((place >= spans.start[row]) & (place < spans.end[row]), flat, -1)
    ends = np.concatenate([[0], np.cumsum(flat >= 0)])[corpus.tokens.starts]
    return flat[flat >= 0], ends.astype(np.int64)


def _shingles(corpus: Corpus) -> tuple[Ints, Ints]:
    """The word pairs of each text, each once, without those of the prompt; numbered from the rarest, sorted by row."""
    words, starts = _words(corpus)
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


def _candidates(corpus: Corpus, rows: Ints, codes: Ints) -> tuple[_Pairs, bool]:
    """Pairs of rows of different splits that share one of the rare word pairs at their head, and are of like size."""
    sizes = np.bincount(rows, minlength=len(corpus.texts))
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    prefix = sizes - np.ceil(SIMILAR * sizes - 1e-9).astype(np.int64) + 1
    at_head = np.arange(len(rows)) - starts[rows] < prefix[rows]
    row, code = rows[at_head], codes[at_head]
    split = np.unique(corpus.splits, return_inverse=True)[1]
    row, code = _in_several_splits(row, code, split)
    found: list[Ints] = []
    num_found, lag = 0, 0
    while len(code) and lag < MAX_SHARING and num_found <= MAX_CANDIDATES:
        lag += 1
        same = np.flatnonzero(code[lag:] == code[:-lag])
        if not len(same):
            break
        left, right = row[same], row[same + lag]
        small, large = np.minimum(sizes[left], sizes[right]), np.maximum(sizes[left], sizes[right])
        like = (split[left] != split[right]) & (small >= SIMILAR * large - 1e-9)
        found.append(left[like] * len(corpus.texts) + right[like])
        num_found += int(like.sum())
    complete = lag < MAX_SHARING and num_found <= MAX_CANDIDATES
    both = distinct(np.concatenate(found))[:MAX_CANDIDATES] if found else np.empty(0, np.int64)
    return _Pairs(*np.divmod(both, len(corpus.texts))), complete


def _in_several_splits(row: Ints, code: Ints, split: Ints) -> tuple[Ints, Ints]:
    """Sorted by code, without the codes whose rows all lie in one split: rows of one passage share hundreds."""
    order = np.argsort(code, kind="stable")
    row, code = row[order], code[order]
    size = int(code.max(initial=-1)) + 1
    least, most = np.full(size, len(split)), np.full(size, -1)
    np.minimum.at(least, code, split[row])
    np.maximum.at(most, code, split[row])
    kept = least[code] < most[code]
    return row[kept], code[kept]


def _verified(pairs: _Pairs, rows: Ints, codes: Ints, num_rows: int) -> Bools:
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


# --- contained texts and sentences --------------------------------------------------------------------------


def _sentences(corpus: Corpus) -> list[set[bytes]]:
    """The long sentences of each text and its opening, as words in lower case."""
    numbers: dict[str, int] = {}
    end_of_sentence, sign = -2, -1
    lower = np.array(
        [
            numbers.setdefault(token.lower(), len(numbers))
            if token[0].isalnum()
            else end_of_sentence
            if token[0] in ".!?:\n"
            else sign
            for token in corpus.tokens.vocabulary
        ],
        dtype=np.int64,
    )
    found = []
    for start, end in zip(*corpus.content, strict=True):
        line = lower[corpus.tokens.flat[start:end]]
        ends = np.cumsum(line == end_of_sentence)
        words, sentence = line[line >= 0], ends[line >= 0]
        bounds = [0, *(np.flatnonzero(np.diff(sentence)) + 1).tolist(), len(words)]
        parts = [words[i:j].tobytes() for i, j in pairwise(bounds) if j - i >= SENTENCE_WORDS]
        found.append({*parts, *([words[:OPENING_WORDS].tobytes()] if len(words) > OPENING_WORDS else [])})
    return found


def _contained_pairs(corpus: Corpus) -> tuple[_Pairs, bool]:
    """All pairs of a text (left) and a longer one of another split that has it as a part; whether none can be missing.

    Candidates are the places where the text's rarest run of CONTAINED_WORDS[0] words stands; each is compared exactly.
    """
    words, starts = _words(corpus, corpus.content)
    sizes, split = np.diff(starts), np.unique(corpus.splits, return_inverse=True)[1]
    least, most = CONTAINED_WORDS
    if not ((sizes >= least) & (sizes <= most)).any():
        return _Pairs(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)), True
    row_of = np.repeat(np.arange(len(sizes)), sizes)
    code = _runs(words, least)
    last = starts[row_of + 1] - least  # the last place of a row where a whole run begins
    begins = np.flatnonzero(np.arange(len(words)) <= last)
    texts_with = np.bincount(code[begins], minlength=int(code.max(initial=-1)) + 1)
    asked = begins[sizes[row_of[begins]] <= most]
    order = np.lexsort((texts_with[code[asked]], row_of[asked]))
    text, first = np.unique(row_of[asked][order], return_index=True)
    anchor = asked[order][first]
    place = begins[np.isin(code[begins], code[anchor])]
    place = place[np.argsort(code[place], kind="stable")]
    low, high = (np.searchsorted(code[place], code[anchor], side=side) for side in ("left", "right"))
    kept = np.cumsum(high - low) <= MAX_CANDIDATES
    counts, low, text, anchor = (values[kept] for values in (high - low, low, text, anchor))
    nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    text, offset = np.repeat(text, counts), np.repeat(anchor - starts[text], counts)
    at = place[np.repeat(low, counts) + nth] - offset
    row = row_of[at + offset]
    inside = (at >= starts[row]) & (at + sizes[text] <= starts[row + 1])
    inside &= (split[text] != split[row]) & (sizes[text] < sizes[row])
    text, at, row = text[inside], at[inside], row[inside]
    for ahead in range(int(sizes[text].max(initial=0))):
        open_ = ahead < sizes[text]
        same = ~open_ | (words[np.where(open_, starts[text] + ahead, 0)] == words[np.where(open_, at + ahead, 0)])
        text, at, row = text[same], at[same], row[same]
    return _Pairs(text, row), bool(kept.all())


def _runs(words: NDArray[np.int32], length: int) -> Ints:
    """A number for the run of `length` words that begins at each place; equal runs have equal numbers."""
    code = words.astype(np.int64)
    for ahead in range(1, length):
        following = np.full(len(words), -1, dtype=np.int64)
        following[: len(words) - ahead] = words[ahead:]
        code = np.unique(code * (int(words.max(initial=0)) + 2) + following + 1, return_inverse=True)[1]
    return code.astype(np.int64)


# --- findings ----------------------------------------------------------------------------------------------


def _known(corpus: Corpus, contents: Sequence[set[Any]], limit: float = math.inf) -> _Known:
    """Rows of which another split has a content, of those contents that at most `limit` rows have."""
    rows_of: dict[Any, list[int]] = {}
    for row, found in enumerate(contents):
        for content in found:
            rows_of.setdefault(content, []).append(row)
    left: list[int] = []
    right: list[int] = []
    for rows in rows_of.values():
        if not 1 < len(rows) <= limit:
            continue
        one_in = {corpus.splits[row]: row for row in reversed(rows)}  # the first row of each split
        for row in rows if len(one_in) > 1 else ():
            others = [other for split, other in one_in.items() if split != corpus.splits[row]]
            left += [row] * len(others)
            right += others
    return _of_pairs(corpus, _Pairs(np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)))


def _of_pairs(corpus: Corpus, pairs: _Pairs) -> _Known:
    """Which rows the pairs concern, either way round."""
    one, other = np.concatenate([pairs.left, pairs.right]), np.concatenate([pairs.right, pairs.left])
    hits, shown = {}, ()
    for pair in PAIRS:
        crossing = np.flatnonzero((corpus.splits[one] == pair[0]) & (corpus.splits[other] == pair[1]))
        hits[pair] = np.zeros(len(corpus.texts), dtype=bool)
        hits[pair][one[crossing]] = True
        if len(crossing) and not shown:
            shown = (int(one[crossing[0]]), int(other[crossing[0]]))
    return _Known(hits, shown)


def _finding(corpus: Corpus, check: str, known: _Known, what: str, worth: float = WORTH_A_WARNING) -> Finding:
    """A finding about the share of each split's rows that each other split knows."""
    shares = {
        pair: float(known.hits[pair][corpus.splits == pair[0]].mean())
        for pair in PAIRS
        if all((corpus.splits == split).any() for split in pair)
    }
    grave = max((share for pair, share in shares.items() if pair in GRAVE), default=0.0)
    worst = max(shares.values(), default=0.0)
    severity: Severity = "warning" if grave >= worth else "cue" if worst > 0 else "passed"
    pairs = ", ".join(f"{_percent(share)} of {one} (in {other})" for (one, other), share in shares.items() if share > 0)
    message = f"rows {what}: {pairs or 'none'}"
    return Finding(check, severity, message, value=worst, examples=_shown(corpus, known.shown))


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"


def _unless(complete: bool) -> str:
    return "" if complete else " (at least: not all were compared)"


def _shown(corpus: Corpus, rows: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"{corpus.splits[row]}: {example(corpus.texts[row], bool(corpus.truth[row]))}" for row in rows)
