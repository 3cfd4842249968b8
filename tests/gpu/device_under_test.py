"""Where the tests of this folder compute: on a CUDA GPU, or in a rehearsal on the CPU (OUTSHINE_TEST_DEVICE=cpu)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from outshine.engine.runtime import Runtime
from outshine.learn.classifier import Classifier, Cohort
from outshine.learn.cuda_graphs import CudaGraphs, use_cuda_graphs
from outshine.learn.load import load_backbone
from outshine.learn.packing import settle_sharing, start_packing
from outshine.learn.spec import ClassifierSpec
from plain_capture import PlainCapture
from tiny_checkpoints import spec_of, stir

DEVICE = torch.device(os.environ.get("OUTSHINE_TEST_DEVICE", "cuda"))
IS_REHEARSAL = DEVICE.type == "cpu"
LONGEST = 32  # tokens that the small models take

on_device = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE.type == "cuda" and not torch.cuda.is_available(), reason="needs CUDA"),
]


def runtime(**settings: Any) -> Runtime:
    return Runtime(device=DEVICE.type, **settings)


def classifier_on(device: torch.device, folder: Path, dtype: Any, packed: bool = False, **settings: Any) -> Classifier:
    """A classifier of a checkpoint whose trained weights all matter, the same on each device."""
    spec = spec_of(folder, dtype, **settings)
    return ready(stir(Classifier(load_backbone(spec, device), spec, 0)), packed)


def cohort_on(device: torch.device, spec: ClassifierSpec, num_members: int) -> Cohort:
    """A fresh cohort on one base."""
    return ready(Cohort(load_backbone(spec, device), spec, [0] * num_members), packed=False)


def ready(model: Any, packed: bool) -> Any:
    """Settle what a stage settles before it trains: which texts share a batch or, if so wished, a row; graphs."""
    settle_sharing(model, longest=LONGEST)
    if packed:
        assert start_packing(model, longest=LONGEST)
    if model.device == DEVICE and model.sharing == "any":
        if IS_REHEARSAL:
            model.graphs = CudaGraphs(PlainCapture(), cannot_be_captured)
        else:
            use_cuda_graphs(model, cannot_be_captured)
    return model


def cannot_be_captured(message: str) -> None:
    """Users are told and go on; of these models all can."""
    raise AssertionError(message)
