"""Versions of packages, where they are known: a source tree that was not installed has none."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

UNKNOWN = "unknown (source tree)"


@cache
def version_of(package: str) -> str:
    """The version of an installed package; UNKNOWN for one that was put on the path without being installed."""
    return version_if_there(package) or UNKNOWN


def version_if_there(package: str) -> str | None:
    """The version of an installed package; None where it is not installed, or its metadata cannot be read."""
    try:
        return version(package)
    except (PackageNotFoundError, KeyError):  # not there, or without a version in it
        return None
