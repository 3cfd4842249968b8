"""Freed memory that the C library keeps for later, given back to the operating system."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Let go of what glibc keeps of freed memory, in all threads' heaps; elsewhere nothing.

    Passes over texts of many lengths leave gaps that the next ones do not fit into: without this the heaps grow over
    hours, and a process that has trained keeps its largest size. It costs some milliseconds, and touching the memory
    again some more.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


class Tidying:
    """`give_back` now and then: not before `seconds` have gone by since the last time, or since the beginning."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def tidy(self) -> None:
        """Give back what is free, unless that was done a moment ago."""
        if time.monotonic() - self._last >= self._seconds:
            give_back()
            self._last = time.monotonic()


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or none that is found like this
        return None
