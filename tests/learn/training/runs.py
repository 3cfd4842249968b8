"""A small fine-tuning run that the training tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from outshine.data.task import BINARY
from outshine.engine.runtime import Runtime
from outshine.learn.batches import LabelledRows
from outshine.learn.classifier import Classifier
from outshine.learn.loop import RunEnv, TrainConfig, TrainResult, Validation, finetune
from outshine.learn.losses import losses
from outshine.learn.settings import TrainingSettings

NUM_ROWS = 30
BATCH = 8  # four updates an epoch, the last of six rows


def rows(count: int = NUM_ROWS, seed: int = 0) -> LabelledRows:
    """Texts over four words; y is the share of the first two among a text's words, roughly."""
    rng = np.random.default_rng(seed)
    shares = rng.random(count)
    first = [rng.random(rng.integers(3, 20)) < share for share in shares]
    tokens = [np.where(one, rng.integers(5, 7, len(one)), rng.integers(7, 9, len(one))).tolist() for one in first]
    return LabelledRows([f"row-{seed}-{i}" for i in range(count)], tokens, shares)


def validation(seed: int = 1, count: int = 60) -> Validation:
    """Other rows of the same kind, scored against their hardened labels."""
    val = rows(count, seed)
    return Validation(val.tokens, BINARY.selection(val.y, False, "hard").score)


def run(loss: str = "xent", rate: float = 5e-3, seed: int = 0, **settings: Any) -> TrainConfig:
    """Three epochs with validations on the way."""
    whole = TrainingSettings(**{"epochs": 3, "batch_size": BATCH, "eval_every": 3, **settings})
    return TrainConfig(losses.parse(loss), whole, rate, seed)


def run_env(folder: Path, advance: Any = lambda done, total: None, **runtime: Any) -> RunEnv:
    """This one's CPU; checkpoints lie in `folder`."""
    return RunEnv(Runtime(**runtime), 0, folder / "work" / "checkpoint.safetensors", advance)


def trained(classifier: Classifier, folder: Path, train: LabelledRows | None = None, **kwargs: Any) -> TrainResult:
    """Run it with a validation."""
    return finetune(classifier, train or rows(), validation(), run(**kwargs), run_env(folder))
