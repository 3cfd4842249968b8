"""How far a study is, from what the store says: done, running where, failed why, what is left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from statistics import fmean
from typing import Any, NamedTuple

from outshine.core.index import Query
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


def standing(name: str, keys: Set[str], store: Store, kinds: Mapping[str, int] | None = None) -> Standing:
    """How far a study is that needs the stages of these keys, so many of each kind where that is known.

    Time left: for each kind the mean seconds of its finished stages (of all finished ones where it has none) times how
    many are left, over the workers that compute now.
    """
    finished = set(store.keys()) & keys
    running = _running(store, keys - finished)
    busy = {key for one in running for key in one.keys}
    failed = [
        failures.Failure(key, str(document.get("label", "")), str(document.get("message", "")))
        for key, document in store.documents(failures.KIND).all().items()
        if key in keys and key not in finished and key not in busy
    ]
    work = _work_left(_took(store, finished), kinds or {}, len(keys))
    seconds = None if work is None else work / max(1, len(running))
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
        listed = document.get("keys")
        keys = [key for key in listed if isinstance(key, str) and key in asked] if isinstance(listed, list) else []
        if keys and store.is_locked(name):  # a process that was killed left its document
            found.append(_as_running(keys, document))
    return found


def _as_running(keys: list[str], document: Mapping[str, Any]) -> Running:
    label, host, since, unit = (str(document.get(name, "")) for name in ("label", "host", "since", "unit"))
    pid, done, total = (_count(document.get(name)) for name in ("pid", "done", "total"))
    return Running(keys, label, host, pid or 0, since, done, total, unit)


def _count(found: object) -> int | None:
    """A number of what is counted; None where none was written down, or what is none."""
    return found if isinstance(found, int) and 0 <= found < 2**63 else None


def _took(store: Store, finished: Set[str]) -> dict[str, list[float]]:
    """Seconds that the finished stages took, by their kind."""
    took: dict[str, list[float]] = defaultdict(list)
    for entry in store.listing(Query(keys=finished)).entries:  # the index has them: a record each would take minutes
        if not entry.fault:
            took[entry.stage].append(entry.seconds)
    return took


def _work_left(took: Mapping[str, Sequence[float]], kinds: Mapping[str, int], total: int) -> float | None:
    """Seconds of one worker; None where nothing is finished to judge by."""
    every = [seconds for found in took.values() for seconds in found]
    if not every:
        return None
    if sum(kinds.values()) != total:
        return fmean(every) * (total - len(every))
    left = {kind: num - len(took.get(kind, ())) for kind, num in kinds.items()}
    return sum(num * fmean(took.get(kind) or every) for kind, num in left.items())


def summary_rows(now: Standing) -> Sequence[tuple[str, str, str]]:
    """State, stage and what is to be said of it, for each stage that runs or failed."""
    rows = []
    for one in now.running:
        others = f" and {len(one.keys) - 1} more in one pass" if len(one.keys) > 1 else ""
        far = f", {one.done} of {one.total} {one.unit}" if one.done is not None else ""
        rows.append(("running", one.label + others, f"on {one.host} (process {one.pid}) since {one.since}{far}"))
    return [*rows, *(("failed", one.label, one.message) for one in now.failed)]
