"""What one predictor of a store is worth, read from its predictions and the ground truth of its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from outshine.analysis.reading.scores import SPLITS, measure
from outshine.core.errors import OutshineError
from outshine.core.index import Query
from outshine.core.store import Store

PREDICTIONS, TEXTS, TRUTH, REPORT = "predictions.parquet", "texts.parquet", "truth.parquet", "report.json"


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
    rows, truth, predicted = (
        pd.read_parquet(store.file(one, name)).set_index("id")
        for one, name in ((preparation, TEXTS), (preparation, TRUTH), (key, PREDICTIONS))
    )
    joined = rows[["split", "group"]].assign(y=truth["label"]).join(predicted["log_odds"], how="inner")
    parts = {split: joined[joined["split"] == split] for split in reversed(SPLITS)}
    return {split: measure(part, part["log_odds"].to_numpy()) for split, part in parts.items() if len(part)}


def _texts_digest(record: Mapping[str, Any], store: Store) -> str | None:
    """Of the texts that a predictor read, or of what it was made of, as a probe of activations."""
    texts = record["fields"].get("texts")
    if isinstance(texts, dict):
        return str(texts.get("digest"))
    found = (_texts_digest(store.done(key), store) for key in record["inputs"] if store.has(key))
    return next((digest for digest in found if digest), None)


def _preparation(digest: str, store: Store) -> str | None:
    """The prepared dataset that holds these texts and their ground truth."""
    for entry in store.listing(Query(stage="prepare")).entries:
        if (
            not entry.fault
            and json.loads(store.file(entry.key, REPORT).read_text("utf-8")).get("texts_digest") == digest
        ):
            return entry.key
    return None
