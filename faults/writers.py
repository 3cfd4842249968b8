"""Several processes at one store: locks that do nothing, holders that stand still, disks that err, many commands."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from faults.inside import injected
from faults.outcome import Outcome, finish, unlike
from faults.study import LEASE, Driver, committed, outshine, processes, surroundings, tables

CROWD = 20  # processes


def no_locks(folder: Path, reference: Mapping[str, str], times: int) -> Outcome:
    """Two drivers of one study where flock does nothing: both end, with the same tables."""
    problems: list[str] = []
    for number in range(times):
        place = folder / str(number)
        other = _beside(place)
        drivers = [Driver(one, environment=injected("no-locks")) for one in (place, other)]
        for driver in drivers:
            ended = driver.end()
            if ended.code != 0 or "Traceback" in ended.said:
                problems.append(f"ended with {ended.code}: {ended.said.strip().splitlines()[-1:]}")
        problems += [*unlike(place, reference), *unlike(other, reference), *finish(place, reference)]
    return Outcome("locks that do nothing, two drivers", times, times if not problems else 0, 0, "", tuple(problems))


def stopped(folder: Path, reference: Mapping[str, str], times: int, rng: random.Random) -> Outcome:
    """A driver that stands still (SIGSTOP) for longer than its lease lives, and goes on; another one beside it."""
    problems: list[str] = []
    for number in range(times):
        place, below_url = folder / str(number), bool(number % 2)
        other = _beside(place)
        start = partial(Driver, below_url=below_url)
        first, second = start(place), start(other)
        time.sleep(rng.uniform(5, 9))
        _signal(first, signal.SIGSTOP)
        time.sleep(2 * LEASE)
        _signal(first, signal.SIGCONT)
        for driver in (first, second):
            ended = driver.end()
            if ended.code != 0 or "Traceback" in ended.said:
                problems.append(f"ended with {ended.code}: {ended.said.strip().splitlines()[-1:]}")
        problems += [*unlike(place, reference), *unlike(other, reference), *finish(place, reference, start=start)]
    remark = "half of them below a URL"
    return Outcome("holders that stand still", times, times if not problems else 0, 0, remark, tuple(problems))


def failing_disk(folder: Path, reference: Mapping[str, str], times: int) -> Outcome:
    """One in a hundred calls of the store's disk ends with EIO: a run goes on or says so in one line."""
    problems: list[str] = []
    codes: Counter[int] = Counter()
    for number in range(times):
        place = folder / str(number)
        own = {**injected("eio"), "OUTSHINE_FAULT_PLACE": str(place / "store")}
        ended = Driver(place, "--workers", "2", environment=own).end()
        codes[ended.code] += 1
        if ended.code not in (0, 2, 3) or "Traceback" in ended.said:
            problems.append(f"ended with {ended.code}: {ended.said.strip().splitlines()[-1:]}")
        problems += finish(place, reference, "--workers", "2")
    remark = ", ".join(f"{num} ended with {code}" for code, num in sorted(codes.items()))
    return Outcome("a disk that errs (EIO)", times, times if not problems else 0, 0, remark, tuple(problems))


def crowd(folder: Path, finished: Path, reference: Mapping[str, str], seconds: float) -> list[Outcome]:
    """Twenty processes at once: run, ls, verify --mend, gc, import, export; on a folder, and below a URL."""
    return [_crowd(folder / kind, finished, reference, seconds, kind) for kind in ("folder", "url")]


def _crowd(folder: Path, finished: Path, reference: Mapping[str, str], seconds: float, kind: str) -> Outcome:
    folder.mkdir(parents=True)
    archive = folder / "study.zip"
    own = {"OUTSHINE_CACHE": str(folder / "copies"), "OUTSHINE_LEASE_SECONDS": str(LEASE)}
    outshine("export", "fault-test", "-o", str(archive), "--store", str(finished / "store"))
    store = folder / "store"
    where = store.as_uri() if kind == "url" else str(store)
    outshine("import", str(archive), "--store", where, environment=own)
    study = str(finished / "study.yaml")
    commands = [
        ("run", study, "--allow-leaks", "--out", "OUT"), ("ls",), ("verify", "--mend"), ("gc", "--yes"),
        ("import", str(archive)), ("export", "fault-test", "-o", "OUT.zip"), ("gc", "--yes", "--study", "fault-test"),
    ]  # fmt: skip
    until = time.monotonic() + seconds
    environment = {**os.environ, **surroundings(), **own}
    under_way: dict[int, tuple[subprocess.Popen[str], str]] = {}
    said: Counter[str] = Counter()
    num, bad = 0, []
    while under_way or time.monotonic() < until:
        for number in range(CROWD):
            if number in under_way:
                process, name = under_way[number]
                if process.poll() is None:
                    continue
                told = process.communicate()[1]
                if "Traceback" in told or process.returncode not in (0, 1, 2):
                    bad.append(f"{name} ended with {process.returncode}: {told.strip().splitlines()[-1:]}")
                if process.returncode:
                    said[f"{name} {process.returncode}"] += 1
                del under_way[number]
            if time.monotonic() < until:
                command = [one.replace("OUT", str(folder / f"out{number}")) for one in commands[number % len(commands)]]
                process = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-m", "outshine", *command, "--store", where], stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
                )  # fmt: skip
                under_way[number] = (process, command[0])
                num += 1
        time.sleep(0.02)
    problems = [*bad[:5], *([f"and {len(bad) - 5} more"] if len(bad) > 5 else [])]
    outshine("import", str(archive), "--store", where, environment=own)
    checked = outshine("verify", "--store", where, environment=own)
    if checked.returncode != 0:
        problems.append(f"verify afterwards: {checked.stdout.strip().splitlines()[:3]}")
    if len(committed(folder)) != len(committed(finished)):
        problems.append(f"{len(committed(folder))} artefacts where {len(committed(finished))} were imported")
    outshine("run", study, "--allow-leaks", "--out", str(folder / "out"), "--store", where, environment=own)
    if tables(folder) != dict(reference):
        problems.append("the tables differ")
    remark = "; ".join([f"{CROWD} processes", *(f"{count} × {what}" for what, count in sorted(said.items()))])
    return Outcome(f"commands at once, {kind}", num, num - len(bad), 0, remark, tuple(problems))


def _beside(place: Path) -> Path:
    """Another folder with the same store."""
    other = place.with_name(place.name + "-other")
    for one in (place / "store", other):
        one.mkdir(parents=True, exist_ok=True)
    (other / "store").symlink_to(place / "store")
    return other


def _signal(driver: Driver, kind: signal.Signals) -> None:
    for one in processes(driver.session):
        with suppress(ProcessLookupError):
            os.kill(one, kind)
