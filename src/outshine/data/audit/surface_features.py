"""Leak rule (a): classifiers on a text's form or last two tokens, which should not predict the label.

The smaller questions are in `outshine.data.audit.characters` (white space, signs, capitals, characters) and
`outshine.data.audit.interactions` (two marks together, remainders of counts).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from outshine.data.audit.characters import SHAPE_LENGTHS, TEXT_LENGTHS, ngram_scores, normalised, shape
from outshine.data.audit.corpus import Bools, Corpus, Ints, Spans, Tokens
from outshine.data.audit.findings import LEAK_AUC, PERFECT_AUC, Finding, Severity, by_auc, example, measured
from outshine.data.audit.interactions import best_rule
from outshine.stats.intervals import auroc_interval, difference_interval

MAX_ROWS = 4_000  # that the slower checks are fitted on, and measured on; drawn with one seed where there are more
CUE_GAIN = 0.01  # lower bounds of what the AUC gains by what normalising takes away; clean datasets have .00 at most
WARNING_GAIN = 0.03
LEAK_GAIN = 0.05  # together with an AUC that is surely above LEAK_AUC
TREE_DEPTH = 4
_NUMBER = re.compile(r"[0-9]+")
_SHAPES = ("none", "number", "letter", "UPPER", "Title", "lower", "mixed", "sign", "line break")

Floats = NDArray[np.float64]


def format_tree(corpus: Corpus, severity: Severity) -> Finding:
    """The AUC of a small decision tree on format features alone (`features`), fitted on the training splits.

    A finding of `severity` where the lower bound is above LEAK_AUC.
    """
    from sklearn.tree import DecisionTreeClassifier

    table = features(corpus)
    smallest = max(5, int(corpus.fit.sum()) // 200)
    tree = DecisionTreeClassifier(max_depth=TREE_DEPTH, min_samples_leaf=smallest, random_state=0)
    tree.fit(table[corpus.fit], corpus.truth[corpus.fit])
    score = np.asarray(tree.predict_proba(table[corpus.held]))[:, 1]
    what = "lengths, numbers, capitals, signs, repeated words and the last token's shape"
    return _judge(corpus, corpus, "format", score, severity, what)


def last_tokens(corpus: Corpus, severity: Severity) -> Finding:
    """The AUC of the identity of the last two tokens (naive Bayes), the prompt's common ending left out.

    A finding of `severity` where the lower bound is above LEAK_AUC.
    """
    start, end = corpus.content
    score = np.zeros(len(corpus.texts))
    for number in (1, 2):
        score += _log_odds(corpus, corpus.tokens.at(end - number, end - start >= number))
    return _judge(corpus, corpus, "last tokens", score[corpus.held], severity, "the last two tokens")


def characters(corpus: Corpus, severity: Severity) -> Finding:
    """The AUC of which characters follow each other once letters and digits are blotted out (`shape`).

    White space, signs, capitals, accents, letters of other scripts, invisible characters: a logistic regression on
    n-grams, on at most MAX_ROWS rows. A finding of `severity` where the lower bound is above LEAK_AUC.
    """
    drawn = corpus.sample(MAX_ROWS)
    score = ngram_scores([shape(text) for text in drawn.texts], drawn.truth, drawn.fit, SHAPE_LENGTHS)
    return _judge(corpus, drawn, "characters", score, severity, "white space, signs, capitals and odd characters")


def normalisation(corpus: Corpus, severity: Severity) -> Finding:
    """What the AUC of character n-grams loses when that is taken away which does not change the words (`normalised`).

    Both models are fitted and measured on the same rows, at most MAX_ROWS. The value is the difference of the two
    AUCs: about 0 where only what a text says is telling.
    """
    drawn = corpus.sample(MAX_ROWS)
    versions = drawn.texts, [normalised(text) for text in drawn.texts]
    scores = [ngram_scores(texts, drawn.truth, drawn.fit, TEXT_LENGTHS) for texts in versions]
    aucs = drawn.held_aucs(*scores)
    raw, gain = auroc_interval(aucs, 0), difference_interval(aucs.estimate, [1.0, -1.0])
    level: Severity = "passed"
    if gain.low > LEAK_GAIN and raw.low > LEAK_AUC:
        level = severity
    elif gain.low > CUE_GAIN:
        level = "warning" if gain.low > WARNING_GAIN else "cue"
    message = (
        f"AUC {raw.value:.3f} from groups of characters, {aucs.value[1]:.3f} once case, accents, white space and "
        f"look-alikes are made equal{_drawn(corpus, drawn)}"
    )
    shown = () if level == "passed" else _extremes(drawn, scores[0] - scores[1])
    return measured("normalisation", level, message, gain)._replace(examples=shown)


def pairs_of_marks(corpus: Corpus, severity: Severity) -> Finding:
    """The AUC of the best rule of one or two marks (`outshine.data.audit.interactions`), on at most MAX_ROWS rows.

    A finding of `severity` where the lower bound is above LEAK_AUC.
    """
    drawn = corpus.sample(MAX_ROWS)
    rule = best_rule(drawn)
    return _judge(corpus, drawn, "pairs of marks", rule.score[drawn.held], severity, rule.name)


def _drawn(corpus: Corpus, drawn: Corpus) -> str:
    return "" if drawn is corpus else f" ({len(drawn.texts):,} rows drawn at random)"


def _judge(corpus: Corpus, drawn: Corpus, check: str, score: Floats, severity: Severity, what: str) -> Finding:
    """The finding about an AUC of the `drawn` rows of the corpus; all or some of them."""
    interval = drawn.held_auc(score)
    level = by_auc(interval, severity)
    message = f"AUC {interval.value:.3f} from {what} alone{_drawn(corpus, drawn)}"
    if level in ("passed", "cue"):
        return measured(check, level, message, interval)
    if interval.low > LEAK_AUC:
        message += f", surely above {LEAK_AUC:.2f}: the label can be told without reading the text"
    elif interval.value >= PERFECT_AUC:
        message += f"; {len(score):,} held-out rows are too few to be sure that it is above {LEAK_AUC:.2f}"
    return measured(check, level, message, interval)._replace(examples=_extremes(drawn, score))


def _extremes(corpus: Corpus, score: Floats, num: int = 2) -> tuple[str, ...]:
    """The held-out rows that the score calls most surely negative and positive."""
    held = np.flatnonzero(corpus.held)
    order = np.argsort(score, kind="stable")
    rows = held[np.concatenate([order[:num], order[::-1][:num]])]
    return tuple(example(corpus.texts[row], bool(corpus.truth[row])) for row in rows)


def _log_odds(corpus: Corpus, token: Ints) -> Floats:
    """log P(token | positive) − log P(token | negative) from the training rows, one added to every count."""
    size = len(corpus.tokens.vocabulary) + 1  # the last place, index −1, is for no token at all
    shifted = np.where(token < 0, size - 1, token)
    counts = [np.bincount(shifted[corpus.fit & (corpus.truth == label)], minlength=size) for label in (True, False)]
    positive, negative = ((count + 1) / (count.sum() + size) for count in counts)
    seen = counts[0] + counts[1] > 0
    return np.where(seen, np.log(positive) - np.log(negative), 0.0)[shifted]


# --- format features ---------------------------------------------------------------------------------------


def features(corpus: Corpus) -> Floats:
    """[n, d] What a text looks like from afar, nothing of what it says.

    Of the raw text: characters, white space, double, leading and trailing spaces. Of the content and of the
    answer: tokens, characters, digits, capitals, signs, line breaks, characters beyond ASCII, single letters.
    Of the answer's first token and of the last two: their shape. Of the raw text again: words said twice in a row;
    the first, the last and the largest number (−1: none).
    """
    tokens, columns = corpus.tokens, [_raw(corpus)]
    letters = _letters(tokens)
    for spans in (corpus.content, corpus.answer):
        columns.append((spans.end - spans.start)[:, None].astype(np.float64))
        columns.append(np.stack([_sums(tokens, values, spans) for values in letters], axis=1))
    shapes = np.array([_SHAPES.index(_shape(token)) for token in tokens.vocabulary] + [0])
    for place, inside in _shaped_places(corpus):
        columns.append(np.eye(len(_SHAPES))[shapes[tokens.at(place, inside)]])
    columns += [_said_twice(tokens)[:, None], _numbers(corpus.texts)]
    return np.concatenate(columns, axis=1)


def _shaped_places(corpus: Corpus) -> list[tuple[Ints, Bools]]:
    start, end = corpus.answer
    return [(place, (place >= start) & (place < end)) for place in (start, end - 1, end - 2)]


def _raw(corpus: Corpus) -> Floats:
    rows = [
        (len(text), sum(map(text.count, " \t")), text.count("  "), text[:1].isspace(), text[-1:].isspace())
        for text in corpus.texts
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


def _said_twice(tokens: Tokens) -> Floats:
    """How many tokens of each row are words and the same as the one before."""
    row, flat = tokens.row_of_each(), tokens.flat
    words = np.array([token[0].isalnum() for token in tokens.vocabulary], dtype=bool)
    if not len(flat):
        return np.zeros(tokens.num_rows)
    same = (flat[1:] == flat[:-1]) & (row[1:] == row[:-1]) & words[flat[1:]]
    return np.bincount(row[1:][same], minlength=tokens.num_rows).astype(np.float64)


def _numbers(texts: Sequence[str]) -> Floats:
    rows = []
    for text in texts:
        found = [min(float(number), 1e12) for number in _NUMBER.findall(text)] or [-1.0]
        rows.append((found[0], found[-1], max(found)))
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _letters(tokens: Tokens) -> Floats:
    """[features, vocabulary] Counts of kinds of characters in each token."""
    rows = [
        (
            len(token),
            sum(map(str.isdigit, token)),
            sum(map(str.isupper, token)),
            not token[0].isalnum() and token[0] != "\n",
            token[0] == "\n",
            sum(character > "\x7f" for character in token),
            len(token) == 1 and token.isalpha(),
        )
        for token in tokens.vocabulary
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 7).T


def _sums(tokens: Tokens, values: Floats, spans: Spans) -> Floats:
    """The sum of `values` [vocabulary] over the tokens of each row's span."""
    running = np.concatenate([[0.0], np.cumsum(values[tokens.flat])])
    return running[spans.end] - running[spans.start]


def _shape(token: str) -> str:
    if token[0] == "\n":
        return "line break"
    if token.isdigit():
        return "number"
    if not token[0].isalnum():
        return "sign"
    if len(token) == 1:
        return "letter"
    by_case = {"UPPER": token.isupper(), "lower": token.islower(), "Title": token.istitle()}
    return next((name for name, holds in by_case.items() if holds), "mixed")
