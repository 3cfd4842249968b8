"""Files that survive a crash, and their hashes."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from outshine.core.errors import SettingsError
from outshine.core.messages import shows
from outshine.core.reading import open_plain

_UNFINISHED = re.compile(r"\..+-[0-9a-f]{8}|\.[0-9a-f]{8}-.+")


def user_path(given: str | Path) -> Path:
    """A path as a person wrote it, with `~` made out; it need not exist.

    Raises SettingsError for a name that no file can have, and for one with characters that do not show: it would reach
    terminals, tables and pages.
    """
    if not shows(str(given)):
        raise SettingsError(f"the path '{given}' holds a character that does not show; rename the file")
    try:
        path = Path(given).expanduser()
    except RuntimeError as error:  # ~somebody who has no home here
        raise SettingsError(f"the path '{given}' leads nowhere: {error}") from None
    try:
        path.is_file()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise SettingsError(f"the path '{given}' leads nowhere: its name is too long") from None
    return path


def absolute_path(given: str | Path) -> Path:
    """A path of a person from the root on, for what is written down or handed to other processes.

    Raises SettingsError as `user_path`, and where the working folder's name is not UTF-8: neither Parquet nor
    safetensors files can be opened there, and no study can name it.
    """
    path = user_path(given).absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise SettingsError(
            f"'{given}' lies in {path.parent}, a folder whose name is not UTF-8; rename it, or name a place elsewhere"
        ) from None
    return path


def sha256_of(path: Path) -> str:
    """sha256 (hex) of a plain file. Raises OSError, and ValueError for what is none: a pipe is not waited for."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    """The bytes of a file, or of all files in a folder; links are not followed. What goes meanwhile is not counted."""
    total = 0
    paths = [path] if path.is_symlink() or not path.is_dir() else []
    for folder, _, names in os.walk(path) if not paths else ():
        paths += [Path(folder, name) for name in names]
    for one in paths:
        with suppress(FileNotFoundError):
            total += one.lstat().st_size
    return total
