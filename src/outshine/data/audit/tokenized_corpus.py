"""A prepared dataset as the audit reads it: texts with labels, tokenised once into numbers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from outshine.data.audit.findings import example
from outshine.data.task import Task
from outshine.stats.auc_covariance import combine_seeds
from outshine.stats.intervals import Interval, auroc_interval
from outshine.stats.role_values import RoleValues

FIT_SPLITS = ("weak_train", "strong_train")  # statistics are fitted on these and measured on the others
TEMPLATE_SHARE = 0.99  # of the rows must agree on a token for it to be the prompt's
_TOKEN = re.compile(r"\w+|\n+|[^\w\s]")  # words and numbers (single letters too), line breaks, signs

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Spans(NamedTuple):
    """One run of tokens a row, as positions in `CorpusTokens.flat`: `start` [n] to before `end` [n]."""

    start: Ints
    end: Ints


class CorpusTokens(NamedTuple):
    """The tokens of all rows as numbers into `vocabulary`, one row after the other.

    Row i is flat[starts[i] : starts[i + 1]].
    """

    flat: NDArray[np.int32]
    starts: Ints
    vocabulary: list[str]

    @property
    def whole(self) -> Spans:
        return Spans(self.starts[:-1], self.starts[1:])

    @property
    def num_rows(self) -> int:
        return len(self.starts) - 1

    def at(self, position: Ints, inside: Bools) -> Ints:
        """The token at each row's position; −1 where the row has none there (`inside` false)."""
        if not len(self.flat):
            return np.full(len(position), -1, dtype=np.int64)
        return np.where(inside, self.flat[np.clip(position, 0, len(self.flat) - 1)], -1)

    def row_of_each(self) -> Ints:
        """The row of every token of `flat`."""
        return np.repeat(np.arange(self.num_rows), np.diff(self.starts))

    def present(self, spans: Spans) -> tuple[Ints, Ints]:
        """Which token is in which row's span: rows and tokens, each pair once, sorted."""
        position, row, size = np.arange(len(self.flat)), self.row_of_each(), max(1, len(self.vocabulary))
        inside = (position >= spans.start[row]) & (position < spans.end[row])
        rows, tokens = np.divmod(distinct(row[inside] * size + self.flat[inside]), size)
        return rows, tokens


@dataclass(frozen=True)
class TokenizedCorpus:
    """Texts, splits, labels and groups of n rows, in one order.

    Statistics are fitted on the rows of `fit` and measured on those of `held`: no group lies in both, and the test
    rows, which may come from a source of their own, are among the latter.
    """

    texts: list[str]
    splits: NDArray[np.str_]
    truth: Bools
    groups: NDArray[np.str_]
    passages: list[str]  # the part of each text that its recipe marks, "" where none is
    tokens: CorpusTokens
    sides: tuple[str, str] = ("negative", "positive")  # how rows are called whose truth is false, and true

    def example(self, row: int) -> str:
        """A row as one line, with its label."""
        return example(self.texts[row], self.sides[bool(self.truth[row])])

    @cached_property
    def fit(self) -> Bools:
        return np.isin(self.splits, FIT_SPLITS)

    @cached_property
    def held(self) -> Bools:
        return ~self.fit

    @cached_property
    def fit_rows(self) -> list[tuple[Ints, Ints]]:
        """The negative and the positive rows of each half of `fit`."""
        halves = [self.splits == split for split in FIT_SPLITS]
        return [(np.flatnonzero(half & ~self.truth), np.flatnonzero(half & self.truth)) for half in halves]

    @cached_property
    def content(self) -> Spans:
        """Each text without the words of the prompt at its beginning and end that (nearly) all texts share."""
        start, end = self.tokens.whole
        tail = _num_shared(self.tokens, from_end=True)
        head = _num_shared(self.tokens, from_end=False)
        start = np.minimum(start + head, end)
        return Spans(start, np.maximum(end - tail, start))

    @cached_property
    def answer(self) -> Spans:
        """The last line of the content: the proposed answer, the question or the sentence that is asked about."""
        start, end = self.content
        breaks = np.array([token[0] == "\n" for token in self.tokens.vocabulary], dtype=bool)
        if not len(self.tokens.flat):
            return self.content
        places = np.where(breaks[self.tokens.flat], np.arange(len(self.tokens.flat)), -1)
        last = np.maximum.accumulate(places)[np.maximum(end - 1, 0)]
        return Spans(np.clip(last + 1, start, end), end)

    def sample(self, most: int) -> TokenizedCorpus:
        """At most so many of the rows that statistics are fitted on, and of the held-out ones; drawn with one seed."""
        if max(self.fit.sum(), self.held.sum()) <= most:
            return self
        rng = np.random.default_rng(0)
        rows = np.concatenate([rng.permutation(np.flatnonzero(part))[:most] for part in (self.fit, self.held)])
        rows.sort()
        texts = [self.texts[row] for row in rows]
        passages = [self.passages[row] for row in rows]
        splits, truth, groups = self.splits[rows], self.truth[rows], self.groups[rows]
        return TokenizedCorpus(texts, splits, truth, groups, passages, tokenise(texts), self.sides)

    def held_auc(self, score: ArrayLike) -> Interval:
        """The AUC of scores of the held-out rows with its 95 % interval by groups."""
        return auroc_interval(self.held_aucs(score), 0)

    def held_aucs(self, *scores: ArrayLike) -> RoleValues:
        """The AUCs of several scores of the held-out rows, with their covariance over groups."""
        table = np.array([np.asarray(score, dtype=np.float64) for score in scores])
        return combine_seeds(self.truth[self.held], table[None], self.groups[self.held])


