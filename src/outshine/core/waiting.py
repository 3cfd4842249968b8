"""How the threads of this process wait for one another: asleep, so that other busy processes get the cores."""

from __future__ import annotations

import os
import sys

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
