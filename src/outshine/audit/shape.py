"""How a dataset is shaped: how many rows of each class, and how long the texts are."""

from __future__ import annotations

import numpy as np

from outshine.audit.corpus import Corpus
from outshine.audit.findings import Finding

BALANCED = 0.01  # distance of the positive share from one half that is not worth a word
CHARS_PER_TOKEN = 4.0  # usual for English and tokenizers of large vocabularies
TOKEN_LIMITS = (512, 1_024)  # tokens: encoders', and what outshine gives a model by default at most
OFTEN_LONG = 0.05  # share of the rows


def class_balance(corpus: Corpus) -> Finding:
    """The share of positives in each split."""
    shares = {str(split): float(corpus.truth[corpus.splits == split].mean()) for split in np.unique(corpus.splits)}
    worst = max(shares, key=lambda split: abs(shares[split] - 0.5))
    skewed = [f"{split} {share:.1%}" for split, share in shares.items() if abs(share - 0.5) > BALANCED]
    message = f"positives: {', '.join(skewed)}" if skewed else "every split has 49 % to 51 % positives"
    return Finding("class balance", "cue" if skewed else "passed", message, value=shares[worst])


def long_texts(corpus: Corpus) -> Finding:
    """The estimated share of texts longer than TOKEN_LIMITS tokens, at CHARS_PER_TOKEN; models with less cut them."""
    tokens = np.array([len(text) for text in corpus.texts]) / CHARS_PER_TOKEN
    shares = [float((tokens > limit).mean()) for limit in TOKEN_LIMITS]
    told = ", ".join(f"{share:.1%} over {limit:,}" for share, limit in zip(shares, TOKEN_LIMITS, strict=True))
    median = f"{np.median(tokens):,.0f}"
    message = f"about {median} tokens in the median, {told} (estimated at {CHARS_PER_TOKEN:g} characters a token)"
    return Finding("long texts", "cue" if shares[-1] > OFTEN_LONG else "passed", message, value=shares[-1])
