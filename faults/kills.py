"""SIGKILL at random moments: workers, drivers, Ray's actors and nodes, one of two drivers; Ctrl-C, once and twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from faults.outcome import Outcome, finish, lost, unlike
from faults.study import Driver, committed, leftovers, orphans, processes, surroundings, under_way
from outshine.engine.messages import counted

FAILED = 3  # exit code of a run that gave a stage up
TOO_OFTEN = "workers died of it"  # why: `executor.retries` began the stage anew, each time it was killed
LONGEST = 9.0  # seconds from one kill to the next, at most


def local(folder: Path, reference: Mapping[str, str], num_kills: int, rng: random.Random) -> Outcome:
    """Worker processes and their drivers."""
    return _killing("SIGKILL, local workers and drivers", folder, reference, num_kills, rng, ("--workers", "2"), _own)


def leases(folder: Path, reference: Mapping[str, str], num_kills: int, rng: random.Random) -> Outcome:
    """The same in a store below a URL, where a dead holder's lease must run out."""
    name, start = "SIGKILL, store below file://", partial(Driver, below_url=True)
    return _killing(name, folder, reference, num_kills, rng, ("--workers", "2"), _own, start=start)


def ray(folder: Path, reference: Mapping[str, str], num_kills: int, rng: random.Random) -> Outcome:
    """Ray's actors and drivers, on a cluster of two nodes."""
    with Cluster() as cluster:
        options = ("--executor", "ray", "--workers", "2", "--address", cluster.address)
        name = "SIGKILL, Ray actors and drivers"
        return _killing(name, folder, reference, num_kills, rng, options, lambda _: [*cluster.actors()], cluster)


def node(folder: Path, reference: Mapping[str, str], rng: random.Random) -> Outcome:
    """A whole Ray node, in the middle of a study."""
    with Cluster() as cluster:
        driver = Driver(folder, "--executor", "ray", "--workers", "2", "--address", cluster.address)
        while len(committed(folder)) < 6 and driver.process.poll() is None:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 2))
        redone = len(under_way(folder))
        before = committed(folder)
        cluster.kill_node()
        ended = driver.end()
        problems = [] if ended.code == 0 else [f"ended with {ended.code}: {ended.said.strip().splitlines()[-1:]}"]
        problems += [*unlike(folder, reference), *lost(before, folder)]
        problems += [f"left behind: {name}" for name in leftovers(folder)]
    return Outcome("a Ray node dies in mid-study", 1, int(not problems), redone, "", tuple(problems))


def two_drivers(folder: Path, reference: Mapping[str, str], rng: random.Random) -> Outcome:
    """Two drivers share a store, and one is killed."""
    other = folder.with_name(folder.name + "-other")
    other.mkdir(parents=True, exist_ok=True)
    (folder / "store").mkdir(parents=True, exist_ok=True)
    (other / "store").symlink_to(folder / "store")
    first, second = Driver(folder), Driver(other)
    time.sleep(rng.uniform(6, 10))
    redone, before = len(under_way(folder)), committed(folder)
    second.process.kill()
    ended = first.end()
    second.end()
    problems = [] if ended.code == 0 else [f"ended with {ended.code}"]
    problems += [
        *unlike(folder, reference),
        *lost(before, folder),
        *(f"orphan {one}" for one in orphans(second.session)),
    ]
    problems += [f"left behind: {name}" for name in leftovers(folder)]
    return Outcome("two drivers at once, one killed", 1, int(not problems), min(1, redone), "", tuple(problems))


def interrupts(folder: Path, reference: Mapping[str, str], rng: random.Random) -> Outcome:
    """Ctrl-C once, and twice in quick succession."""
    problems: list[str] = []
    injected = redone = survived = 0
    for times in (1, 2, 2):
        injected += 1
        driver = Driver(folder, "--workers", "2")
        time.sleep(rng.uniform(4, 9))
        redone, before = redone + len(under_way(folder)), committed(folder)
        for _ in range(times):
            with suppress(ProcessLookupError):
                os.killpg(driver.session, signal.SIGINT)
            time.sleep(0.3)
        ended = driver.end(60)
        found = [f"orphan: {one}" for one in orphans(driver.session).values()] + lost(before, folder)
        if ended.code not in (130, 0, -signal.SIGINT):
            found.append(f"an interrupt ended with {ended.code}")
        survived += not found
        problems += found
    problems += finish(folder, reference, "--workers", "2")
    return Outcome("Ctrl-C, once and twice", injected, survived, redone, "", tuple(problems))


