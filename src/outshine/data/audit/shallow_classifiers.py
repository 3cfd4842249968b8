"""Classifiers that see a text's form, or its words without their order, and how well they predict the label.

Leak rule (a): form (lengths, the last tokens, characters) should not tell the label; nor, rule (d), should two marks
together (`outshine.data.audit.feature_pairs`). Words may, as they do for sentiment: their AUC is a cue, to be read
beside the supervisor's AUROC.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from outshine.data.audit.feature_pairs import best_rule
from outshine.data.audit.findings import CUE_AUC, LEAK_AUC, PERFECT_AUC, Finding, Severity, by_auc, measured
from outshine.data.audit.text_features import BUCKETS, format_features, normalised, shape, which_ngrams
from outshine.data.audit.tokenized_corpus import Bools, Ints, Spans, TokenizedCorpus
from outshine.stats.auroc import auroc
from outshine.stats.intervals import Interval, auroc_interval, difference_interval

MAX_ROWS = 4_000  # that the slower checks are fitted on, and measured on; drawn with one seed where there are more
CUE_GAIN = 0.01  # lower bounds of the AUC that normalising takes away; clean datasets have .00 at most
WARNING_GAIN = 0.03
LEAK_GAIN = 0.05  # together with an AUC that is surely above LEAK_AUC
TREE_DEPTH = 4
SHAPE_LENGTHS = (1, 2, 3, 4)  # of n-grams, in characters
TEXT_LENGTHS = (1, 2, 3)
REGULARISATION = 0.1  # scikit-learn's C
MIN_ROWS_WITH = 3  # training rows that must have a word or an n-gram for it to be a feature

Floats = NDArray[np.float64]


def format_tree(corpus: TokenizedCorpus, severity: Severity) -> Finding:
    """The AUC of a small decision tree on format features alone (`format_features`), fitted on the training splits.

    A finding of `severity` where the lower bound is above LEAK_AUC.
    """
    from sklearn.tree import DecisionTreeClassifier

    table = format_features(corpus)
    smallest = max(5, int(corpus.fit.sum()) // 200)
    tree = DecisionTreeClassifier(max_depth=TREE_DEPTH, min_samples_leaf=smallest, random_state=0)
    tree.fit(table[corpus.fit], corpus.truth[corpus.fit])
    score = np.asarray(tree.predict_proba(table[corpus.held]))[:, 1]
    what = "lengths, numbers, capitals, signs, repeated words and the last token's shape"
    return _judge(corpus, corpus, "format", score, severity, what)


def last_tokens(corpus: TokenizedCorpus, severity: Severity) -> Finding:
    """The AUC of the identity of the last two tokens (naive Bayes), the prompt's common ending left out.

    A finding of `severity` where the lower bound is above LEAK_AUC.
    """
    start, end = corpus.content
    score = np.zeros(len(corpus.texts))
    for number in (1, 2):
        score += _log_odds(corpus, corpus.tokens.at(end - number, end - start >= number))
    return _judge(corpus, corpus, "last tokens", score[corpus.held], severity, "the last two tokens")


def characters(corpus: TokenizedCorpus, severity: Severity) -> Finding:
    """The AUC of n-grams of characters once letters and digits are replaced by their kind (`shape`).

    So white space, signs, capitals, accents, letters of other scripts and invisible characters are left. A logistic
    regression is fitted on at most MAX_ROWS rows. A finding of `severity` where the lower bound is above LEAK_AUC.
    """
    drawn = corpus.sample(MAX_ROWS)
    score = ngram_scores([shape(text) for text in drawn.texts], drawn.truth, drawn.fit, SHAPE_LENGTHS)
    return _judge(corpus, drawn, "characters", score, severity, "white space, signs, capitals and odd characters")


def normalisation(corpus: TokenizedCorpus, severity: Severity) -> Finding:
    """How much AUC character n-grams lose once all that does not change the words is made equal (`normalised`).

    Both models are fitted and measured on the same rows, at most MAX_ROWS. The value is the difference of the two
    AUCs: about 0 where only what a text says predicts the label.
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


def pairs_of_marks(corpus: TokenizedCorpus, severity: Severity) -> Finding:
    """The AUC of the best rule of one or two marks (`outshine.data.audit.feature_pairs`), on at most MAX_ROWS rows.

    A finding of `severity` where the lower bound is above LEAK_AUC.
    """
    drawn = corpus.sample(MAX_ROWS)
    rule = best_rule(drawn)
    return _judge(corpus, drawn, "pairs of marks", rule.score[drawn.held], severity, rule.name)