def corpora_of(texts: pd.DataFrame, truth: pd.DataFrame, task: Task, most: int) -> list[TokenizedCorpus]:
    """The corpus of a preparation; of several classes one for each of the `most` commonest, against all others."""
    names = task.class_names
    if len(names) == 2:
        sides = ("worse", "better") if task.is_pair else (names[0], names[1])
        return [replace(corpus_of(texts, truth), sides=sides)]
    rows = texts.merge(truth, on="id", validate="one_to_one")
    counts = rows["label"].value_counts()
    common = sorted(counts.index, key=lambda number: (-counts[number], number))[:most]
    whole = corpus_of(texts, truth)
    return [
        replace(
            whole,
            truth=(rows["label"] == number).to_numpy(),
            sides=(f"not {names[number]}", names[number]),
        )
        for number in sorted(common)
    ]


def corpus_of(texts: pd.DataFrame, truth: pd.DataFrame) -> TokenizedCorpus:
    """The corpus of a preparation of two classes: its `texts` and `truth` tables, joined by id."""
    rows = texts.merge(truth, on="id", validate="one_to_one")
    whole = rows["text"].tolist()
    spans = zip(whole, rows["cut_start"], rows["cut_end"], strict=True)
    return TokenizedCorpus(
        texts=whole,
        splits=rows["split"].to_numpy(dtype=str),
        truth=rows["label"].to_numpy(dtype=bool),
        groups=rows["group"].to_numpy(dtype=str),
        passages=[text[start:end] for text, start, end in spans],
        tokens=tokenise(whole),
    )


def tokenise(texts: Sequence[str]) -> CorpusTokens:
    """Words, numbers, single letters, line breaks and signs; letter case is kept. White space itself is not a token."""
    numbers: defaultdict[str, int] = defaultdict(lambda: len(numbers))
    rows = [np.array([numbers[token] for token in _TOKEN.findall(text)], dtype=np.int32) for text in texts]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)
    flat = np.concatenate(rows) if rows else np.empty(0, dtype=np.int32)
    return CorpusTokens(flat, starts, list(numbers))


def lower_words(tokens: CorpusTokens, spans: Spans | None = None) -> tuple[NDArray[np.int32], Ints]:
    """The words of all texts in lower case as numbers, without signs and line breaks, and where each text begins.

    `spans`: the part of each text; None: all of it.
    """
    numbers: dict[str, int] = {}
    lower = np.array(
        [numbers.setdefault(token.lower(), len(numbers)) if token[0].isalnum() else -1 for token in tokens.vocabulary],
        dtype=np.int32,
    )
    flat = lower[tokens.flat] if len(lower) else np.empty(0, dtype=np.int32)
    if spans is not None and len(flat):
        row, place = tokens.row_of_each(), np.arange(len(flat))
        flat = np.where((place >= spans.start[row]) & (place < spans.end[row]), flat, -1)
    ends = np.concatenate([[0], np.cumsum(flat >= 0)])[tokens.starts]
    return flat[flat >= 0], ends.astype(np.int64)


def distinct(values: Ints) -> Ints:
    """The distinct values, sorted. By sorting: for millions of numbers an order faster than `np.unique`'s hashing."""
    ordered = np.sort(values)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def _num_shared(tokens: CorpusTokens, from_end: bool) -> int:
    """How many leading (or closing) tokens at least TEMPLATE_SHARE of the rows share, place by place."""
    start, end = tokens.whole
    for number in range(int((end - start).max(initial=0))):
        place = end - 1 - number if from_end else start + number
        token = tokens.at(place, end - start > number)
        token = token[token >= 0]
        if not len(token) or np.bincount(token).max() < TEMPLATE_SHARE * tokens.num_rows:
            return number
    return 0  # all texts are the same as far as they go: no content would be left
