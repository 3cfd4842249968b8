"""Opening a store by its path or URL."""

from __future__ import annotations

import os
import re
from pathlib import Path

from platformdirs import user_cache_path

from outshine.engine.errors import StoreError
from outshine.engine.store.store import Store

_SHORTEST = 1.0  # seconds to live: below that a busy machine would seem dead
_MANGLED = re.compile(r"([a-z][a-z0-9+.-]+):/(?!/)(.*)")


def default_store() -> Path | str:
    """What `OUTSHINE_STORE` names, a folder or a URL; else a folder in the user's cache."""
    named = os.environ.get("OUTSHINE_STORE")
    if named and "://" in named:
        return named
    return Path(named) if named else user_cache_path("outshine", appauthor=False) / "store"


def open_store(
    where: str | Path | None = None, *, cache: Path | None = None, time_to_live: float | None = None
) -> Store:
    """The store in a folder, or below a URL such as `s3://bucket/prefix`; `default_store()` where nothing is given.

    Of a URL's store, files are kept in the folder `cache` (default: `OUTSHINE_CACHE`, else the user's cache) once they
    were read, and a writer that stood still for `time_to_live` seconds (default: `OUTSHINE_LEASE_SECONDS`, else 60) is
    thought dead. Raises StoreError where the store cannot be reached, read or understood.
    """
    where = default_store() if where is None else where
    mangled = _MANGLED.fullmatch(str(where)) if isinstance(where, Path) else None
    if mangled:
        raise StoreError(f"the store {mangled[1]}:/…: a path cannot hold a URL; give it as text, {mangled[1]}://…")
    if "://" not in str(where):
        return Store(Path(where))
    from outshine.engine.store.remote import RemoteStore

    return RemoteStore(str(where), cache or _cache(), _time_to_live() if time_to_live is None else time_to_live)


def _time_to_live() -> float:
    from outshine.engine.store.leases import TIME_TO_LIVE

    given = os.environ.get("OUTSHINE_LEASE_SECONDS")
    try:
        found = float(given) if given else TIME_TO_LIVE
    except ValueError:
        found = 0.0
    if not _SHORTEST <= found < float("inf"):
        raise StoreError(f"OUTSHINE_LEASE_SECONDS={given}: a number of seconds from {_SHORTEST:.0f} on is expected")
    return found


def _cache() -> Path:
    named = os.environ.get("OUTSHINE_CACHE")
    return Path(named) if named else user_cache_path("outshine", appauthor=False) / "remote"
