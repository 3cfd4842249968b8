"""Files written so that a crash leaves them whole, and their hashes."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from outshine.engine.checked_reading import open_plain
from outshine.engine.errors import SettingsError
from outshine.engine.messages import shows

_UNFINISHED = re.compile(r"\..+-[0-9a-f]{8}|\.[0-9a-f]{8}-.+")


def user_path(location: str | Path) -> Path:
    """Return a path as a person wrote it, with `~` made out; it need not exist.

    Raises SettingsError for a name that no file can have, and for one with characters that do not show: it would reach
    terminals, tables and pages.
    """
    if not shows(str(location)):
        raise SettingsError(f"the path '{location}' holds a character that does not show; rename the file")
    try:
        path = Path(location).expanduser()
    except RuntimeError as error:  # ~somebody who has no home here
        raise SettingsError(f"the path '{location}' leads nowhere: {error}") from None
    try:
        path.is_file()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise SettingsError(f"the path '{location}' leads nowhere: its name is too long") from None
    return path


def absolute_path(location: str | Path) -> Path:
    """Return a person's path from the root on, for what is written down or handed to other processes.

    Raises SettingsError as `user_path`, and where the working folder's name is not UTF-8: neither Parquet nor
    safetensors files can be opened there, and no study can name it.
    """
    path = user_path(location).absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise SettingsError(
            f"'{location}' lies in {path.parent}, a folder whose name is not UTF-8; rename it, or name a "
            "place elsewhere"
        ) from None
    return path


def sha256_of(path: Path) -> str:
    """sha256 (hex) of a plain file. Raises OSError, and ValueError for what is none: a pipe is not waited for."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_version(path: Path) -> tuple[int, ...] | None:
    """By which a file or folder is told from one that takes its place; None where there is none."""
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def sync(path: Path) -> None:
    """Have a file or folder reach the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_synced(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old one, none, or the whole new one, also after the power failed."""
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_unfinished(name: str) -> bool:
    """Whether a file is what `write_synced` or `write_whole` left unfinished, if nobody is at it any more."""
    return bool(_UNFINISHED.fullmatch(name))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have a file written beside its place, with the same ending, and renamed: no reader sees half of it.

    The folder is made where there is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def named(folder: Path, start: str = "", end: str = "") -> list[Path]:
    """What lies in a folder under names that begin and end so, sorted; nothing where there is no such folder.

    A glob compiles its pattern, and that of one key is of no use to the next.
    """
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name.startswith(start) and entry.name.endswith(end))
        return [folder / name for name in names]
    return []


def bytes_in(path: Path) -> int:
    """Count the bytes of a file, or of all files in a folder; no link is followed. What goes meanwhile is ignored."""
    total = 0
    paths = [path] if path.is_symlink() or not path.is_dir() else []
    for folder, _, names in os.walk(path) if not paths else ():
        paths += [Path(folder, name) for name in names]
    for file in paths:
        with suppress(FileNotFoundError):
            total += file.lstat().st_size
    return total


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


def remove_of_dead(folder: Path) -> None:
    """Remove what lies in a folder of scratch and names an owner who is dead, whichever key it is of."""
    for path in named(folder):
        if _OWNED.fullmatch(path.name) and is_left_behind(path):
            remove(path)


def owner_lives(path: Path) -> bool:
    """Whether something unfinished names an owner who may still be at it."""
    return bool(_OWNED.fullmatch(path.name)) and not is_left_behind(path)


def is_stale(path: Path) -> bool:
    """Tell whether a file, or a folder and all in it, was not changed for a day."""
    newest = 0.0
    for entry in (path, *path.rglob("*")):
        with suppress(OSError):
            newest = max(newest, entry.lstat().st_mtime)
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
