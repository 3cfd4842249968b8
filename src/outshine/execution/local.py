"""Stages computed one after the other in this process; what the store has is not computed again."""

from __future__ import annotations

import platform
import resource
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import Any

from outshine.core.key import canonical_fields
from outshine.core.progress import Progress
from outshine.core.runtime import Runtime
from outshine.core.stage import Context, Stage, in_order
from outshine.core.store import Store

_RECORDED = (
    "outshine",
    "torch",
    "transformers",
    "huggingface-hub",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "tokenizers",
)
_LOCK_PATIENCE = 5.0  # seconds before a wait for another process is worth a note


class LocalExecutor:
    """Runs stages in this process and keeps the last base model in memory between them."""

    def __init__(self, store: Store, runtime: Runtime, progress: Progress) -> None:
        self.store = store
        self.runtime = runtime
        self.progress = progress
        self.memory: dict[str, Any] = {}

    def missing(self, asked: Sequence[Stage]) -> list[Stage]:
        """Of the stages and all they depend on, those that the store lacks, in the order of computation."""
        return [stage for stage in in_order(list(asked)) if not self._ready(stage)]

    def run(self, asked: Sequence[Stage]) -> None:
        """Compute what is missing of the stages and all they depend on.

        Raises the first failure; what is finished stays.
        """
        missing = self.missing(asked)
        if missing:
            self._set_threads()
        for number, stage in enumerate(missing, 1):
            self.progress.stage(number, len(missing), stage.label)
            self._compute(stage)

    def _ready(self, stage: Stage) -> bool:
        if self.store.has(stage.key):
            return True
        if self.store.path(stage.key).exists():  # there, but not as it was written
            faults = self.store.verify(stage.key)
            aside = self.store.set_aside(stage.key)
            reason = faults[0].message if faults else "it is incomplete"
            self.progress.note(f"{stage.label}: damaged artefact set aside ({reason}) in {aside}; computing it anew")
        return False

    def _compute(self, stage: Stage) -> None:
        """Be the one writer of the stage's key, or wait for the one and use its result."""
        key = stage.key
        patience: float = _LOCK_PATIENCE
        while True:
            with self.store.lock(key, timeout=patience) as ours:
                if ours:
                    if not self.store.has(key):
                        self._write(stage)
                    return
            self.progress.note(f"{stage.label}: another process is computing it; waiting")
            patience = -1

    def _write(self, stage: Stage) -> None:
        began = time.monotonic()
        with self.store.writing(stage.key) as folder:
            work = self.store.work(stage.key)
            stage.run(Context(self.store, folder, work, self.runtime, self.progress, self.memory))
            self.store.commit(stage.key, folder, self._record(stage, time.monotonic() - began))

    def _record(self, stage: Stage, seconds: float) -> dict[str, Any]:
        """What `DONE.json` says beside the files: what was computed, and (unhashed) where and how."""
        return {
            "stage": stage.stage,
            "version": stage.VERSION,
            "label": stage.label,
            "fields": canonical_fields(stage),
            "inputs": [one.key for one in stage.inputs()],
            "made": {
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(seconds, 3),
                "peak_memory_mb": round(_peak_memory_mb(), 1),
                "host": platform.node(),
                "machine": platform.machine(),
                "python": platform.python_version(),
                "packages": _versions(),
                "runtime": self.runtime.model_dump(),
            },
        }

    def _set_threads(self) -> None:
        if self.runtime.threads is not None:
            import torch

            torch.set_num_threads(self.runtime.threads)


@cache
def _versions() -> dict[str, str]:
    """Of what is recorded: looked up once, it takes longer than many a stage."""
    return {name: version(name) for name in _RECORDED}


def _peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
