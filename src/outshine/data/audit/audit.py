"""The whole audit of one prepared dataset: the list of all checks, and the two plainest ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from outshine.data.audit.findings import SEVERITIES, Finding, Severity, by_auc, measured
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
from outshine.data.audit.tokenized_corpus import FIT_SPLITS, TokenizedCorpus, corpora_of, corpus_of
from outshine.data.schema import Recipe
from outshine.data.splits import OTHER_TEST, PreparedSplits
from outshine.data.task import Task
from outshine.data.user_datasets import ARRAYS_KIND, OWN_KINDS
from outshine.engine.messages import counted
from outshine.stats.auc_covariance import combine_seeds
from outshine.stats.auroc import auroc
from outshine.stats.intervals import auroc_interval


def audit(prepared: PreparedSplits, recipe: Recipe) -> list[Finding]:
    """Every check of a prepared dataset, passed ones included, in a fixed order.

    Leak rules: (a) form, (b) label tokens, (c) templates, (d) pairs of features; (c) is for recipes that draw the label
    and reads the source's rows again. In data of the user's choice (a), (b) and (d) are warnings: there a regularity
    may be what the labels mean. Of several classes each of the MOST_CLASSES commonest is told from all others, and the
    worst finding of a check is reported. Of pairs each text is looked at alone, as the better or the worse one of its
    pair, which is all that a model sees of it; and the difference of their lengths. Raises HubError where the source's
    rows cannot be downloaded.
    """
    texts, truth, task = prepared.texts, prepared.truth, recipe.task
    own = ~texts["split"].str.startswith(
        OTHER_TEST
    )  # other test sets may be of another form: that is what they are for
    texts, truth = texts[own].reset_index(drop=True), truth[truth["id"].isin(texts.loc[own, "id"])]
    prepared = prepared._replace(texts=texts, truth=truth)
    if recipe.kind == ARRAYS_KIND:  # there is no text: what a row shows is its number
        balanced = len(task.class_names) == 2
        return [class_balance(corpus_of(texts, truth)) if balanced else class_shares(prepared, task)]
    of_pairs = [pair_length(prepared, "warning" if recipe.kind in OWN_KINDS else "leak")] if task.is_pair else []
    if task.is_pair:
        texts, truth = single_texts(texts, truth)
    corpora = corpora_of(texts, truth, task, MOST_CLASSES)
    corpus, num_classes = corpora[0], len(recipe.task.class_names)
    severity: Severity = "warning" if recipe.kind in OWN_KINDS else "leak"
    form = [partial(check, severity=severity) for check in _FORM]
    passages = shared_passages(corpus)
    return [
        *of_pairs,
        *(_of_worst_class(check, corpora, num_classes) for check in form),
        *([check_templates(recipe, recipe.open(prepared.report["identity"]))] if recipe.draws_label else []),
        shared_groups(corpus),
        exact_duplicates(corpus),
        near_duplicates(corpus),
        *([passages] if passages else []),
        shared_sentences(corpus),
        contained_texts(corpus),
        *(_of_worst_class(check, corpora, num_classes) for check in _WORDS),
        class_balance(corpus) if num_classes == 2 else class_shares(prepared, task),
        long_texts(corpus),
    ]


def single_texts(texts: pd.DataFrame, truth: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The texts of pairs as rows of their own, those of a pair in one group, and whether each is the better one."""
    labels = texts[["id"]].merge(truth, on="id", validate="one_to_one")["label"]
    first = texts[["id", "split", "text", "group", "cut_start", "cut_end"]]
    second = texts[["id", "split", "text_b", "group", "cut_start_b", "cut_end_b"]].set_axis(first.columns, axis=1)
    both = pd.concat([first.assign(id=first["id"] + "a"), second.assign(id=second["id"] + "b")], ignore_index=True)
    return both, pd.DataFrame({"id": both["id"], "label": [*labels, *(1 - labels)]})


def pair_length(prepared: PreparedSplits, severity: Severity) -> Finding:
    """The AUC of the difference of two texts' lengths; of `severity` where the lower bound is above LEAK_AUC."""
    rows = prepared.texts.merge(prepared.truth, on="id", validate="one_to_one")
    longer = (rows["text"].str.len() - rows["text_b"].str.len()).to_numpy(dtype=np.float64)
    held, truth = ~rows["split"].isin(FIT_SPLITS).to_numpy(), rows["label"].to_numpy(dtype=bool)
    sign = 1 if auroc(truth[~held], longer[~held]) >= 0.5 else -1
    aucs = combine_seeds(truth[held], (sign * longer[held])[None, None], rows["group"][held].tolist())
    interval = auroc_interval(aucs, 0)
    which = "longer" if sign > 0 else "shorter"
    message = f"AUC {interval.value:.3f} from length alone: the {which} text of a pair is called the better one"
    return measured("length of pairs", by_auc(interval, severity), message, interval)


_FORM = (format_tree, last_tokens, characters, normalisation, pairs_of_marks, check_label_tokens)
_WORDS = (bag_of_words, answer_only, length)  # these never refuse a dataset
MOST_CLASSES = 10  # that are told from the others: each costs as much as a binary dataset


def _of_worst_class(
    check: Callable[[TokenizedCorpus], Finding], corpora: Sequence[TokenizedCorpus], num_classes: int
) -> Finding:
    """The finding of a check; of several classes that of the one which is told best from the others."""
    findings = [check(corpus) for corpus in corpora]
    if num_classes == 2:
        return findings[0]
    worst = min(range(len(findings)), key=lambda i: (SEVERITIES.index(findings[i].severity), -(findings[i].value or 0)))
    of_all = f"of {num_classes}" if len(corpora) == num_classes else f"of the {len(corpora)} commonest of {num_classes}"
    found = findings[worst]
    return found._replace(
        message=f"{corpora[worst].sides[1]} against the rest, the worst {of_all} classes: {found.message}"
    )


SKEWED = 2.0  # times an even share, from which the commonest of several classes is reported
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


def class_shares(prepared: PreparedSplits, task: Task) -> Finding:
    """The share of the commonest class of several, and the rows of the rarest one in test."""
    rows, names = prepared.texts.merge(prepared.truth, on="id", validate="one_to_one"), task.class_names
    counts = np.bincount(rows["label"], minlength=len(names))
    in_test = np.bincount(rows.loc[rows["split"] == "test", "label"], minlength=len(names))
    commonest, rarest = int(counts.argmax()), int(in_test.argmin())
    share = float(counts[commonest] / len(rows))
    message = (
        f"{len(names)} classes: the commonest is {names[commonest]} with {share:.1%} of the rows, the rarest in test "
        f"{names[rarest]} with {counted(int(in_test[rarest]), 'row')}"
    )
    skewed = share > SKEWED / len(task.class_names)
    return Finding("class balance", "cue" if skewed else "passed", message, value=share)


def long_texts(corpus: TokenizedCorpus) -> Finding:
    """The estimated share of texts longer than TOKEN_LIMITS tokens, which models with that limit would cut."""
    tokens = np.array([len(text) for text in corpus.texts]) / CHARS_PER_TOKEN
    shares = [float((tokens > limit).mean()) for limit in TOKEN_LIMITS]
    over = ", ".join(f"{share:.1%} over {limit:,}" for share, limit in zip(shares, TOKEN_LIMITS, strict=True))
    median = f"{np.median(tokens):,.0f}"
    message = f"about {median} tokens in the median, {over} (estimated at {CHARS_PER_TOKEN:g} characters a token)"
    return Finding("long texts", "cue" if shares[-1] > OFTEN_LONG else "passed", message, value=shares[-1])
