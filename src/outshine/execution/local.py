"""Stages computed one after the other in this process; what the store has is not computed again."""

from __future__ import annotations

import platform
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from outshine.core.errors import LostLeaseError, TrainingError
from outshine.core.key import canonical_fields, digest
from outshine.core.progress import Progress
from outshine.core.runtime import Runtime
from outshine.core.stage import Context, Stage, in_order
from outshine.core.store import Store
from outshine.execution.cohorts import Unit, units
from outshine.stages.cohort import run_together
from outshine.stages.finetune import Finetune

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
_RECORDED_IF_THERE = ("bitsandbytes",)
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
        stages = in_order(list(asked))
        lacking = set(self.store.lacking([stage.key for stage in stages]))
        return [stage for stage in stages if stage.key in lacking and not self._is_mended(stage)]

    def run(self, asked: Sequence[Stage]) -> None:
        """Compute what is missing of the stages and all they depend on.

        Raises the first failure; what is finished stays.
        """
        missing = self.missing(asked)
        if missing:
            self._set_threads()
        done = 0
        for unit in units(missing, self.runtime.cohort):
            self.progress.stage(done + 1, len(missing), unit_label(unit))
            self._compute(unit)
            done += len(unit)

    def _is_mended(self, stage: Stage) -> bool:
        """Set what is damaged aside. True where the stage turns out to be there: another process computed it anew."""
        if not self.store.is_damaged(stage.key):
            return False
        faults = self.store.verify(stage.key)
        if not faults and self.store.has(stage.key):
            return True
        aside = self.store.set_aside(stage.key)
        reason = faults[0].message if faults else "it is incomplete"
        self.progress.note(f"{stage.label}: damaged artefact set aside ({reason}) in {aside}; computing it anew")
        return False

    def _compute(self, unit: Unit) -> None:
        """Be the one writer of the unit's keys, or wait for the one and use its results."""
        keys = sorted(stage.key for stage in unit)  # in one order everywhere: no two processes wait for each other
        patience: float = _LOCK_PATIENCE
        while True:
            try:
                with ExitStack() as locks:
                    if all(locks.enter_context(self.store.lock(key, timeout=patience)) for key in keys):
                        self.store.finish_commits(keys)
                        self._write(tuple(stage for stage in unit if not self.store.has(stage.key)))
                        return
            except LostLeaseError as lost:
                self.progress.note(f"{unit_label(unit)}: {lost}")
                continue  # the other computes it, or has
            self.progress.note(f"{unit_label(unit)}: another process is computing it; waiting")
            patience = -1

    def _write(self, unit: Unit) -> None:
        """Compute a stage, or a cohort in one pass; a member that fails stops none of the others."""
        fine_tunings = [stage for stage in unit if isinstance(stage, Finetune)]
        if len(unit) > 1 and len(fine_tunings) == len(unit):
            self._write_cohort(fine_tunings)
            return
        for stage in unit:
            began = time.monotonic()
            with self.store.writing(stage.key) as folder:
                stage.run(self._context(stage, folder))
                self.store.commit(stage.key, folder, self._record(stage, time.monotonic() - began))

    def _write_cohort(self, members: list[Finetune]) -> None:
        began = time.monotonic()
        keys = [stage.key for stage in members]
        work = self.store.work(digest(sorted(keys)))
        with ExitStack() as folders:
            contexts = [self._context(stage, folders.enter_context(self.store.writing(stage.key))) for stage in members]
            errors = run_together(members, contexts, work)
            seconds = (time.monotonic() - began) / len(members)
            self.store.commit_together(
                [
                    (stage.key, context.folder, self._record(stage, seconds, cohort=keys))
                    for stage, context, error in zip(members, contexts, errors, strict=True)
                    if error is None
                ]
            )
        shutil.rmtree(work, ignore_errors=True)
        for stage, error in zip(members, errors, strict=True):
            if error is not None:
                raise TrainingError(f"{stage.label}: {error}") from error

    def _context(self, stage: Stage, folder: Path) -> Context:
        return Context(self.store, folder, self.store.work(stage.key), self.runtime, self.progress, self.memory)

    def _record(self, stage: Stage, seconds: float, cohort: Sequence[str] = ()) -> dict[str, Any]:
        """What `DONE.json` says beside the files: what was computed, and (unhashed) where and how.

        `seconds` of a member of a cohort (the keys trained in one pass) are its share.
        """
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
                **({"cohort": list(cohort)} if cohort else {}),
            },
        }

    def _set_threads(self) -> None:
        if self.runtime.threads is not None:
            import torch

            torch.set_num_threads(self.runtime.threads)


def unit_label(unit: Unit) -> str:
    """A stage's label, or the first one's and how many go with it."""
    others = len(unit) - 1
    return unit[0].label + (f" and {others} more in one pass" if others else "")


@cache
def _versions() -> dict[str, str]:
    """Of what is recorded: looked up once, it takes longer than many a stage."""
    versions = {name: version(name) for name in _RECORDED}
    for name in _RECORDED_IF_THERE:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def _peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
