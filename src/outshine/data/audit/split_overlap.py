"""Overlap of splits: every pair is searched for common texts, strong_train with weak_train first.

The checks look for shared groups and passages, sentences and openings that two splits have in common, texts that are
contained in others, and texts that are the same but for case and signs, or nearly so
(`outshine.data.audit.near_duplicates`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from outshine.data.audit.findings import Finding, Severity
from outshine.data.audit.near_duplicates import MAX_CANDIDATES, SIMILAR, RowPairs, similar_pairs
from outshine.data.audit.tokenized_corpus import Bools, Ints, TokenizedCorpus, lower_words
from outshine.data.usable_rows import STOCK_ROWS, STOCK_SHARE

WORTH_A_WARNING = 0.05  # share of a split's rows that another split knows, of the pairs in GRAVE
SENTENCES_WORTH_A_WARNING = 0.2  # the same for shared sentences: honest questions are often asked in the same words
SENTENCE_WORDS = 8  # words from which a sentence is compared
OPENING_WORDS = 10  # words at the beginning of a text that are compared
CONTAINED_WORDS = (5, 60)  # words of a text that is looked for within others

PAIRS = (  # of each row of the first split it is asked whether the second one knows it
    ("strong_train", "weak_train"),
    ("test", "weak_train"),
    ("test", "strong_train"),
    ("val", "weak_train"),
    ("val", "strong_train"),
    ("test", "val"),
)
GRAVE = PAIRS[:3]  # trained on in one, scored or labelled in the other; val only chooses checkpoints


class _Known(NamedTuple):
    """Rows that another split knows: `hits` [n] for each of PAIRS, and two rows that show it."""

    hits: dict[tuple[str, str], Bools]
    shown: tuple[int, ...]


def shared_groups(corpus: TokenizedCorpus) -> Finding:
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


def shared_passages(corpus: TokenizedCorpus) -> Finding | None:
    """Passages (the part of a text that may be shortened) that rows of two splits show; None: no passages."""
    if not any(corpus.passages):
        return None
    contents = [{key} if (key := " ".join(passage.lower().split())) else set() for passage in corpus.passages]
    return _finding(corpus, "shared passages", _known(corpus, contents), "whose passage rows of another split show too")


def shared_sentences(corpus: TokenizedCorpus) -> Finding:
    """Sentences of SENTENCE_WORDS words or more, and openings of OPENING_WORDS, that rows of two splits show.

    Case, signs and the words of the prompt do not count, and a sentence that very many rows show is none.
    """
    known = _known(corpus, _sentences(corpus), max(STOCK_ROWS, STOCK_SHARE * len(corpus.texts)))
    what = "that share a long sentence or their beginning with a row of another split"
    return _finding(corpus, "shared sentences", known, what, SENTENCES_WORTH_A_WARNING)


def contained_texts(corpus: TokenizedCorpus) -> Finding:
    """Texts of CONTAINED_WORDS words, without the prompt, that are a part of a text of another split, or have one."""
    pairs, complete = _contained_pairs(corpus)
    what = "that are a part of a text of another split, or have one as a part"
    finding = _finding(corpus, "contained texts", _of_pairs(corpus, pairs), what + _unless(complete))
    return finding._replace(severity="cue") if finding.severity == "warning" else finding


def exact_duplicates(corpus: TokenizedCorpus) -> Finding:
    """Rows that are, but for case, signs and white space, the same text as a row of another split."""
    words, starts = lower_words(corpus.tokens)
    contents = [{content} if (content := words[start:end].tobytes()) else set() for start, end in pairwise(starts)]
    what = "that are the same as a row of another split but for case, signs and spaces"
    return _finding(corpus, "duplicates", _known(corpus, contents), what)


def near_duplicates(corpus: TokenizedCorpus) -> Finding:
    """Rows that are nearly the same as one of another split; exact duplicates are among them."""
    pairs, complete = similar_pairs(corpus)
    what = f"that share {SIMILAR:.0%} of the word pairs with a row of another split"
    return _finding(corpus, "near duplicates", _of_pairs(corpus, pairs), what + _unless(complete))


# --- contained texts and sentences --------------------------------------------------------------------------


def _sentences(corpus: TokenizedCorpus) -> list[set[bytes]]:
    """The long sentences of each text and its opening, as words in lower case."""
    numbers: dict[str, int] = {}
    end_of_sentence, sign = -2, -1

    def number(token: str) -> int:
        if token[0].isalnum():
            return numbers.setdefault(token.lower(), len(numbers))
        return end_of_sentence if token[0] in ".!?:\n" else sign

    lower = np.array([number(token) for token in corpus.tokens.vocabulary], dtype=np.int64)
    sentences = []
    for start, end in zip(*corpus.content, strict=True):
        line = lower[corpus.tokens.flat[start:end]]
        ends = np.cumsum(line == end_of_sentence)
        words, sentence = line[line >= 0], ends[line >= 0]
        bounds = [0, *(np.flatnonzero(np.diff(sentence)) + 1).tolist(), len(words)]
        parts = [words[i:j].tobytes() for i, j in pairwise(bounds) if j - i >= SENTENCE_WORDS]
        opening = [words[:OPENING_WORDS].tobytes()] if len(words) > OPENING_WORDS else []
        sentences.append({*parts, *opening})
    return sentences


def _contained_pairs(corpus: TokenizedCorpus) -> tuple[RowPairs, bool]:
    """All pairs of a text (left) and a longer one of another split that has it as a part; whether none can be missing.

    Candidates are the places where the text's rarest run of CONTAINED_WORDS[0] words stands; each is compared exactly.
    """
    words, starts = lower_words(corpus.tokens, corpus.content)
    sizes, split = np.diff(starts), np.unique(corpus.splits, return_inverse=True)[1]
    least, most = CONTAINED_WORDS
    if not ((sizes >= least) & (sizes <= most)).any():
        return RowPairs(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)), True
    row_of, run = np.repeat(np.arange(len(sizes)), sizes), _runs(words, least)
    begins = np.flatnonzero(np.arange(len(words)) <= starts[row_of + 1] - least)  # where a row has a whole run
    text, anchor = _rarest_runs(run, begins, begins[sizes[row_of[begins]] <= most], row_of)
    number, place, complete = _places_of_runs(run, begins, anchor)
    text, anchor = text[number], anchor[number]
    row, start = row_of[place], place - (anchor - starts[text])  # where the text would begin in that row
    inside = (start >= starts[row]) & (start + sizes[text] <= starts[row + 1])
    inside &= (split[text] != split[row]) & (sizes[text] < sizes[row])
    text, row, start = text[inside], row[inside], start[inside]
    for ahead in range(int(sizes[text].max(initial=0))):
        ended = ahead >= sizes[text]
        same = words[np.where(ended, 0, starts[text] + ahead)] == words[np.where(ended, 0, start + ahead)]
        text, row, start = text[same], row[same], start[same]
    return RowPairs(text, row), complete


def _rarest_runs(run: Ints, begins: Ints, short: Ints, row_of: Ints) -> tuple[Ints, Ints]:
    """The rows that have a place among `short`, and of each row the place where its rarest run begins."""
    times = np.bincount(run[begins], minlength=int(run.max(initial=-1)) + 1)
    ordered = short[np.lexsort((times[run[short]], row_of[short]))]
    rows, first = np.unique(row_of[ordered], return_index=True)
    return rows, ordered[first]


def _places_of_runs(run: Ints, begins: Ints, anchor: Ints) -> tuple[Ints, Ints, bool]:
    """Every place where the run of an anchor begins: numbers of anchors, places; whether these are all.

    Anchors beyond the first MAX_CANDIDATES places are left out.
    """
    place = begins[np.isin(run[begins], run[anchor])]
    place = place[np.argsort(run[place], kind="stable")]
    low, high = (np.searchsorted(run[place], run[anchor], side=side) for side in ("left", "right"))
    kept = np.cumsum(high - low) <= MAX_CANDIDATES
    low, counts = low[kept], (high - low)[kept]
    nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(np.flatnonzero(kept), counts), place[np.repeat(low, counts) + nth], bool(kept.all())


def _runs(words: NDArray[np.int32], length: int) -> Ints:
    """A number for the run of `length` words that begins at each place; equal runs have equal numbers."""
    code = words.astype(np.int64)
    for ahead in range(1, length):
        following = np.full(len(words), -1, dtype=np.int64)
        following[: len(words) - ahead] = words[ahead:]
        code = np.unique(code * (int(words.max(initial=0)) + 2) + following + 1, return_inverse=True)[1]
    return code.astype(np.int64)


# --- findings ----------------------------------------------------------------------------------------------


def _known(corpus: TokenizedCorpus, contents: Sequence[set[Any]], limit: float = math.inf) -> _Known:
    """Rows of which another split has a content, of those contents that at most `limit` rows have."""
    rows_of: dict[Any, list[int]] = {}
    for row, contents_of_row in enumerate(contents):
        for content in contents_of_row:
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
    return _of_pairs(corpus, RowPairs(np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)))


def _of_pairs(corpus: TokenizedCorpus, pairs: RowPairs) -> _Known:
    """The rows that are in the pairs, on either side."""
    row, known = np.concatenate([pairs.left, pairs.right]), np.concatenate([pairs.right, pairs.left])
    hits, shown = {}, ()
    for pair in PAIRS:
        crossing = np.flatnonzero((corpus.splits[row] == pair[0]) & (corpus.splits[known] == pair[1]))
        hits[pair] = np.zeros(len(corpus.texts), dtype=bool)
        hits[pair][row[crossing]] = True
        if len(crossing) and not shown:
            shown = (int(row[crossing[0]]), int(known[crossing[0]]))
    return _Known(hits, shown)


def _finding(corpus: TokenizedCorpus, check: str, known: _Known, what: str, worth: float = WORTH_A_WARNING) -> Finding:
    """A finding about the share of each split's rows that each other split knows."""
    shares = {
        pair: float(known.hits[pair][corpus.splits == pair[0]].mean())
        for pair in PAIRS
        if all((corpus.splits == split).any() for split in pair)
    }
    grave = max((share for pair, share in shares.items() if pair in GRAVE), default=0.0)
    worst = max(shares.values(), default=0.0)
    severity: Severity = "warning" if grave >= worth else "cue" if worst > 0 else "passed"
    pairs = ", ".join(f"{_percent(share)} of {split} (in {other})" for (split, other), share in shares.items() if share)
    message = f"rows {what}: {pairs or 'none'}"
    return Finding(check, severity, message, value=worst, examples=_shown(corpus, known.shown))


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"


def _unless(complete: bool) -> str:
    return "" if complete else " (at least: not all were compared)"


def _shown(corpus: TokenizedCorpus, rows: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"{corpus.splits[row]}: {corpus.example(row)}" for row in rows)
