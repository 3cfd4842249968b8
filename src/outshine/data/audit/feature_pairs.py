"""Leak rule (d): pairs of features, or remainders of counts, that decide the label where each alone does not.

The first wording *xor* the last, an even number of characters for positives, the last digit of a number: no single
word shows such a rule. Each *variable* gives every row one of a few values: tokens at the first and last places,
counts modulo a few divisors, presence and parity of common tokens, characters and shapes. Two variables cut the rows
into cells, and the label's log odds by cell are a score. One pair is chosen within the training rows, by cells counted
on one half and scored on the other, and measured on the held-out rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from outshine.data.audit.text_features import NgramNames, character_name, shape, which_ngrams
from outshine.data.audit.tokenized_corpus import FIT_SPLITS, Bools, Ints, Spans, TokenizedCorpus
from outshine.stats.auroc import counted_auroc

PLACES = 4  # tokens from the start and the end of the content and from the start of the last line
DIVISORS = (7, 10, 12)  # a remainder by 10 tells that by 2 and 5, one by 12 that by 2, 3, 4 and 6
MAX_VALUES = 64  # of a variable; rarer tokens are one value
MAX_MARKS = 100  # of each sort: tokens, characters, shapes
COMMON = 0.03  # share of the training rows that must have a mark, and that must lack it
_SHAPE_LENGTHS = (1, 2, 3)
_NUMBER = re.compile(r"[0-9]+")

Floats = NDArray[np.float64]


class Variable(NamedTuple):
    """A feature of every row: its name in words, and `values` [n], whole numbers below `size`."""

    name: str
    values: Ints
    size: int


class FeatureRule(NamedTuple):
    """The variable or the pair that was chosen: its name in words, and the score [n] of every row."""

    name: str
    score: Floats


class _Pair(NamedTuple):
    """Two variables, or one twice, and the AUC of their cells between the halves of the training rows."""

    quality: float
    first: Variable
    second: Variable


def best_rule(corpus: TokenizedCorpus) -> FeatureRule:
    """Choose the variable or the pair of variables that predicts the label best among the training rows."""
    pairs = [_pair_of_variables(corpus), *_pair_of_marks(corpus)]
    best = max(pairs, key=lambda pair: pair.quality)
    _, first, second = best
    name = first.name if first is second else f"{first.name} together with {second.name}"
    return FeatureRule(name, _log_odds(_cells(first, second), corpus.truth, corpus.fit))


def _cells(first: Variable, second: Variable) -> Ints:
    return first.values if first is second else first.values * second.size + second.values


def _log_odds(cells: Ints, truth: Bools, fitted: Bools) -> Floats:
    """[n] The log odds of the label in each row's cell, from the fitted rows, one row of either label added."""
    size = int(cells.max(initial=0)) + 1
    positive, negative = (np.bincount(cells[fitted & (truth == label)], minlength=size) for label in (True, False))
    return (np.log(positive + 1) - np.log(negative + 1))[cells]


def _quality(corpus: TokenizedCorpus, pair: tuple[Variable, Variable]) -> float:
    """The mean AUC, on either half of the training rows, of cells counted on the other half."""
    cells, aucs = _cells(*pair), []
    size = int(cells.max(initial=0)) + 1
    counts = [[np.bincount(cells[rows], minlength=size) for rows in half] for half in corpus.fit_rows]
    for fitted, (negative, positive) in (counts, counts[::-1]):
        there = np.flatnonzero(positive + negative)
        if positive.any() and negative.any():
            log_odds = np.log(fitted[1][there] + 1) - np.log(fitted[0][there] + 1)
            aucs.append(counted_auroc(positive[there], negative[there], log_odds))
    return float(np.mean(aucs)) if aucs else 0.5


# --- variables of several values ---------------------------------------------------------------------------


def _pair_of_variables(corpus: TokenizedCorpus) -> _Pair:
    variables = [*_tokens_at_places(corpus), *_remainders(corpus)]
    pairs = [(first, second) for i, first in enumerate(variables) for second in variables[i:]]
    return max((_Pair(_quality(corpus, pair), *pair) for pair in pairs), key=lambda pair: pair.quality)


def _tokens_at_places(corpus: TokenizedCorpus) -> Iterator[Variable]:
    (start, end), (first, _) = corpus.content, corpus.answer
    one_line = bool(np.array_equal(first, start))
    for number in range(PLACES):
        for place, where in (
            (start + number, f"token {number + 1} of the content"),
            (end - 1 - number, f"token {number + 1} from the end of the content"),
            *([] if one_line else [(first + number, f"token {number + 1} of the last line")]),
        ):
            yield _frequent(where, corpus.tokens.at(place, (place >= start) & (place < end)), corpus.fit)


def _frequent(name: str, token: Ints, fit: Bools) -> Variable:
    """A value for each of the most frequent tokens of the training rows, 1 for all others, 0 for no token at all."""
    tokens, counts = np.unique(token[fit & (token >= 0)], return_counts=True)
    kept = tokens[np.argsort(-counts, kind="stable")][:MAX_VALUES]
    value = np.ones(int(token.max(initial=-1)) + 2, dtype=np.int64)
    value[kept] = np.arange(len(kept)) + 2
    value[-1] = 0  # the place of −1: no token
    return Variable(name, value[token], len(kept) + 2)


