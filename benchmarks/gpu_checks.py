"""Proofs, on a tiny model in float32, that the ways to run the students compute the same log-odds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from gpu_model import TINY, Adapters, Setup, Students, build, lean_adapters, load_adapters, students
from gpu_work import SCIQ, UPDATE, plan_run, texts, train_pass
from torch import Tensor
from transformers import LlamaModel

BUDGET = 256
REFERENCE = Setup("reference", budget=0)
Guard = Callable[[Callable[[], dict[str, Any]]], dict[str, Any]]


def checks(device: torch.device, guarded: Guard) -> list[dict[str, Any]]:
    """The largest difference of each way from a lean model that reads one text at a time; or why it was not run.

    flex_attention and varlen run in bf16 (varlen knows no float32); their reference is in bf16 too, and differs by
    rounding, about 1e-2.
    """
    exact, rounded = torch.float32, torch.bfloat16
    ways = {
        "PEFT equals lean": lambda: alone(device, Setup("peft", "peft", budget=BUDGET), exact),
        "buckets equal single texts": lambda: alone(device, Setup("buckets", budget=BUDGET), exact),
        "cohort of 4 equals four alone": lambda: cohort(device, updates=0),
        "cohort of 4 equals four alone, after an update": lambda: cohort(device, updates=1),
        "checkpointing changes no update": lambda: checkpointed(device),
        "compiled equals eager": lambda: alone(device, Setup("compiled", budget=BUDGET, compiled=True), exact),
        "packed equals padded, sdpa": lambda: alone(device, _packed("sdpa"), exact),
        "packed equals padded, varlen, bf16": lambda: alone(device, _packed("varlen"), rounded),
        "packed equals padded, flex_attention, bf16": lambda: alone(device, _packed("flex_attention"), rounded),
    }
    return [{"check": name, **guarded(lambda way=way: {"largest_difference": way()})} for name, way in ways.items()]


def alone(device: torch.device, setup: Setup, dtype: torch.dtype) -> float:
    """A single student, run as `setup` says, against the reference with the same weights."""
    backbone = build(TINY, device, dtype)
    weights = random_adapters(backbone)
    return _difference(log_odds(backbone, setup, weights), log_odds(backbone, REFERENCE, weights))


def cohort(device: torch.device, updates: int) -> float:
    """Four stacked students against each of them alone, all trained for some updates at a high learning rate."""
    backbone = build(TINY, device, torch.float32)
    weights = random_adapters(backbone, members=4)
    stacked = log_odds(backbone, Setup("cohort", budget=4 * BUDGET, members=4), weights, updates)
    singles = []
    for member in range(4):
        own = {path: (a[member : member + 1], b[member : member + 1]) for path, (a, b) in weights.items()}
        singles.append(log_odds(backbone, Setup("alone", budget=BUDGET), own, updates, member))
    return _difference(stacked, torch.cat(singles))


def checkpointed(device: torch.device) -> float:
    """A student after an update with gradient checkpointing against one without."""
    backbone = build(TINY, device, torch.float32)
    weights = random_adapters(backbone)
    setup = Setup("buckets", budget=BUDGET)
    return _difference(
        log_odds(backbone, setup._replace(checkpointing=True), weights, updates=1),
        log_odds(backbone, setup, weights, updates=1),
    )


def random_adapters(backbone: LlamaModel, members: int = 1) -> Adapters:
    """Weights with B different from zero, so that adapters count."""
    generator = torch.Generator().manual_seed(7)
    with students(backbone, Setup("shapes", members=members), False, "eager"):
        shapes = {path: (layer.lora_A.shape, layer.lora_B.shape) for path, layer in lean_adapters(backbone).items()}
    device = next(backbone.parameters()).device
    return {
        path: (
            (torch.randn(a, generator=generator) * a[-1] ** -0.5).to(device),
            (torch.randn(b, generator=generator) * 0.05).to(device),
        )
        for path, (a, b) in shapes.items()
    }


def log_odds(
    backbone: LlamaModel, setup: Setup, weights: Adapters, updates: int = 0, student: int | None = None
) -> Tensor:
    """Log-odds [m, n] of 32 texts after some updates on them. `student`: which of four a single one is."""
    device = next(backbone.parameters()).device
    corpus = texts(SCIQ, UPDATE, TINY.vocab_size)
    with students(backbone, setup, False, "eager") as model:
        load_adapters(model.backbone, weights)
        _set_heads(model, student)
        run = plan_run(model, setup, corpus, True, device, first_student=student or 0)
        optimizer = torch.optim.AdamW(model.trainable(), lr=1e-2, eps=1e-4)
        for _ in range(updates):
            train_pass(run, optimizer)
        return _in_order(model, setup, corpus, device)


def _set_heads(model: Students, which: int | None) -> None:
    heads = torch.randn(4, *model.head.shape[1:], generator=torch.Generator().manual_seed(5)) * 0.1
    chosen = heads[: model.members] if which is None else heads[which : which + 1]
    with torch.no_grad():
        model.head.copy_(chosen)


@torch.no_grad()
def _in_order(model: Students, setup: Setup, corpus: list[Tensor], device: torch.device) -> Tensor:
    """Log-odds [m, n] in the order of the texts."""
    run = plan_run(model, setup, corpus, False, device)
    batches = [batch for update in run.batches for batch in update]
    found = torch.cat([model(batch) for batch in batches], dim=1)
    return found[:, torch.cat([batch.rows for batch in batches]).argsort()].float()


def _packed(attention: Any) -> Setup:
    return Setup("packed", budget=BUDGET, packed=True, attention=attention)


def _difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())
