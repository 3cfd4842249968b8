"""Folders of unfinished artefacts that several processes of a host share: whose they are, and who is dead."""

from __future__ import annotations

import os
import platform
import uuid
from hashlib import sha256
from pathlib import Path

from outshine.core.files import named


def scratch_name(key: str) -> str:
    """A name for a folder of this process, from which another can tell whether its owner lives."""
    return f"{key}-{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def left_behind(folder: Path, key: str) -> list[Path]:
    """What dead processes of this host left of a key. A living one may hold it no longer and not know it yet."""
    found = named(folder, start=f"{key}-{_host()}-")
    return [path for path in found if not _is_alive(int(path.name.split("-")[2]))]


def _host() -> str:
    return sha256(platform.node().encode()).hexdigest()[:8]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