def _remainders(corpus: TokenizedCorpus) -> Iterator[Variable]:
    numbers = [_NUMBER.findall(text) for text in corpus.texts]
    whole, answer = corpus.tokens.whole, corpus.answer
    counts: dict[str, Sequence[int] | Ints] = {
        "the number of characters": [len(text) for text in corpus.texts],
        "the number of words": [len(text.split()) for text in corpus.texts],
        "the number of words and signs": _sizes(whole),
        "the number of words and signs in the last line": _sizes(answer),
        "the sum of the digits": [sum(map(int, "".join(numbers_of_text))) for numbers_of_text in numbers],
    }
    for name, count in counts.items():
        for divisor in DIVISORS:
            yield Variable(f"{name} modulo {divisor}", np.array(count, dtype=np.int64) % divisor, divisor)
    for place, where in ((0, "first"), (-1, "last")):
        digits = [int(numbers_of_text[place][-1]) if numbers_of_text else 10 for numbers_of_text in numbers]
        yield Variable(f"the last digit of the {where} number", np.array(digits, dtype=np.int64), 11)


def _sizes(spans: Spans) -> Ints:
    return spans.end - spans.start


# --- marks: there or not, odd or even ----------------------------------------------------------------------


def _pair_of_marks(corpus: TokenizedCorpus) -> Iterator[_Pair]:
    """The pair whose four cells differ most, found for all pairs at once."""
    table, names = _marks(corpus)
    if names:
        halves = [corpus.splits == split for split in FIT_SPLITS]
        between = sum((_between_cells(table[half], corpus.truth[half]) for half in halves), np.zeros(1))
        i, j = np.unravel_index(int(np.argmax(between)), between.shape)
        first = Variable(names[i], table[:, i].astype(np.int64), 2)
        second = first if i == j else Variable(names[j], table[:, j].astype(np.int64), 2)
        yield _Pair(_quality(corpus, (first, second)), first, second)


def _between_cells(table: NDArray[np.float32], truth: Bools) -> Floats:
    """[m, m] The label's variation between the four cells of each pair of marks: Σ (Σ y − ȳ)² / rows of the cell."""
    label = truth.astype(np.float32) - truth.mean(dtype=np.float32)
    rows, labels = table.T @ table, table.T @ (table * label[:, None])
    num, total = table.sum(axis=0), table.T @ label
    cells = (
        (rows, labels),
        (num[:, None] - rows, total[:, None] - labels),
        (num[None] - rows, total[None] - labels),
        (len(table) - num[:, None] - num[None] + rows, labels - total[:, None] - total[None]),
    )
    parts = [np.divide(sums**2, sizes, out=np.zeros_like(sums), where=sizes > 0.5) for sizes, sums in cells]
    return np.stack(parts).sum(axis=0).astype(np.float64)


def _marks(corpus: TokenizedCorpus) -> tuple[NDArray[np.float32], list[str]]:
    """Which row has which mark [n, m], and the name of each mark in words."""
    columns, names = [], []
    for name, counts in (*_common_tokens(corpus), *_common_characters(corpus), *_common_shapes(corpus)):
        for values, what in ((counts > 0, f"whether {name} is there"), (counts % 2 == 1, f"the parity of {name}")):
            if COMMON <= values[corpus.fit].mean() <= 1 - COMMON and (what[:7] == "whether" or counts.max() > 1):
                columns.append(values.astype(np.float32))
                names.append(what)
    empty = np.empty((len(corpus.texts), 0), dtype=np.float32)
    return (np.stack(columns, axis=1) if columns else empty), names


def _common_tokens(corpus: TokenizedCorpus) -> Iterator[tuple[str, Ints]]:
    tokens, row = corpus.tokens, corpus.tokens.row_of_each()
    rows, codes = tokens.present(tokens.whole)
    for code in _most_balanced(corpus, rows, codes):
        yield repr(tokens.vocabulary[code]), np.bincount(row[tokens.flat == code], minlength=len(corpus.texts))


def _common_characters(corpus: TokenizedCorpus) -> Iterator[tuple[str, Ints]]:
    seen: Counter[str] = Counter()
    for text in corpus.texts:
        seen.update(set(text))
    for character, _ in seen.most_common(MAX_MARKS):
        yield character_name(ord(character)), np.array([text.count(character) for text in corpus.texts])


def _common_shapes(corpus: TokenizedCorpus) -> Iterator[tuple[str, Ints]]:
    shapes = [shape(text) for text in corpus.texts]
    rows, codes = which_ngrams(shapes, _SHAPE_LENGTHS)
    names = NgramNames(shapes, _SHAPE_LENGTHS)
    for code in _most_balanced(corpus, rows, codes):
        yield names(code), np.bincount(rows[codes == code], minlength=len(corpus.texts))


def _most_balanced(corpus: TokenizedCorpus, rows: Ints, codes: Ints) -> list[int]:
    """The MAX_MARKS codes whose share of the training rows is nearest to one half."""
    share = np.bincount(codes[corpus.fit[rows]]) / max(1, int(corpus.fit.sum()))
    order = np.argsort(np.abs(share - 0.5), kind="stable")[:MAX_MARKS]
    return order[(share[order] >= COMMON) & (share[order] <= 1)].tolist()
