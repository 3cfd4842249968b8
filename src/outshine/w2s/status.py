"""The status of a study, from its store: done, running where, failed why, what is left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Any, NamedTuple

from outshine.engine.messages import duration
from outshine.engine.run import failures
from outshine.engine.run.local import RUNNING
from outshine.engine.store.index import Query
from outshine.engine.store.store import Store
from outshine.w2s.cost import seconds_of


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
    share: float | None = None  # of the whole unit
    seconds: float | None = None  # it has taken so far
    seconds_left: float | None = None  # of the current pass, by its own pace


class StudyStatus(NamedTuple):
    """The status of a study. Counts are of stages."""

    name: str
    total: int
    done: int
    running: list[Running]
    failed: list[failures.Failure]
    seconds_left: float | None  # with as many workers as there are now; None where there is nothing to judge by

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
        if self.num_running or self.waiting:
            known = self.seconds_left is not None
            parts.append(f"about {duration(self.seconds_left or 0)} left" if known else "time left not known yet")
        return ", ".join(parts)


def study_status(
    name: str,
    keys: Set[str],
    store: Store,
    kinds: Mapping[str, str] | None = None,
    work: Mapping[str, float] | None = None,
) -> StudyStatus:
    """How far a study is that needs the stages of these keys. `kinds`: of each, where that is known; `work`: how
    much is in each.

    Time left: a stage that runs is judged by its own pace, one that waits by the finished ones of its kind, else by its
    work at the rate so far; all over the workers that compute now.
    """
    finished = set(store.keys()) & keys
    running = _running(store, keys - finished)
    busy = {key for one in running for key in one.keys}
    failed = [
        failures.Failure(key, str(document.get("label", "")), str(document.get("message", "")))
        for key, document in store.documents(failures.KIND).all().items()
        if key in keys and key not in finished and key not in busy
    ]
    lost = {failure.key for failure in failed}
    waiting = keys - finished - busy - lost
    seconds = _seconds_left(_took(store, finished), running, waiting, kinds or {}, work or {})
    return StudyStatus(name, len(keys), len(finished), running, failed, seconds)


def _running(store: Store, asked: Set[str]) -> list[Running]:
    found = []
    for name, document in store.documents(RUNNING).all().items():
        listed = document.get("keys")
        keys = [key for key in listed if isinstance(key, str) and key in asked] if isinstance(listed, list) else []
        if keys and store.is_locked(name):  # a process that was killed left its document
            found.append(_as_running(keys, document))
    return found


def _as_running(keys: list[str], document: Mapping[str, Any]) -> Running:
    label, host, since, unit = (str(document.get(name, "")) for name in ("label", "host", "since", "unit"))
    pid, done, total = (_count(document.get(name)) for name in ("pid", "done", "total"))
    share, left = (_seconds(document.get(name)) for name in ("share", "left"))
    told = Running(keys, label, host, pid or 0, since, done, total, unit, share)
    return told._replace(seconds=_between(since, document.get("at")), seconds_left=left)


def _count(found: object) -> int | None:
    """A number of what is counted; None where none was written down, or what is none."""
    return found if isinstance(found, int) and 0 <= found < 2**63 else None


def _seconds(found: object) -> float | None:
    """A share or a number of seconds; None where none was written down, or what is none."""
    return found if isinstance(found, float) and 0 <= found < 2**63 else None


def _between(since: str, at: Any) -> float | None:
    try:
        return (datetime.fromisoformat(str(at)) - datetime.fromisoformat(since)).total_seconds()
    except (TypeError, ValueError):
        return None


def _took(store: Store, finished: Set[str]) -> dict[str, list[tuple[str, float]]]:
    """The finished stages of each kind, with the seconds that each took."""
    took: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for entry in store.listing(Query(keys=finished)).entries:  # the index has them: a record each would take minutes
        if not entry.fault:
            took[entry.stage].append((entry.key, entry.seconds))
    return took


def _seconds_left(
    took: Mapping[str, Sequence[tuple[str, float]]],
    running: Sequence[Running],
    waiting: Set[str],
    kinds: Mapping[str, str],
    work: Mapping[str, float],
) -> float | None:
    """Seconds until all is done; None where there is nothing to judge by."""
    rate = _rate(took, running, work)
    to_come = [seconds_of(key, kinds.get(key, ""), work, took, rate) for key in waiting]
    under_way = [_left_of(one, kinds, work, took, rate) for one in running]
    every = [*to_come, *under_way]
    if any(seconds is None for seconds in every):
        return None
    known = [seconds or 0.0 for seconds in every]
    longest = max(known[len(to_come) :], default=0.0)
    return max(sum(known) / max(1, len(running)), longest)


def _rate(
    took: Mapping[str, Sequence[tuple[str, float]]], running: Sequence[Running], work: Mapping[str, float]
) -> float | None:
    """Work a second of one worker, in what is finished and what runs; None where neither tells."""
    done = [(work[key], seconds) for every in took.values() for key, seconds in every if key in work]
    done += [
        (one.share * sum(work.get(key, 0.0) for key in one.keys), one.seconds)
        for one in running
        if one.share and one.seconds
    ]
    amount, seconds = sum(one for one, _ in done), sum(one for _, one in done)
    return amount / seconds if amount > 0 and seconds > 0 else None


def _left_of(
    one: Running,
    kinds: Mapping[str, str],
    work: Mapping[str, float],
    took: Mapping[str, Sequence[tuple[str, float]]],
    rate: float | None,
) -> float | None:
    """Of a unit that runs: what its pace says, and until that says something what its stages are thought to take."""
    if one.seconds_left is not None:
        return one.seconds_left
    whole = [seconds_of(key, kinds.get(key, ""), work, took, rate) for key in one.keys]
    if any(seconds is None for seconds in whole):
        return None
    return max(0.0, sum(seconds or 0.0 for seconds in whole) - (one.seconds or 0.0))


def summary_rows(now: StudyStatus) -> Sequence[tuple[str, str, str]]:
    """State, stage and what is to be said of it, for each stage that runs or failed."""
    rows = []
    for one in now.running:
        others = f" and {len(one.keys) - 1} more in one pass" if len(one.keys) > 1 else ""
        far = f", {one.done} of {one.total} {one.unit}" if one.done is not None else ""
        rows.append(("running", one.label + others, f"on {one.host} (process {one.pid}) since {one.since}{far}"))
    return [*rows, *(("failed", one.label, one.message) for one in now.failed)]
