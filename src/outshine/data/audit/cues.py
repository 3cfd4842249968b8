"""Cues: how well shallow features predict the label. Noted beside the supervisor's AUROC, never a reason to refuse.

A bag of words neither finds leaks nor clears a dataset of them: sentiment is honestly told by words, while double
spaces or a mark that depends on another word are none of its words.
"""

from __future__ import annotations

import warnings

import numpy as np

from outshine.data.audit.corpus import Corpus, Spans
from outshine.data.audit.findings import CUE_AUC, Finding, measured
from outshine.stats.auroc import auroc
from outshine.stats.intervals import Interval

MIN_ROWS_WITH = 3  # training rows that must hold a word for it to be a feature
REGULARISATION = 0.1  # scikit-learn's C


def bag_of_words(corpus: Corpus) -> Finding:
    """The AUC of a logistic regression on the words of the whole text, fitted on the training splits."""
    return _judge("bag of words", "the words of the text", _words_auc(corpus, corpus.content))


def answer_only(corpus: Corpus) -> Finding:
    """The same on the words of the last line alone: the proposed answer without its question."""
    return _judge("answer only", "the words of the last line", _words_auc(corpus, corpus.answer))


def length(corpus: Corpus) -> Finding:
    """The AUC of the number of characters; whether long means positive is learned from the training splits."""
    characters = np.array([len(text) for text in corpus.texts], dtype=np.float64)
    sign = 1 if auroc(corpus.truth[corpus.fit], characters[corpus.fit]) >= 0.5 else -1
    return _judge("length", "the length of the text", corpus.held_auc(sign * characters[corpus.held]))


def _judge(check: str, what: str, interval: Interval) -> Finding:
    severity = "cue" if interval.low > CUE_AUC else "passed"
    return measured(check, severity, f"AUC {interval.value:.3f} from {what} alone", interval)


def _words_auc(corpus: Corpus, spans: Spans) -> Interval:
    """Held-out AUC of a logistic regression on which words of the spans are there."""
    from scipy.sparse import csr_array
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    rows, columns = corpus.tokens.present(spans)
    often = np.bincount(columns[corpus.fit[rows]], minlength=len(corpus.tokens.vocabulary)) >= MIN_ROWS_WITH
    if not often.any():
        return corpus.held_auc(np.zeros(int(corpus.held.sum())))
    kept = often[columns]
    shape = (len(corpus.texts), int(often.sum()))
    number = np.cumsum(often) - 1
    table = csr_array((np.ones(int(kept.sum())), (rows[kept], number[columns[kept]])), shape=shape)
    model = LogisticRegression(C=REGULARISATION, max_iter=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a cue need not be the optimum to the last digit
        model.fit(table[corpus.fit], corpus.truth[corpus.fit])
    return corpus.held_auc(model.decision_function(table[corpus.held]))
