"""Calls to transformers on a model's folder: nothing printed, nothing fetched, refusals in one line."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from outshine.engine.errors import ModelError, OutshineError
from outshine.engine.hub import offline


@contextmanager
def quiet() -> Iterator[None]:
    """No bars, notices or warnings of transformers while the block runs."""
    from transformers.utils import logging as hf_logging

    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.CRITICAL)
    hf_logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            hf_logging.set_verbosity(level)
            if bars:
                hf_logging.enable_progress_bar()


@contextmanager
def alone() -> Iterator[None]:
    """As `quiet`, with the hub switched off: all that a model needs lies in its folder, whatever its files name."""
    with quiet(), offline():
        yield


@contextmanager
def refusals(name: str) -> Iterator[None]:
    """What transformers refuses of the model called `name` becomes a ModelError in one line."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, OutshineError):
        raise
    except Exception as error:  # a stranger's files make a stranger's library raise anything
        raise ModelError(f"model '{name}' cannot be loaded: {_reason(error, name)}") from error


def read_configs(folder: Path, name: str, trusted: bool) -> tuple[Any, Any]:
    """The model's config as transformers reads it, defaults filled in, and that of its text model (often the same).

    Raises ModelError where transformers refuses it.
    """
    from transformers import AutoConfig

    with alone(), refusals(name):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trusted)
        return config, config.get_text_config(decoder=True)


def first_line(error: BaseException) -> str:
    """The message in one line: its first, and the next where the first only announces it."""
    if _asked_hub(error):
        return "it names another repository of the hub, which is not asked for it"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2] if lines[0].endswith(":") else lines[:1])[:200]


def _reason(error: BaseException, name: str) -> str:
    if "trust_remote_code" in str(error):
        return f"it needs code from its own repository; if you trust that, set trust_remote_code: {name}"
    if "ignore_mismatched_sizes" in str(error):
        return "the shapes of its weights are not those that its config.json describes"
    if isinstance(error, SafetensorError):
        return f"a safetensors file is damaged ({first_line(error)}); fetch or save it again"
    return first_line(error)


def _asked_hub(error: BaseException | None) -> bool:
    """Whether an error came of a request to the hub that `alone` did not let through."""
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    while error is not None:
        if isinstance(error, OfflineModeIsEnabled | LocalEntryNotFoundError):
            return True
        error = error.__cause__ or error.__context__
    return False
