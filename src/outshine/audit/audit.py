"""The whole audit of one prepared dataset."""

from __future__ import annotations

from outshine.audit.corpus import Corpus, corpus_of
from outshine.audit.cues import answer_only, bag_of_words, length
from outshine.audit.findings import Finding, Severity
from outshine.audit.form import characters, format_tree, last_tokens, normalisation, pairs_of_marks
from outshine.audit.overlap import (
    contained_texts,
    exact_duplicates,
    near_duplicates,
    shared_groups,
    shared_passages,
    shared_sentences,
)
from outshine.audit.shape import class_balance, long_texts
from outshine.audit.skeleton import skeletons
from outshine.audit.telling import telling_tokens
from outshine.data.local import OWN_KINDS
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
        telling_tokens(corpus, severity),
        *([skeletons(recipe, recipe.open(prepared.report["identity"]))] if recipe.draws_label else []),
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
