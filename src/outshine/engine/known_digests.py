"""sha256 of large files, remembered from one process to the next.

It is a cache and nothing more: a file in the user's cache folder that may be damaged, deleted or unwritable at any
time, after which files are read again. Of processes that write it at once the last one's entries stay.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from outshine.engine.checked_reading import read_json
from outshine.engine.files import write_synced

SMALLEST = 16 * 2**20  # bytes; smaller files are read in no time
MOST = 1000  # files that are remembered, those that were read last
SETTLED_NS = 5 * 10**9  # a file changed this short ago may change again without its times telling
_DIGEST = re.compile("[0-9a-f]{64}")


def sha256_of_each(paths: Sequence[Path]) -> list[str]:
    """Return the sha256 (hex) of each file.

    A file of `SMALLEST` bytes and more is not read where it was before and has the same real path, size, inode, device
    and times of last modification and change, in nanoseconds. Raises OSError where one cannot be opened.
    """
    place = user_cache_path("outshine", appauthor=False) / "digests.json"
    known, fresh, digests = _read(place), {}, []
    for path in paths:
        with path.open("rb") as file:
            now, facts = time.time_ns(), os.fstat(file.fileno())
            version = [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino, facts.st_dev]
            is_large = stat.S_ISREG(facts.st_mode) and facts.st_size >= SMALLEST
            where = str(path.resolve())
            digest = _remembered(known.get(where), version) if is_large else None
            if digest is None:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                if is_large and now - max(facts.st_mtime_ns, facts.st_ctime_ns) > SETTLED_NS:
                    fresh[where] = [*version, digest]
        digests.append(digest)
    if fresh:
        _write(place, fresh)
    return digests


def _remembered(entry: Any, version: list[int]) -> str | None:
    """Return the digest that an entry holds for this very version of a file."""
    if not isinstance(entry, list) or entry[:-1] != version:
        return None
    return entry[-1] if isinstance(entry[-1], str) and _DIGEST.fullmatch(entry[-1]) else None


def _read(place: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        document = read_json(place)
        if isinstance(document, dict):
            return document
    return {}


def _write(place: Path, fresh: dict[str, Any]) -> None:
    """Add entries to what the file holds by now, at its end; the first ones go where there are too many."""
    entries = {where: entry for where, entry in _read(place).items() if where not in fresh} | fresh
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_synced(place, json.dumps(dict(list(entries.items())[-MOST:])))
