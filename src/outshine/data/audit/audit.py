"""The whole audit of one prepared dataset: the list of all checks, and the two plainest ones."""

from __future__ import annotations

import numpy as np

from outshine.data.audit.findings import Finding, Severity
from outshine.data.audit.label_tokens import check_label_tokens
from outshine.data.audit.shallow_classifiers import (
    answer_only,
    bag_of_words,
    characters,
    format_tree,
    last_tokens,
    length,
    normalisation,
    pairs_of_marks,
)
from outshine.data.audit.split_overlap import (
    contained_texts,
    exact_duplicates,
    near_duplicates,
    shared_groups,
    shared_passages,
    shared_sentences,
)
from outshine.data.audit.template_leaks import check_templates
from outshine.data.audit.tokenized_corpus import TokenizedCorpus, corpus_of
from outshine.data.schema import Recipe
from outshine.data.splits import PreparedSplits
from outshine.data.user_datasets import OWN_KINDS


def audit(prepared: PreparedSplits, recipe: Recipe) -> list[Finding]:
    """Every check of a prepared dataset, passed ones included, in a fixed order.

    Leak rules: (a) form, (b) label tokens, (c) templates, (d) pairs of features; (c) is for recipes that draw the label
    and reads the source's rows again. In data of the user's choice (a), (b) and (d) are warnings: there a regularity
    may be what the labels mean. Raises HubError where the source's rows cannot be downloaded.
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
    return [*findings, *_checks_without_leaks(corpus)]


def _checks_without_leaks(corpus: TokenizedCorpus) -> list[Finding]:
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


BALANCED = 0.01  # distance of the positive share from one half that is not reported
CHARS_PER_TOKEN = 4.0  # usual for English and tokenizers of large vocabularies
TOKEN_LIMITS = (512, 1_024)  # tokens: encoders', and what outshine gives a model by default at most
OFTEN_LONG = 0.05  # share of the rows


def class_balance(corpus: TokenizedCorpus) -> Finding:
    """The share of positives in each split."""
    shares = {str(split): float(corpus.truth[corpus.splits == split].mean()) for split in np.unique(corpus.splits)}
    worst = max(shares, key=lambda split: abs(shares[split] - 0.5))
    skewed = [f"{split} {share:.1%}" for split, share in shares.items() if abs(share - 0.5) > BALANCED]
    message = f"positives: {', '.join(skewed)}" if skewed else "every split has 49 % to 51 % positives"
    return Finding("class balance", "cue" if skewed else "passed", message, value=shares[worst])


def long_texts(corpus: TokenizedCorpus) -> Finding:
    """The estimated share of texts longer than TOKEN_LIMITS tokens, which models with that limit would cut."""
    tokens = np.array([len(text) for text in corpus.texts]) / CHARS_PER_TOKEN
    shares = [float((tokens > limit).mean()) for limit in TOKEN_LIMITS]
    over = ", ".join(f"{share:.1%} over {limit:,}" for share, limit in zip(shares, TOKEN_LIMITS, strict=True))
    median = f"{np.median(tokens):,.0f}"
    message = f"about {median} tokens in the median, {over} (estimated at {CHARS_PER_TOKEN:g} characters a token)"
    return Finding("long texts", "cue" if shares[-1] > OFTEN_LONG else "passed", message, value=shares[-1])
