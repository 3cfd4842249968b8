"""Leak rule (b): tokens or characters, anywhere or at one place, with which many rows have nearly always one label.

Words are counted by themselves and in sets: one class may be opened in eight ways, of which each is rare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from outshine.data.audit.findings import SEVERITIES, Finding, Severity
from outshine.data.audit.text_features import NgramNames, character_name, code_points, shape, which_ngrams
from outshine.data.audit.tokenized_corpus import FIT_SPLITS, Bools, Ints, TokenizedCorpus, distinct
from outshine.stats.intervals import clopper_pearson

MIN_COVERAGE = 0.10  # of a class; clean datasets stay below .02, planted leaks reach .29 and 1.0
WORTH_A_WARNING = 0.05  # coverage of a class
WORTH_A_CUE = 0.02
MIN_PRECISION = 0.95  # lower 95 % bound
MIN_ROWS = 15  # held-out rows; at least 72 without an error are needed to be sure
UNSURE_PRECISION, UNSURE_BOUND = 0.98, 0.80  # from which a mark of fewer rows is a cue
MAX_TRIED = 100  # candidates that are measured on the held-out rows
PLACES = 16  # tokens from the start and end of the content and from the start of the answer that are looked at
_COMMON = 0.01  # share of the training rows that hold a token for its pairs with neighbours to be counted
_MAX_COMMON = 1_000  # tokens whose pairs are counted
_PROMISING = 0.90  # precision in the training rows from which a mark is measured on the held-out ones
_PURE = 0.03  # rate of a set's members in the other class, relative to their own, at most
_SET_COUNTS = (2, 4, 8, 12, 18, 30)  # rows of one half of the training rows that a member must be in; one is chosen
_SET_BOUND = 0.80  # of a set's precision in the training rows, from which it is measured on the held-out ones
_SHAPE_LENGTHS = (2, 3)


class LabelToken(NamedTuple):
    """A mark that tells the label: its name, its class, and its counts in the held-out rows.

    `coverage`: share of the class's rows that have it. `precision` and its lower 95 % bound `low`: share of the
    class among the rows that have it, had both classes the same number of rows. `rows`: those that have it.
    `vocabulary`: it is a set of words wherever they stand, as honest texts on two subjects have.
    """

    name: str
    label: bool
    coverage: float
    precision: float
    low: float
    rows: Ints
    vocabulary: bool
    best_bound: float  # what `low` would be, were all rows of the label

    @property
    def sure(self) -> bool:
        """Whether the precision is surely at least MIN_PRECISION."""
        return self.low >= MIN_PRECISION

    @property
    def likely(self) -> bool:
        """Whether it has hardly an error, on rows too few to be sure, and covers enough rows to be reported."""
        nearly = self.precision >= UNSURE_PRECISION and self.low >= UNSURE_BOUND
        return not self.sure and nearly and self.coverage >= WORTH_A_WARNING

    def level(self, severity: Severity) -> Severity:
        """The severity of the mark, by its coverage."""
        if self.coverage < WORTH_A_CUE:
            return "passed"
        if self.vocabulary or not self.sure or self.coverage < WORTH_A_WARNING:
            return "cue"
        return severity if self.coverage >= MIN_COVERAGE else "warning"


class _Marks(NamedTuple):
    """Marks of one sort: row `rows[i]` has the mark `codes[i]`, each pair once; `names(code)` is its name in words."""

    rows: Ints
    codes: Ints
    names: Callable[[int], str]
    anywhere: bool = False  # whether they are words, wherever they stand


class _Names(NamedTuple):
    """Names a mark by its code: a token at a place, or a pair of `common` tokens."""

    vocabulary: list[str]
    where: str
    common: Ints | None = None  # of a pair: code = first · number of common tokens + second

    def __call__(self, code: int) -> str:
        if self.common is None:
            return f"{self.vocabulary[code]!r}{self.where}"
        first, second = divmod(code, len(self.common))
        return f"{self.vocabulary[self.common[first]]!r} before {self.vocabulary[self.common[second]]!r}"


class _Candidate(NamedTuple):
    """One or several marks of one sort that tell the label in the training rows, with a precision above `sure`."""

    sure: float
    marks: _Marks
    codes: Ints
    label: bool

    @property
    def name(self) -> str:
        if len(self.codes) == 1:
            return self.marks.names(int(self.codes[0]))
        shown = ", ".join(self.marks.names(int(code)) for code in self.codes[:3])
        return f"one of {len(self.codes):,} tokens or characters ({shown}, …)"


def check_label_tokens(corpus: TokenizedCorpus, severity: Severity) -> Finding:
    """The mark with the widest coverage among those whose precision is surely at least MIN_PRECISION.

    A mark is a token anywhere, a pair of neighbours, a token at a place counted from the start or end of the content
    or from the start of the answer, a character, two or three neighbouring signs of a text's shape, or one of a set of
    marks of one of these sorts. A finding of `severity` where it covers MIN_COVERAGE of a class, a warning from
    WORTH_A_WARNING, a cue from WORTH_A_CUE. A set of words anywhere is a cue at most, and so is what too few rows have.
    """
    tokens = find_label_tokens(corpus)
    tokens.sort(key=lambda token: (SEVERITIES.index(token.level(severity)), -token.coverage))
    check = "telling tokens"
    if not tokens:
        message = "no token or character that is common enough was found to go with one label nearly always"
        return Finding(check, "passed", message, value=0.0)
    best = tokens[0]
    message = (
        f"{best.name} is in {best.coverage:.1%} of the {corpus.sides[best.label]} rows and goes with "
        f"this label in {best.precision:.1%} (at least {best.low:.1%}) of {len(best.rows)} held-out rows"
        f"{'' if best.sure else ', too few to be sure'}"
    )
    level = best.level(severity)
    if level == "passed":
        return Finding(check, level, message, value=best.coverage)
    shown = tuple(corpus.example(row) for row in best.rows[:3])
    others = [token.name for token in tokens[1:] if token.coverage >= WORTH_A_WARNING]
    more = (
        f"; {len(others)} more cover {WORTH_A_WARNING:.0%} or more, such as {', '.join(others[:3])}" if others else ""
    )
    return Finding(check, level, message + more, value=best.coverage, examples=shown)


def find_label_tokens(corpus: TokenizedCorpus) -> list[LabelToken]:
    """Marks whose precision among the held-out rows is surely at least MIN_PRECISION, or likely (`LabelToken.likely`).

    Candidates are chosen on the training rows and tried on the held-out ones in the order of their precision in the
    training rows, up to the first that fails though it had rows enough: so the level holds for all of them together
    (a fixed sequence of tests).
    """
    candidates = [candidate for marks in _all_marks(corpus) for candidate in _candidates(corpus, marks)]
    tokens = []
    for candidate in sorted(candidates, key=lambda candidate: -candidate.sure)[:MAX_TRIED]:
        token = _measure(corpus, candidate)
        if token is None:
            continue
        if token.sure or token.likely:
            tokens.append(token)
        elif token.best_bound >= MIN_PRECISION:
            break
    return tokens


def precision_bound(num_right: float, num_rows: float, prior_odds: float, tail: float = 0.025) -> float:
    """Clopper and Pearson's lower bound of a precision, carried over to classes of equal size.

    `num_right` of `num_rows` rows are of the class; they may be effective numbers. `prior_odds`: rows of the class
    over rows of the other: a class that makes up 95 % of the rows has a precision of .95 for every token.
    """
    low, _ = clopper_pearson(num_right, num_rows - num_right, tail)
    odds = low / (1 - low) / prior_odds
    return odds / (1 + odds)


def _measure(corpus: TokenizedCorpus, candidate: _Candidate) -> LabelToken | None:
    """Measure a mark, or a set, on the held-out rows; None where too few have it.

    Rows of one group are not independent: they count as Kish's effective number, (Σ m)² / Σ m², m rows a group.
    """
    marks, label = candidate.marks, candidate.label
    rows = distinct(marks.rows[np.isin(marks.codes, candidate.codes)])
    rows = rows[corpus.held[rows]]
    if len(rows) < MIN_ROWS:
        return None
    right = corpus.truth[rows] == label
    num_class = np.count_nonzero(corpus.truth[corpus.held] == label)
    num_other = np.count_nonzero(corpus.held) - num_class
    _, sizes = np.unique(corpus.groups[rows], return_counts=True)
    effective = sizes.sum() ** 2 / (sizes**2).sum()
    share = float(right.mean())
    odds = num_class / num_other
    low, best = (precision_bound(part * effective, effective, odds) for part in (share, 1.0))
    rates = right.sum() / num_class, (~right).sum() / num_other
    precision = float(rates[0] / (rates[0] + rates[1]))
    vocabulary = marks.anywhere and len(candidate.codes) > 1
    return LabelToken(candidate.name, label, float(rates[0]), precision, low, rows, vocabulary, best)


# --- candidates --------------------------------------------------------------------------------------------


def _candidates(corpus: TokenizedCorpus, marks: _Marks) -> Iterator[_Candidate]:
    """The promising marks of one sort, and for each label a set of them (`_best_set`)."""
    size = int(marks.codes.max(initial=-1)) + 1
    halves = [_Half.of(corpus, marks, split, size) for split in FIT_SPLITS]
    for label in (True, False):
        own, other = (halves[0].counts[side] + halves[1].counts[side] for side in (label, not label))
        num_own, num_other = (halves[0].totals[side] + halves[1].totals[side] for side in (label, not label))
        rates = own / max(1, num_own), other / max(1, num_other)
        often = own >= max(5, 0.01 * num_own)
        promising = np.flatnonzero(often & (rates[0] >= _PROMISING * (rates[0] + rates[1])))
        sure = _bounds(own[promising], other[promising], num_own, num_other)
        for low, code in zip(sure, promising, strict=True):
            yield _Candidate(low, marks, np.array([code]), label)
        if all(min(half.totals) for half in halves):
            yield from _best_set(marks, halves, label)


class _Half(NamedTuple):
    """One half of the training rows: its marks, and for each label how many rows have each mark, and are there."""

    rows: Ints
    codes: Ints
    truth: Bools
    counts: list[Ints]  # negatives, positives
    totals: list[int]

    @classmethod
    def of(cls, corpus: TokenizedCorpus, marks: _Marks, split: str, size: int) -> _Half:
        inside = corpus.splits == split
        kept = inside[marks.rows]
        rows, codes = marks.rows[kept], marks.codes[kept]
        positive = corpus.truth[rows]
        counts = [np.bincount(codes[positive == label], minlength=size) for label in (False, True)]
        totals = [int((inside & (corpus.truth == label)).sum()) for label in (False, True)]
        return cls(rows, codes, corpus.truth, counts, totals)

    def pure(self, label: bool) -> Ints:
        """How many rows of the label have each mark that the other label hardly has; 0 for other marks."""
        own, other = self.counts[label] / self.totals[label], self.counts[not label] / self.totals[not label]
        return np.where(other <= _PURE * own, self.counts[label], 0)

    def hits(self, members: Bools, label: bool) -> tuple[int, int]:
        """Rows of the label, and of the other, that have a member."""
        right = self.truth[distinct(self.rows[members[self.codes]])] == label
        return int(right.sum()), int((~right).sum())


def _best_set(marks: _Marks, halves: list[_Half], label: bool) -> Iterator[_Candidate]:
    """The set of marks that, chosen in either half of the training rows, is the most precise in the other half."""
    first, second = halves
    num_own, num_other = (first.totals[side] + second.totals[side] for side in (label, not label))
    own, others = (first.counts[side] + second.counts[side] for side in (label, not label))
    pure = others / num_other <= _PURE * own / num_own
    pure_in = [half.pure(label) for half in halves]
    best = _Candidate(0.0, marks, np.empty(0, dtype=np.int64), label)
    for least in _SET_COUNTS:
        chosen = [counts >= least for counts in pure_in]
        if not (chosen[0].any() or chosen[1].any()):
            break
        hits = np.add(second.hits(chosen[0], label), first.hits(chosen[1], label))
        sure = _bounds(hits[:1], hits[1:], num_own, num_other)[0]
        codes = np.flatnonzero((chosen[0] | chosen[1]) & pure)
        if sure > best.sure and len(codes) > 1:
            best = _Candidate(sure, marks, codes[np.argsort(-own[codes], kind="stable")], label)
    if best.sure >= _SET_BOUND:
        yield best


def _bounds(own: Ints, other: Ints, num_own: int, num_other: int) -> list[float]:
    odds = max(1, num_own) / max(1, num_other)
    return [precision_bound(float(a), float(a + b), odds) for a, b in zip(own.tolist(), other.tolist(), strict=True)]


# --- marks -------------------------------------------------------------------------------------------------


def _all_marks(corpus: TokenizedCorpus) -> Iterator[_Marks]:
    vocabulary = corpus.tokens.vocabulary
    rows, codes = corpus.tokens.present(corpus.tokens.whole)
    yield _Marks(rows, codes, _Names(vocabulary, ""), anywhere=True)
    yield _pairs(corpus, np.bincount(codes[corpus.fit[rows]], minlength=len(vocabulary)))
    yield _Marks(*code_points(corpus.texts), character_name)
    shapes = [shape(text) for text in corpus.texts]
    yield _Marks(*which_ngrams(shapes, _SHAPE_LENGTHS), NgramNames(shapes, _SHAPE_LENGTHS))
    (start, end), answer = corpus.content, corpus.answer.start
    for number in range(PLACES):
        for place, where in (
            (start + number, f" as token {number + 1} of the content"),
            (end - 1 - number, f" as token {number + 1} from the end of the content"),
            (answer + number, f" as token {number + 1} of the last line"),
        ):
            token = corpus.tokens.at(place, (place >= start) & (place < end))
            inside = np.flatnonzero(token >= 0)
            yield _Marks(inside, token[inside], _Names(vocabulary, where))


def _pairs(corpus: TokenizedCorpus, num_with: Ints) -> _Marks:
    """Neighbouring tokens that are both common in the training rows: no others can cover much of a class."""
    common = np.flatnonzero(num_with >= max(5, _COMMON * corpus.fit.sum()))
    common = np.sort(common[np.argsort(-num_with[common], kind="stable")][:_MAX_COMMON])
    number = np.full(len(num_with), -1)
    number[common] = np.arange(len(common))
    numbers, row = number[corpus.tokens.flat], corpus.tokens.row_of_each()
    both = (numbers[:-1] >= 0) & (numbers[1:] >= 0) & (row[:-1] == row[1:])
    size = max(1, len(common))
    pairs = distinct((row[:-1][both] * size + numbers[:-1][both]) * size + numbers[1:][both])
    rows, codes = np.divmod(pairs, size * size)
    return _Marks(rows, codes, _Names(corpus.tokens.vocabulary, "", common), anywhere=True)
