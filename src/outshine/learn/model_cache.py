"""The base model of the last stage, kept in memory for the next stage that needs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from outshine.data.task import BINARY, Task
from outshine.engine.process_group import processes_in
from outshine.learn.classifier import Classifier, Cohort
from outshine.learn.load import load_backbone, load_shared
from outshine.learn.out_of_memory import memory_of
from outshine.learn.spec import ClassifierSpec, Full, in_four_bits

_SLOT = "backbone"


@contextmanager
def classifier(
    spec: ClassifierSpec, head_seed: int, device: torch.device, memory: dict[str, Any], task: Task = BINARY
) -> Iterator[Classifier]:
    """Give a fresh classifier; its frozen base is taken from `memory` if it is the one, and left there afterwards.

    Raises TooLittleMemoryError where memory runs out with it, as the two below do.
    """
    with memory_of(device, spec.name):
        wanted, backbone = _take(spec, device, memory)
        fresh = Classifier(backbone, spec, head_seed, task)
        try:
            yield fresh
        finally:
            released = fresh.release()
            if not isinstance(spec.tuning, Full):
                memory[_SLOT] = (wanted, released)


@contextmanager
def cohort(
    spec: ClassifierSpec, head_seeds: Sequence[int], device: torch.device, memory: dict[str, Any], task: Task = BINARY
) -> Iterator[Cohort]:
    """Give fresh classifiers on one base, which is taken from `memory` and left there likewise. Not for full tuning."""
    with memory_of(device, spec.name):
        wanted, backbone = _take(spec, device, memory)
        together = Cohort(backbone, spec, head_seeds, task)
        try:
            yield together
        finally:
            memory[_SLOT] = (wanted, together.release())


@contextmanager
def pretrained(spec: ClassifierSpec, device: torch.device, memory: dict[str, Any]) -> Iterator[nn.Module]:
    """Give the frozen base as it was pretrained; taken from `memory` and left there likewise."""
    with memory_of(device, spec.name):
        wanted, backbone = _take(spec, device, memory)
        backbone.requires_grad_(False)
        try:
            yield backbone.eval()
        finally:
            memory[_SLOT] = (wanted, backbone)


def _take(spec: ClassifierSpec, device: torch.device, memory: dict[str, Any]) -> tuple[Any, nn.Module]:
    """Return what names a base in `memory`, and that base: from there, or loaded."""
    processes = processes_in(memory)
    kept = (isinstance(spec.tuning, Full), in_four_bits(spec))
    wanted = (spec.model.identity, spec.num_layers, spec.compute_dtype, *kept, str(device))
    name, backbone = memory.pop(_SLOT, (None, None))
    if name != wanted:
        del backbone  # before the next one is loaded: two may not fit
        backbone = load_backbone(spec, device) if processes.size == 1 else load_shared(spec, device, processes)
    return wanted, backbone
