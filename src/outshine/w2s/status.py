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


class RunningStage(NamedTuple):
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
    running: list[RunningStage]
    failed: list[failures.Failure]
    seconds_left: float | None  # with as many workers as there are now; None where there is nothing to judge by

    @property
    def num_running(self) -> int:
        """Stages that are being computed."""
        return sum(len(unit.keys) for unit in self.running)

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
    """Tell how far a study is that needs the stages of these keys. `kinds`: of each, where known; `work`: how
    much is in each.

    Time left: a stage that runs is judged by its own pace, one that waits by the finished ones of its kind, else by its
    work at the rate so far; all over the workers that compute now.
    """
    finished = set(store.keys()) & keys
    running = _running(store, keys - finished)
    busy = {key for unit in running for key in unit.keys}
    failed = [
        failures.Failure(key, str(document.get("label", "")), str(document.get("message", "")))
        for key, document in store.documents(failures.KIND).all().items()
        if key in keys and key not in finished and key not in busy
    ]
    lost = {failure.key for failure in failed}
    waiting = keys - finished - busy - lost
    seconds = _seconds_left(_took(store, finished), running, waiting, kinds or {}, work or {})
    return StudyStatus(name, len(keys), len(finished), running, failed, seconds)


def _running(store: Store, wanted: Set[str]) -> list[RunningStage]:
    running = []
    for name, document in store.documents(RUNNING).all().items():
        listed = document.get("keys")
        keys = [key for key in listed if isinstance(key, str) and key in wanted] if isinstance(listed, list) else []
        if keys and store.is_locked(name):  # a process that was killed left its document
            running.append(_as_running(keys, document))
    return running


def _as_running(keys: list[str], document: Mapping[str, Any]) -> RunningStage:
    label, host, since, unit = (str(document.get(name, "")) for name in ("label", "host", "since", "unit"))
    pid, done, total = (_count(document.get(name)) for name in ("pid", "done", "total"))
    share, left = (_seconds(document.get(name)) for name in ("share", "left"))
    running = RunningStage(keys, label, host, pid or 0, since, done, total, unit, share)
    return running._replace(seconds=_between(since, document.get("at")), seconds_left=left)


def _count(value: object) -> int | None:
    """Return a count; None where none was written down, or what is none."""
    return value if isinstance(value, int) and 0 <= value < 2**63 else None


def _seconds(value: object) -> float | None:
    """Return a share or a number of seconds; None where none was written down, or what is none."""
    return value if isinstance(value, float) and 0 <= value < 2**63 else None


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
    running: Sequence[RunningStage],
    waiting: Set[str],
    kinds: Mapping[str, str],
    work: Mapping[str, float],
) -> float | None:
    """Estimate the seconds until all is done; None where there is nothing to judge by."""
    rate = _rate(took, running, work)
    to_come = [seconds_of(key, kinds.get(key, ""), work, took, rate) for key in waiting]
    under_way = [_left_of(unit, kinds, work, took, rate) for unit in running]
    every = [*to_come, *under_way]
    if any(seconds is None for seconds in every):
        return None
    known = [seconds or 0.0 for seconds in every]
    longest = max(known[len(to_come) :], default=0.0)
    return max(sum(known) / max(1, len(running)), longest)


def _rate(
    took: Mapping[str, Sequence[tuple[str, float]]], running: Sequence[RunningStage], work: Mapping[str, float]
) -> float | None:
    """Estimate one worker's work a second by what is finished and what runs; None where neither tells."""
    done = [(work[key], seconds) for every in took.values() for key, seconds in every if key in work]
    done += [
        (unit.share * sum(work.get(key, 0.0) for key in unit.keys), unit.seconds)
        for unit in running
        if unit.share and unit.seconds
    ]
    amount, seconds = sum(work_done for work_done, _ in done), sum(time_taken for _, time_taken in done)
    return amount / seconds if amount > 0 and seconds > 0 else None


def _left_of(
    running: RunningStage,
    kinds: Mapping[str, str],
    work: Mapping[str, float],
    took: Mapping[str, Sequence[tuple[str, float]]],
    rate: float | None,
) -> float | None:
    """Estimate the rest of a unit by its pace, and until that says something by what its stages are thought to take."""
    if running.seconds_left is not None:
        return running.seconds_left
    whole = [seconds_of(key, kinds.get(key, ""), work, took, rate) for key in running.keys]
    if any(seconds is None for seconds in whole):
        return None
    return max(0.0, sum(seconds or 0.0 for seconds in whole) - (running.seconds or 0.0))


def summary_rows(now: StudyStatus) -> Sequence[tuple[str, str, str]]:
    """Return state, stage and what is to be said of it, for each stage that runs or failed."""
    rows = []
    for unit in now.running:
        others = f" and {len(unit.keys) - 1} more in one pass" if len(unit.keys) > 1 else ""
        far = f", {unit.done} of {unit.total} {unit.unit}" if unit.done is not None else ""
        rows.append(("running", unit.label + others, f"on {unit.host} (process {unit.pid}) since {unit.since}{far}"))
    return [*rows, *(("failed", failure.label, failure.message) for failure in now.failed)]
