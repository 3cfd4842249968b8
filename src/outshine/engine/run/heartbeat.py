"""What a process is computing, said in the store while it does, for `outshine watch` on any machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

from outshine.engine.errors import StoreError
from outshine.engine.progress import Pace, Progress
from outshine.engine.run.schedule import Unit
from outshine.engine.store.store import Store

KIND = "running"  # of the documents in the store
FIRST, EVERY = 1.0, 5.0  # seconds until the first announcement, which short stages never make, and between two


class Heartbeat:
    """Progress that is also told in the store. A document each that takes longer than a second."""

    def __init__(self, store: Store, progress: Progress) -> None:
        self._store = store
        self._progress = progress
        self._far: dict[str, Any] = {}
        self._pace = Pace()

    def stage(self, number: int, total: int, label: str) -> None:
        self._progress.stage(number, total, label)

    def advance(self, done: int, total: int, unit: str) -> None:
        self._pace.advance(done, total, unit)
        self._far = {"done": done, "total": total, "unit": unit, "share": self._pace.share, "left": self._pace.left}
        self._progress.advance(done, total, unit)

    def note(self, message: str) -> None:
        self._progress.note(message)

    @contextmanager
    def announcing(self, unit: Unit) -> Iterator[None]:
        """Say in the store that the unit is being computed, as long as the block runs."""
        self._far, self._pace = {}, Pace()
        facts = {
            "keys": [stage.key for stage in unit],
            "label": unit[0].label,
            "host": platform.node(),
            "pid": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        over = Event()
        thread = Thread(target=self._announce, args=(unit[0].key, facts, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _announce(self, name: str, facts: dict[str, Any], over: Event) -> None:
        documents, pause = self._store.documents(KIND), FIRST
        while not over.wait(pause):
            pause = EVERY
            now = datetime.now(UTC).isoformat(timespec="seconds")
            with suppress(OSError, StoreError):  # a store that cannot be written has its own error
                documents.write(name, {**facts, **self._far, "at": now})
        with suppress(OSError, StoreError):
            documents.remove(name)  # perhaps that of a process that was killed
