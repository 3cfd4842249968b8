"""How the threads of this process wait for one another: asleep, so that other busy processes get the cores."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from functools import cache

POLICY, ASLEEP = "OMP_WAIT_POLICY", "PASSIVE"
_told: list[bool] = []
_TOO_LATE = (
    "torch was imported before outshine, so its threads wait by spinning, which takes several times as long where "
    f"other processes are busy; set {POLICY}={ASLEEP} in the environment, or import outshine first"
)


def wait_asleep() -> bool:
    """Have OpenMP's threads sleep while they wait; whoever has set OMP_WAIT_POLICY is left alone.

    OpenMP reads it once, when torch is imported. False: that is done, and nothing was set.
    """
    if POLICY in os.environ:
        return True
    if "torch" in sys.modules:
        return False
    os.environ[POLICY] = ASLEEP
    return True


def spinning_note() -> str:
    """What a user should know where it is too late for `wait_asleep`, once in a process; else empty."""
    if wait_asleep() or _told:
        return ""
    _told.append(True)
    return _TOO_LATE


def malloc_trim() -> None:
    """Let go of what glibc keeps of freed memory, in all threads' heaps; elsewhere nothing.

    Passes over texts of many lengths leave gaps that the next ones do not fit into: without this the heaps grow over
    hours, and a process that has trained keeps its largest size. It costs some milliseconds, and touching the memory
    again some more.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


class MallocTrimmer:
    """`malloc_trim` now and then: not before `seconds` have gone by since the last time, or since the beginning."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def tidy(self) -> None:
        """Give back what is free, unless that was done a moment ago."""
        if time.monotonic() - self._last >= self._seconds:
            malloc_trim()
            self._last = time.monotonic()


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or none that is found like this
        return None
