"""Activations and weak labels brought together, by id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outshine.engine.errors import DataError, OutshineError
from outshine.w2s.stages.activations import Activations
from outshine.w2s.stages.labels import LabelSource, labels_of

if TYPE_CHECKING:
    from outshine.engine.store.store import Store
    from outshine.learn.probes.base import Labelled


def labelled(activations: Activations, labels: LabelSource, split: str, store: Store) -> tuple[Labelled, list[str]]:
    """The rows of a split for probes and filters, and notes on how classes were made of their labels.

    Raises DataError where all labels are equal: there is nothing to learn from them.
    """
    import torch

    from outshine.learn.probes.base import Labelled

    ids, acts = activations.read(store, split)
    p_weak = labels_of(labels.read_labels(store), ids, split).to_numpy(copy=True)
    where = f"{activations.texts.origin.name} {split}"
    hardened = activations.texts.task.harden(p_weak)
    if hardened.y is None:
        raise DataError(f"{where}: all labels are {p_weak[0]:g}; probes and filters need labels that differ")
    try:
        rows = Labelled.of(ids, acts, torch.from_numpy(p_weak), torch.from_numpy(hardened.y))
    except OutshineError as error:
        raise DataError(f"{where}, layer {activations.layer}: {error}") from error
    return rows, [f"{where}: {hardened.note}"] if hardened.note else []
