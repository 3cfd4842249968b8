"""Scores: AUROC and accuracy of every role on every split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from outshine.data.task import Task
from outshine.engine.checked_reading import read_table
from outshine.engine.errors import OutshineError
from outshine.engine.store.index import Query
from outshine.engine.store.store import Store
from outshine.results.names import METHOD_COLUMNS, NO_METHOD
from outshine.results.read.artefacts import Reader, method_facts, ranking_metric, run_facts
from outshine.stats.metrics.accuracy import Accuracy
from outshine.w2s.expand import Experiment
from outshine.w2s.stages.finetune import Finetune
from outshine.w2s.stages.predictor import PREDICTIONS, Predictor, predicted_columns, recorded_task
from outshine.w2s.stages.prepare import REPORT, TEXTS, TRUTH, text_columns

SPLITS = ("strong_train", "val", "test")
SCORE_COLUMNS = (
    *METHOD_COLUMNS,
    *("seed", "role", "split", "n", "num_groups", "auroc", "auroc_low", "auroc_high", "accuracy", "key"),
)


def read_scores(experiments: Iterable[Experiment], reader: Reader) -> list[dict[str, Any]]:
    """Read a row per role, split and seed; supervisor and ceiling once, though every method has them."""
    scored: dict[tuple[Any, ...], dict[str, Any]] = {}
    for run in experiments:
        for facts, stage in roles(run):
            identity = (run.prepare.key, *facts.values())
            if (*identity, SPLITS[-1]) in scored:
                continue
            for split, measured in split_scores(run, stage, reader).items():
                scored[(*identity, split)] = {**facts, "split": split, **measured}
    return list(scored.values())


def split_scores(run: Experiment, stage: Predictor | None, reader: Reader) -> dict[str, dict[str, Any]]:
    """Measure a stage on each split that it predicts, or for None the experiment's weak labels."""
    rows = reader.rows(run)
    score = reader.weak_scores(run) if stage is None else reader.scores(stage)
    measured = {}
    for split in SPLITS:
        part = rows[rows["split"] == split]
        own = score.reindex(part.index).to_numpy()
        if not np.isnan(own).any():
            measured[split] = measure(part, own, run.texts.task)
    return measured


def roles(run: Experiment) -> Iterator[tuple[dict[str, Any], Predictor | None]]:
    """What each role's rows say, and the stage that predicts; None: weak labels that no single model makes.

    Supervisor and ceiling, which methods share, are of no method. Where a method has labels of its own, their row bears
    the method's name, so that no table takes them for the study's. If they are made of models, each of these has a
    row as well, whose `variant` says which it is.
    """
    facts = {**run_facts(run), "seed": run.seed}
    made = run.labels if isinstance(run.labels, Predictor) else None
    weak = {"role": "weak", "key": made.key if made else ""}
    if not run.has_own_labels:
        yield {**facts, **NO_METHOD, "loss": "xent" if made else "", **weak}, made
    else:
        method = method_facts(run, len(run.students) - 1)
        yield {**facts, **method, **weak}, made
        for variant, supervisor in _supervisors(run, method["variant"]):
            yield {**facts, **method, "variant": variant, "role": "weak", "key": supervisor.key}, supervisor
    ceiling = {"loss": "xent", "role": "ceiling", "key": run.ceiling.key}
    yield {**facts, **NO_METHOD, **ceiling}, run.ceiling
    for number, student in enumerate(run.students):
        named = {**method_facts(run, number), "role": "student", "key": student.key}
        yield {**facts, **named}, student


def _supervisors(run: Experiment, variant: str) -> Iterator[tuple[str, Predictor]]:
    """The supervisors that made a method's labels, each with the words that tell its row from the others'."""
    times: Counter[str] = Counter()
    for supervisor in run.wiring.supervisors:
        if supervisor == run.labels:
            continue
        name = supervisor.classifier.name if isinstance(supervisor, Finetune) else supervisor.label
        times[name] += 1
        number = f" ({times[name]})" if times[name] > 1 else ""  # one model with another seed, for instance
        yield ", ".join(part for part in (variant, f"supervisor={name}{number}") if part), supervisor


def measure(part: pd.DataFrame, score: np.ndarray, task: Task) -> dict[str, Any]:
    """Measure the AUROC (`ranking_metric`) with its interval by group, and the accuracy, of one role on one split."""
    y, metric = part["y"].to_numpy(), ranking_metric(task)
    facts: dict[str, Any] = {"n": len(y), "num_groups": 0, "accuracy": Accuracy().value(y, score)}
    if len(np.unique(y)) < 2:  # no AUC of one class; test always has all
        return {**facts, "auroc": np.nan, "auroc_low": np.nan, "auroc_high": np.nan}
    aucs = metric.combine_seeds(y, score[None, None], part["group"].tolist())
    estimate = metric.interval(aucs, 0)
    facts["num_groups"] = aucs.num_groups
    return {**facts, "auroc": estimate.value, "auroc_low": estimate.low, "auroc_high": estimate.high}


def own_scores(key: str, store: Store) -> dict[str, dict[str, Any]]:
    """AUROC with its interval, and accuracy, on each split against ground truth, test first.

    Empty where the artefact predicts nothing, or the store lacks the rows that it predicts or cannot read them.
    """
    try:
        return _scores(key, store)
    except (OutshineError, OSError, KeyError, TypeError, ValueError):  # damage is for `verify` to tell
        return {}


def _scores(key: str, store: Store) -> dict[str, dict[str, Any]]:
    record = store.done(key)
    digest = _texts_digest(record, store) if PREDICTIONS in record["files"] else None
    preparation = _preparation(digest, store) if digest else None
    if preparation is None:
        return {}
    task = recorded_task(record["fields"], store)
    rows = read_table(store, preparation, TEXTS, text_columns(task)).set_index("id")
    truth = read_table(store, preparation, TRUTH, {"id": "text"}).set_index("id")
    predicted = read_table(store, key, PREDICTIONS, predicted_columns(task)).set_index("id")
    y = task.classes(task.soft(truth["label"]).to_numpy())
    scores = list(task.score_columns)
    joined = rows[["split", "group"]].assign(y=pd.Series(y, index=truth.index)).join(predicted[scores], how="inner")
    parts = {split: joined[joined["split"] == split] for split in reversed(SPLITS)}
    return {split: measure(part, task.scores_in(part).to_numpy(), task) for split, part in parts.items() if len(part)}


def _texts_digest(record: Mapping[str, Any], store: Store) -> str | None:
    """Return the digest of the texts that a predictor read, or that its inputs did, as of a probe of activations."""
    texts = record["fields"].get("texts")
    if isinstance(texts, dict):
        return str(texts.get("digest"))
    digests = (_texts_digest(store.done(key), store) for key in record["inputs"] if store.has(key))
    return next((digest for digest in digests if digest), None)


def _preparation(digest: str, store: Store) -> str | None:
    """The prepared dataset that holds these texts and their ground truth."""
    for entry in store.listing(Query(stage="prepare")).entries:
        if not entry.fault and store.document(entry.key, REPORT, lambda report: report.get("texts_digest")) == digest:
            return entry.key
    return None
