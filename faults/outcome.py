"""What a scenario found."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from faults.study import Driver, committed, leftovers, orphans, outshine, own_places, tables, unfinished

AGE = 2 * 86400.0  # seconds after which what was left unfinished is surely nobody's


class Outcome(NamedTuple):
    """A line of the table."""

    fault: str
    injected: int
    survived: int
    recomputed: int  # stages that were begun again because of it
    remark: str = ""
    problems: tuple[str, ...] = ()  # why a fault was not survived

    @property
    def held(self) -> bool:
        """Whether everything was as promised."""
        return self.survived == self.injected and not self.problems


def finish(
    folder: Path, reference: Mapping[str, str], *options: str, start: Callable[..., Driver] = Driver
) -> list[str]:
    """Run the study undisturbed in the store that faults were done to; what is not as if there had been none."""
    before = committed(folder)
    driver = start(folder, *options)
    ended = driver.end()
    problems = []
    if ended.code != 0:
        problems.append(f"the next run ended with {ended.code}: {ended.said.strip().splitlines()[-1:]}")
    problems += unlike(folder, reference)
    problems += lost(before, folder)
    _clean(folder)
    problems += [f"left behind: {name}" for name in leftovers(folder)]
    problems += [f"orphan: {command}" for command in orphans(driver.session).values()]
    return problems


def _clean(folder: Path) -> None:
    """Have `gc` remove what nobody but it ever looks at again.

    Small files that a killed process was writing, and the leases of stages that it had just committed.
    """
    left, store = unfinished(folder), folder / "store"
    for path in left:
        os.utime(path, (time.time() - AGE, time.time() - AGE))
    leases = (path.name for path in (store / "leases").glob("*"))
    if left or any((store / "artefacts" / key / "DONE.json").exists() for key in leases):
        below_url = (store / "files").is_dir()  # of that layout alone
        where = store.as_uri() if below_url else str(store)
        outshine("gc", "--yes", "--store", where, environment=own_places(folder))


def unlike(folder: Path, reference: Mapping[str, str]) -> list[str]:
    """Tables that differ from those of an undisturbed run."""
    found = tables(folder)
    names = sorted({*found, *reference})
    return [f"{name} differs from an undisturbed run's" for name in names if found.get(name) != reference.get(name)]


def lost(before: Mapping[str, str], folder: Path) -> list[str]:
    """Artefacts that were finished before and are gone, or were computed a second time."""
    after = committed(folder)
    return [f"{key[:12]} was finished, then lost or made again" for key in before if after.get(key) != before[key]]
