"""Folders of unfinished work that several processes share: whose they are, and who is dead.

A lock or a lease says who may write, but not for ever: a holder that stood still may have lost its lease and not know
it, and where locks do nothing two hold one. So a folder names its owner, and is removed only where that one is dead.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from outshine.core.files import named

STALE = 24 * 3600  # seconds after which what another host left unchanged counts as left behind

_OWNED = re.compile(r"(.+)-([0-9a-f]{8})-(\d{1,9})-([0-9a-f]{8})")
_IN_USE: set[str] = set()  # names of this process


@contextmanager
def scratch_path(folder: Path, key: str) -> Iterator[Path]:
    """A place in a folder for something unfinished, from whose name another can tell whether this process lives.

    What is there in the end is removed.
    """
    path = folder / f"{key}-{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    _IN_USE.add(path.name)
    try:
        yield path
    finally:
        remove(path)
        _IN_USE.discard(path.name)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there and can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def left_behind(folder: Path, key: str) -> list[Path]:
    """What dead writers left of a key in a folder, as far as one can tell. Call it as the key's only writer."""
    return [path for path in named(folder, start=f"{key}-") if is_left_behind(path)]


def is_left_behind(path: Path) -> bool:
    """Whether the owner of something unfinished is dead; of another host's: whether it is unchanged for a day.

    What names no owner an older version wrote; whoever asks holds its lock.
    """
    owned = _OWNED.fullmatch(path.name)
    if not owned:
        return True
    if owned[2] != _host():
        return is_stale(path)
    process = int(owned[3])
    return path.name not in _IN_USE if process == os.getpid() else not _is_alive(process)


def owner_lives(path: Path) -> bool:
    """Whether something unfinished names an owner who may still be at it."""
    return bool(_OWNED.fullmatch(path.name)) and not is_left_behind(path)


def is_stale(path: Path) -> bool:
    """Whether a file, or a folder and all in it, was not changed for a day."""
    newest = 0.0
    for one in (path, *path.rglob("*")):
        with suppress(OSError):
            newest = max(newest, one.lstat().st_mtime)
    return newest < time.time() - STALE


def _host() -> str:
    return sha256(platform.node().encode()).hexdigest()[:8]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return not _is_zombie(process)


def _is_zombie(process: int) -> bool:
    """Whether a process is dead and its parent has not asked how it ended, as in containers without an init."""
    with suppress(OSError):
        state = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
        return state[:1] == [b"Z"]
    return False
