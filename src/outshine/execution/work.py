"""How much work is in the stages of a run, so that it can be told how long the rest will take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from outshine.core.errors import OutshineError
from outshine.core.stage import Stage, in_order
from outshine.core.store import Store
from outshine.execution.estimate import Estimator
from outshine.models.catalog import Shape
from outshine.models.resolve import Resolved

MODEL_STAGES = ("supervised", "student", "control", "activations", "trajectory")
"""Kinds of stages that send rows through a model."""

PER_TOKEN = 1e6
"""FLOPs that a token's share of all else, memory and Python, is worth: a tiny model waits for these."""

_LITTLE = ("prepare", "audit", "probing", "truth_probing", "keep", "fold_plan", "fold")  # beside those


def work_of(
    asked: Sequence[Stage], models: Iterable[Resolved | None], store: Store, *, checkpointed: bool = False
) -> dict[str, float]:
    """The work in the stages and all they depend on, by key, as far as they send rows through a model: about FLOPs.

    Tokens are told from characters, for only the proportions count, and each costs at least PER_TOKEN. Empty where a
    model's size cannot be had, or nothing is to be computed.
    """
    stages = in_order(list(asked))
    lacking = set(store.lacking([stage.key for stage in stages]))
    if not any(stage.key in lacking for stage in stages if stage.stage in MODEL_STAGES):
        return {}
    try:
        shapes = {model.spec.model.identity: _shape(model) for model in models if model}
        estimator = Estimator(store, shapes, lambda stage: True, checkpointed=checkpointed, sample=0)
        costs = estimator.costs(stages)
    except OutshineError:  # a run says itself what is wrong, and where
        return {}
    found = {
        stage.key: cost.flops + PER_TOKEN * cost.tokens
        for stage, cost in zip(stages, costs, strict=True)
        if cost.flops and cost.tokens
    }
    if any(stage.key not in found for stage in stages if stage.stage in MODEL_STAGES and stage.stage != "activations"):
        return {}
    return {key: float(flops) for key, flops in found.items()}


def seconds_of(
    key: str, kind: str, work: Mapping[str, float], took: Mapping[str, Sequence[tuple[str, float]]], rate: float | None
) -> float | None:
    """About how long a stage will take; None where nothing is known to judge by.

    By the finished stages of its kind (`took`: key and seconds of each), in proportion to their work where that is
    known; else by its work and the `rate` at which work was done so far. What sends no rows through a model is little.
    """
    alike = took.get(kind, ())
    if alike:
        seconds = sum(one for _, one in alike)
        done = [work.get(other, 0.0) for other, _ in alike]
        return seconds * work[key] / sum(done) if key in work and all(done) else seconds / len(alike)
    if key in work:
        return None if rate is None else work[key] / rate
    return (
        0.0 if kind in _LITTLE or (kind == "activations" and work) else None
    )  # layers are read with the first of them


def _shape(model: Resolved) -> Shape | None:
    from outshine.models.shape import shape_of

    try:
        return shape_of(model.spec)
    except OutshineError:
        return None
