"""How far a study is, from what the store says: done, running where, failed why, what is left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from typing import Any, NamedTuple

from outshine.core.errors import StoreError
from outshine.core.store import Store
from outshine.execution import failures, herald


class Running(NamedTuple):
    """A unit that a process is computing."""

    keys: list[str]
    label: str
    host: str
    pid: int
    since: str  # UTC
    done: int | None  # of the total of its units (examples, texts) in the current pass
    total: int | None
    unit: str


class Standing(NamedTuple):
    """How far a study is. Counts are of stages."""

    name: str
    total: int
    done: int
    running: list[Running]
    failed: list[failures.Failure]
    seconds_left: float | None  # with as many workers as there are now; None where nothing is finished yet

    @property
    def num_running(self) -> int:
        """Stages that are being computed."""
        return sum(len(one.keys) for one in self.running)

    @property
    def waiting(self) -> int:
        """Stages that are neither finished nor failed nor being computed."""
        return self.total - self.done - self.num_running - len(self.failed)

    @property
    def line(self) -> str:
        """One line for logs."""
        parts = [f"{self.name}: {self.done} of {self.total} stages done", f"{self.num_running} running"]
        parts += [f"{len(self.failed)} failed", f"{self.waiting} waiting"]
        if self.seconds_left and self.done < self.total:
            parts.append(f"about {duration(self.seconds_left)} left")
        return ", ".join(parts)


def standing(name: str, keys: Set[str], store: Store) -> Standing:
    """How far a study is that needs the stages of these keys."""
    finished = set(store.keys()) & keys
    running = _running(store, keys - finished)
    busy = {key for one in running for key in one.keys}
    failed = [
        failures.Failure(key, str(document.get("label", "")), str(document.get("message", "")))
        for key, document in store.documents(failures.KIND).all().items()
        if key in keys and key not in finished and key not in busy
    ]
    mean = _mean_seconds(store, finished)
    seconds = None if mean is None else mean * (len(keys) - len(finished)) / max(1, len(running))
    return Standing(name, len(keys), len(finished), running, failed, seconds)


def duration(seconds: float) -> str:
    """In the largest unit that gives at least two of it, or seconds."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _running(store: Store, asked: Set[str]) -> list[Running]:
    found = []
    for name, document in store.documents(herald.KIND).all().items():
        keys = [key for key in document.get("keys", ()) if key in asked]
        if keys and store.is_locked(name):  # a process that was killed left its document
            found.append(_as_running(keys, document))
    return found


def _as_running(keys: list[str], document: Mapping[str, Any]) -> Running:
    label, host, since, unit = (str(document.get(name, "")) for name in ("label", "host", "since", "unit"))
    pid = int(document.get("pid", 0))
    return Running(keys, label, host, pid, since, document.get("done"), document.get("total"), unit)


def _mean_seconds(store: Store, finished: Iterable[str]) -> float | None:
    """Of the finished stages, of whatever kind; None where there are none."""
    took: list[float] = []
    store.look_ahead(list(finished))
    for key in finished:
        with suppress(StoreError, KeyError, TypeError, ValueError):
            took.append(float(store.done(key)["made"]["seconds"]))
    return sum(took) / len(took) if took else None


def summary_rows(now: Standing) -> Sequence[tuple[str, str, str]]:
    """State, stage and what is to be said of it, for each stage that runs or failed."""
    rows = []
    for one in now.running:
        others = f" and {len(one.keys) - 1} more in one pass" if len(one.keys) > 1 else ""
        far = f", {one.done} of {one.total} {one.unit}" if one.done is not None else ""
        rows.append(("running", one.label + others, f"on {one.host} (process {one.pid}) since {one.since}{far}"))
    return [*rows, *(("failed", one.label, one.message) for one in now.failed)]
