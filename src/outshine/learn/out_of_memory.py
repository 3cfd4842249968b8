"""Recovery from out-of-memory errors: smaller micro-batches, the same update, the same cuts after a resume."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import torch

from outshine.engine.checked_reading import ODD, read_json
from outshine.engine.errors import SettingsError, TrainingError
from outshine.engine.files import write_synced
from outshine.engine.key import digest
from outshine.engine.process_group import ONE_PROCESS, ProcessGroup
from outshine.engine.runtime import Runtime

T = TypeVar("T")
Part = Literal["token_budget", "eval_token_budget"]

WAYS_OUT = "a smaller max_length or model, a smaller runtime.cohort, tuning.base: nf4, or a device with more memory"
_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")  # as CUDA and MPS, Linux and Windows say it


class _Since(NamedTuple):
    """Budgets from an update on."""

    step: int
    token_budget: int
    eval_token_budget: int
    gradient_checkpointing: bool = False

    def budgets(self) -> dict[str, int]:
        """Return them by the names that they have in a runtime."""
        return {name: value for name, value in self._asdict().items() if name != "step"}


class TooLittleMemoryError(TrainingError):
    """What is to be computed does not fit into the device's memory, however it is cut."""


class Budgets:
    """The token budgets of a run, halved from the update on at which they were too large.

    Where training runs out of memory with one text at a time, gradient checkpointing is switched on and the budget
    begins anew: a token then needs a small part of the memory.
    Kept in the file `path` before the smaller ones are used, so that a run that is taken up again cuts every batch
    as before. Those of a run that began with other budgets are not used.

    Processes that share a model cannot try again: the others wait in the middle of a pass for the one that has no
    memory left. It writes the smaller budget down and the run ends; the next start finds it and goes on.

    `release` is called where memory ran out, to give back what can be done without.
    """

    def __init__(
        self,
        runtime: Runtime,
        path: Path,
        device_type: str,
        processes: ProcessGroup = ONE_PROCESS,
        release: Callable[[], object] = lambda: None,
    ) -> None:
        budget = runtime.budget(device_type)
        self._runtime = runtime
        self._path = path
        self._processes = processes
        self._release = release
        self._start = _Since(0, budget.training, budget.evaluation, runtime.gradient_checkpointing)

    def at(self, step: int) -> Runtime:
        """Return the runtime with the budgets of update `step` (from 0)."""
        return self._runtime.model_copy(update=_Since(*self._processes.broadcast(self._now(step))).budgets())

    def fitting(self, step: int, part: Part, compute: Callable[[Runtime], T], least: int) -> T:
        """Return what `compute` gives with the largest budget of halves that fits into memory.

        least: padded tokens of the largest single text; raises TooLittleMemoryError where not even that fits, and
        SettingsError where processes that share a model are to be started again.
        """
        while True:
            runtime = self.at(step)
            try:
                return compute(runtime)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                tokens = getattr(self._now(step), part)
                exhausted = tokens <= least
                if exhausted and (part == "eval_token_budget" or runtime.gradient_checkpointing):
                    raise TooLittleMemoryError(
                        f"out of memory with one text at a time ({least} tokens); use {WAYS_OUT}"
                    ) from error
            if exhausted:
                self._checkpoint(step)
            else:
                self._halve(step, part)
            if self._processes.size > 1:
                raise SettingsError(
                    f"out of memory with runtime.{part}: {tokens}; the next start goes on from the last checkpoint "
                    "with half of it, or with gradient checkpointing (torchrun --max-restarts 9 starts by itself); "
                    "a smaller one from the beginning saves the trouble"
                )
            self._release()
            give_back_memory()

    def _halve(self, step: int, part: Part) -> None:
        now = self._now(step)
        self._add(now._replace(**{"step": step, part: max(1, getattr(now, part) // 2)}))

    def _checkpoint(self, step: int) -> None:
        """Switch checkpointing on, the last resort: about twice the forward passes, and a budget that begins anew."""
        whole = self._start.token_budget
        self._add(self._now(step)._replace(step=step, token_budget=whole, gradient_checkpointing=True))

    def _add(self, change: _Since) -> None:
        changes = [*self._changes(), change]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        rows = [list(change) for change in changes]
        write_synced(self._path, json.dumps({"changes": rows, "sha256": digest(rows)}))

    def _now(self, step: int) -> _Since:
        return next(change for change in reversed(self._changes()) if change.step <= step)

    def _changes(self) -> list[_Since]:
        """Return the changes in order: the file's, if the run that wrote it began like this one."""
        with suppress(OSError, *ODD):  # there is none, or none that is as it was written
            document = read_json(self._path)
            kept = [_Since(*change) for change in document["changes"]]
            if kept[0] == self._start and document["sha256"] == digest(document["changes"]):
                return kept
        return [self._start]


def halving(compute: Callable[[int], T], budget: int, least: int = 1) -> T:
    """Return `compute(budget)`, with half the budget each time that memory runs out, down to `least`.

    Raises what was raised where not even that fits.
    """
    while True:
        try:
            return compute(budget)
        except (RuntimeError, MemoryError) as error:
            if budget <= least or not is_out_of_memory(error):
                raise
        budget = max(least, budget // 2)
        give_back_memory()


@contextmanager
def memory_of(device: torch.device, name: str) -> Iterator[None]:
    """Raise TooLittleMemoryError, which says what to do, where memory runs out while the model of this name is used."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TooLittleMemoryError(
            f"out of memory on the device '{device.type}' with the model {name}; use {WAYS_OUT}"
        ) from error


def give_back_memory() -> None:
    """Let other sizes have the memory that torch keeps on a GPU for those that were freed."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device: torch.OutOfMemoryError is a RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in str(error).lower() for sign in _SIGNS)
