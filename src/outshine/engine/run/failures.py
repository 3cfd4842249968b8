"""Stages that failed: what is told of them, kept in the store, and raised when all else is done."""

from __future__ import annotations

import os
import platform
import shutil
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import ClassVar, NamedTuple

from outshine.engine.errors import OutshineError, StoreError
from outshine.engine.key import digest
from outshine.engine.stage import Stage
from outshine.engine.store.store import Store

KIND = "failures"  # of the documents in the store
_SHOWN = 3  # failures that the error names


class Failure(NamedTuple):
    """One stage that could not be computed."""

    key: str
    label: str
    message: str  # one line
    trace: str | None = None  # of a defect; None for what the user can mend

    @classmethod
    def of(cls, stage: Stage, error: BaseException) -> Failure:
        """What an error says about a stage."""
        if isinstance(error, OutshineError):
            return cls(stage.key, stage.label, " ".join(str(error).split()))
        message = " ".join(f"{type(error).__name__}: {error}".split())
        return cls(stage.key, stage.label, message, "".join(traceback.format_exception(error)))

    @classmethod
    def of_deaths(cls, stage: Stage, num: int, how: str) -> Failure:
        """Of a stage that so many workers died of, the last one as `how` says."""
        return cls(stage.key, stage.label, f"{num} workers died of it, the last one {how}; too little memory?")


class StagesFailedError(OutshineError):
    """Some stages of a run failed; all that do not depend on them are finished."""

    exit_code: ClassVar[int] = 3

    def __init__(self, failures: Sequence[Failure], num_left_out: int = 0) -> None:
        self.failures = list(failures)
        self.num_left_out = num_left_out
        messages = "; ".join(f"{failure.label}: {failure.message}" for failure in self.failures[:_SHOWN])
        more = f"; and {len(self.failures) - _SHOWN} more" if len(self.failures) > _SHOWN else ""
        num = len(self.failures)
        left = f", {num_left_out} that need {'it' if num == 1 else 'them'} left out" if num_left_out else ""
        super().__init__(
            f"{num} {'stage' if num == 1 else 'stages'} failed{left}, the others are kept; "
            f"run again to try once more: {messages}{more}"
        )

    def __reduce__(self) -> tuple[type, tuple[list[Failure], int]]:
        """From another process it comes whole: an exception's own way keeps the message alone."""
        return type(self), (self.failures, self.num_left_out)


def note_failures(store: Store, failures: Iterable[Failure], unit: Iterable[Stage]) -> None:
    """Keep failures in the store, for `outshine watch`, until the stages of the unit are tried again."""
    keys = [stage.key for stage in unit]
    where = {"host": platform.node(), "pid": os.getpid(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    with suppress(OSError, StoreError):  # a store that cannot be written has its own error
        for failure in failures:
            store.documents(KIND).write(failure.key, {**failure._asdict(), **where, "unit": keys})


def forget_failures(store: Store, stages: Iterable[Stage]) -> None:
    """These stages are tried again."""
    with suppress(OSError, StoreError):
        for stage in stages:
            store.documents(KIND).remove(stage.key)


def start_over(store: Store, keys: Iterable[str]) -> list[Failure]:
    """Forget the failures of these stages, and what they left to go on from; returns what they were."""
    failures, wanted = [], set(keys)
    for key, document in store.documents(KIND).all().items():
        if key not in wanted:
            continue
        failures.append(Failure(key, str(document.get("label", "")), str(document.get("message", ""))))
        listed = document.get("unit", [key])
        unit = [member for member in listed if isinstance(member, str)] if isinstance(listed, list) else [key]
        for work in {key, digest(sorted(unit))}:
            shutil.rmtree(store.work(work), ignore_errors=True)
        store.documents(KIND).remove(key)
    return failures
