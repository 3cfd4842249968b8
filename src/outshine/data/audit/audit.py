"""The whole audit of one prepared dataset."""

from __future__ import annotations

import numpy as np

from outshine.data.audit.corpus import Corpus, corpus_of
from outshine.data.audit.cues import answer_only, bag_of_words, length
from outshine.data.audit.findings import Finding, Severity
from outshine.data.audit.label_tokens import check_label_tokens
from outshine.data.audit.overlap import (
    contained_texts,
    exact_duplicates,
    near_duplicates,
    shared_groups,
    shared_passages,
    shared_sentences,
)
from outshine.data.audit.surface_features import (
    characters,
    format_tree,
    last_tokens,
    normalisation,
    pairs_of_marks,
)
from outshine.data.audit.template_check import check_templates
from outshine.data.local_files import OWN_KINDS
from outshine.data.schema import Recipe
from outshine.data.splits import Prepared


def audit(prepared: Prepared, recipe: Recipe) -> list[Finding]:
    """Every check of a prepared dataset, passed ones included, in a fixed order.

    Leak rules: (a) form, (b) telling tokens, (c) skeletons, (d) pairs of marks; (c) is for recipes that draw the label
    and reads the source's rows again. In data of the user's choice (a), (b) and (d) are warnings: a regularity may be
    what is meant there.
    Raises HubError where the source's rows cannot be had.
    """
    corpus = corpus_of(prepared.texts, prepared.truth)
    severity: Severity = "warning" if recipe.kind in OWN_KINDS else "leak"
    findings = [
        format_tree(corpus, severity),
        last_tokens(corpus, severity),
        characters(corpus, severity),
        normalisation(corpus, severity),
        pairs_of_marks(corpus, severity),
        check_label_tokens(corpus, severity),
        *([check_templates(recipe, recipe.open(prepared.report["identity"]))] if recipe.draws_label else []),
        shared_groups(corpus),
    ]
    return [*findings, *_notes(corpus)]


def _notes(corpus: Corpus) -> list[Finding]:
    """The checks that never refuse a dataset."""
    passages = shared_passages(corpus)
    return [
        exact_duplicates(corpus),
        near_duplicates(corpus),
        *([passages] if passages else []),
        shared_sentences(corpus),
        contained_texts(corpus),
        bag_of_words(corpus),
        answer_only(corpus),
        length(corpus),
        class_balance(corpus),
        long_texts(corpus),
    ]


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