def _killing(
    name: str,
    folder: Path,
    reference: Mapping[str, str],
    num_kills: int,
    rng: random.Random,
    options: tuple[str, ...],
    victims: Callable[[Driver], list[int]],
    cluster: Cluster | None = None,
    start: Callable[..., Driver] = Driver,
) -> Outcome:
    """Kill until it is enough, in a new store whenever a study has come to its end.

    Chance may kill one stage more often than a run tries it; the run then ends with 3, and starting it again must do.
    """
    killed = survived = redone = studies = given_up = 0
    problems: list[str] = []
    while killed < num_kills:
        studies += 1
        place = folder / str(studies)
        driver = start(place, *options)
        while killed < num_kills:
            _wait(driver, place, rng)
            if driver.process.poll() is not None:
                break
            workers = victims(driver)
            victim = rng.choice([driver.session, *workers, *workers])
            redone += len(under_way(place))
            before = committed(place)
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            killed += 1
            found = []
            if victim == driver.session:
                driver.end()
                found = [f"orphan: {one}" for one in orphans(driver.session).values()]
                found += [f"orphan actor {one}" for one in (cluster.actors_left() if cluster else ())]
                driver = start(place, *options)
            found += lost(before, place)
            survived += not found
            problems += found
        ended = driver.end()
        if ended.code == FAILED and TOO_OFTEN in ended.said:
            given_up += 1
        elif ended.code:
            problems.append(f"ended with {ended.code}: {ended.said[-300:]}")
        problems += finish(place, reference, *options, start=start)
    remark = counted(studies, "study", "studies")
    if given_up:
        remark += f"; begun again after a stage was killed four times: {given_up}"
    return Outcome(name, killed, survived, redone, remark, tuple(problems))


def _wait(driver: Driver, place: Path, rng: random.Random) -> None:
    """Until a random moment: one time in ten of the first seconds, else some time after work has gone on."""
    until = time.monotonic() + rng.uniform(0, LONGEST)
    if rng.random() > 0.1:
        seen = (under_way(place), len(committed(place)))
        while driver.process.poll() is None and seen == (under_way(place), len(committed(place))):
            time.sleep(0.02)
        until = time.monotonic() + rng.uniform(0, LONGEST / 3)
    with suppress(subprocess.TimeoutExpired):
        driver.process.wait(max(0.0, until - time.monotonic()))


def _own(driver: Driver) -> list[int]:
    """The worker processes of a driver."""
    own = processes(driver.session)
    return [one for one, command in own.items() if one != driver.session and "engine.run.worker_process" in command]


class Cluster:
    """A Ray cluster of two nodes on this machine, in a process of its own."""

    def __enter__(self) -> Cluster:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.nodes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, start_new_session=True, env={**os.environ, **surroundings()},
        )  # fmt: skip
        self.address = self._said()
        return self

    def __exit__(self, *_: object) -> None:
        self._ask("end")
        self._process.wait(60)
        for one in orphans(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def actors(self) -> list[int]:
        """Processes of outshine's workers."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if "ray::_Actor" in (path / "cmdline").read_text():
                    found.append(int(path.name))
        return found

    def actors_left(self, patience: float = 15.0) -> list[int]:
        """Those that outlive their driver by more than some seconds."""
        until = time.monotonic() + patience
        while self.actors() and time.monotonic() < until:
            time.sleep(0.1)
        return self.actors()

    def kill_node(self) -> None:
        """Kill the second node with all that runs on it, and start another one."""
        self._ask("kill")
        self._said()

    def _ask(self, what: str) -> None:
        assert self._process.stdin
        with suppress(OSError):
            self._process.stdin.write(what + "\n")
            self._process.stdin.flush()

    def _said(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()