def bag_of_words(corpus: TokenizedCorpus) -> Finding:
    """The AUC of a logistic regression on the words of the whole text, fitted on the training splits."""
    return _cue("bag of words", "the words of the text", _words_auc(corpus, corpus.content))


def answer_only(corpus: TokenizedCorpus) -> Finding:
    """The AUC of the same model on the words of the last line alone: the proposed answer without its question."""
    return _cue("answer only", "the words of the last line", _words_auc(corpus, corpus.answer))


def length(corpus: TokenizedCorpus) -> Finding:
    """The AUC of the number of characters; whether long means positive is learned from the training splits."""
    characters = np.array([len(text) for text in corpus.texts], dtype=np.float64)
    sign = 1 if auroc(corpus.truth[corpus.fit], characters[corpus.fit]) >= 0.5 else -1
    return _cue("length", "the length of the text", corpus.held_auc(sign * characters[corpus.held]))


def _drawn(corpus: TokenizedCorpus, drawn: TokenizedCorpus) -> str:
    return "" if drawn is corpus else f" ({len(drawn.texts):,} rows drawn at random)"


def _judge(
    corpus: TokenizedCorpus, drawn: TokenizedCorpus, check: str, score: Floats, severity: Severity, what: str
) -> Finding:
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


def _extremes(corpus: TokenizedCorpus, score: Floats, num: int = 2) -> tuple[str, ...]:
    """The held-out rows that the score calls most surely negative and positive."""
    held = np.flatnonzero(corpus.held)
    order = np.argsort(score, kind="stable")
    rows = held[np.concatenate([order[:num], order[::-1][:num]])]
    return tuple(corpus.example(row) for row in rows)


def _log_odds(corpus: TokenizedCorpus, token: Ints) -> Floats:
    """log P(token | positive) − log P(token | negative) from the training rows, one added to every count."""
    size = len(corpus.tokens.vocabulary) + 1  # the last place, index −1, is for no token at all
    shifted = np.where(token < 0, size - 1, token)
    counts = [np.bincount(shifted[corpus.fit & (corpus.truth == label)], minlength=size) for label in (True, False)]
    positive, negative = ((count + 1) / (count.sum() + size) for count in counts)
    seen = counts[0] + counts[1] > 0
    return np.where(seen, np.log(positive) - np.log(negative), 0.0)[shifted]


def _cue(check: str, what: str, interval: Interval) -> Finding:
    severity = "cue" if interval.low > CUE_AUC else "passed"
    return measured(check, severity, f"AUC {interval.value:.3f} from {what} alone", interval)


def _words_auc(corpus: TokenizedCorpus, spans: Spans) -> Interval:
    """Held-out AUC of a logistic regression on which words of the spans are there."""
    rows, words = corpus.tokens.present(spans)
    kept = np.bincount(words[corpus.fit[rows]], minlength=len(corpus.tokens.vocabulary)) >= MIN_ROWS_WITH
    return corpus.held_auc(_presence_scores(rows, words, kept, corpus.truth, corpus.fit))


def ngram_scores(texts: Sequence[str], truth: Bools, fit: Bools, lengths: Sequence[int]) -> Floats:
    """The scores of a logistic regression on which n-grams are there, fitted on the rows of `fit`, for the others."""
    rows, ngrams = which_ngrams(texts, lengths)
    num_with = np.bincount(ngrams[fit[rows]], minlength=BUCKETS)
    kept = (num_with >= MIN_ROWS_WITH) & (num_with <= fit.sum() - MIN_ROWS_WITH)
    return _presence_scores(rows, ngrams, kept, truth, fit, tol=1e-3)


def _presence_scores(rows: Ints, features: Ints, kept: Bools, truth: Bools, fit: Bools, tol: float = 1e-4) -> Floats:
    """The scores of a logistic regression on which `kept` features a row has, fitted on `fit`, for the other rows.

    `rows`, `features`: which feature is in which row, each pair once. `tol`: scikit-learn's.
    """
    from scipy.sparse import csr_array
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if not kept.any():
        return np.zeros(int((~fit).sum()))
    inside, column = kept[features], np.cumsum(kept) - 1
    ones, places = np.ones(int(inside.sum())), (rows[inside], column[features[inside]])
    table = csr_array((ones, places), shape=(len(truth), int(kept.sum())))
    model = LogisticRegression(C=REGULARISATION, max_iter=100, tol=tol)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the ranking does not need the last digit
        model.fit(table[fit], truth[fit])
    return model.decision_function(table[~fit])
