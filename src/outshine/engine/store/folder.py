"""A store in a folder: commits by rename, locks by flock.

<root>/STORE.json                the format's version
<root>/artefacts/<k2>/<key>/     one finished stage: its files and DONE.json
<root>/work/<key>/               checkpoints of unfinished stages
<root>/locks/<key>.lock          one writer a key
<root>/commits/                  commits of several artefacts that are under way
<root>/tmp/                      artefacts being written
<root>/damaged/                  artefacts that failed verification, set aside
<root>/running/<key>.json        what is being computed, by whom and how far it is
<root>/failures/<key>.json       what went wrong with a stage, until it is tried again
<root>/studies/<digest>.json     studies that ran here, and the keys that they need
<root>/index.sqlite              what listings show of the artefacts; a cache (`outshine.engine.store.index`)

A stage writes into a folder of `tmp`; one rename makes it the artefact. Where there is one already the rename fails, so
that the first commit wins. The operating system holds the locks and frees those of a dead process at once: nobody
waits, and nobody can lose one.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from outshine.engine.checked_reading import read_bytes, read_json
from outshine.engine.errors import StoreError
from outshine.engine.files import (
    absolute_path,
    bytes_in,
    file_version,
    is_stale,
    is_unfinished,
    named,
    owner_lives,
    remove,
    sync,
    write_synced,
)
from outshine.engine.key import KEY
from outshine.engine.store.backend import Backend, Leftover, Pending, Record
from outshine.engine.store.index import sorted_artefact_dirs
from outshine.engine.store.records import (
    DONE,
    FORMAT,
    Fault,
    check_format,
    content_fault,
    parse_record,
    seal,
    size_fault,
    size_faults,
)

if TYPE_CHECKING:
    from outshine.engine.store.index import Listing, Query

_TRIES = 20  # other processes may set aside, remove and commit what is looked at
_TEMPORARY = re.compile(r"([0-9a-f]{64})-[0-9a-f]{8}(?:-\d+-[0-9a-f]{8})?")  # by an older version, or with its owner


class FolderBackend(Backend):
    """A folder of one machine. Reading works where it is read-only; nothing is written before it is needed."""

    elsewhere = "--store"
    locks = "locks"
    why_abandoned = "a dead writer left it"
    why_damaged = "a damaged artefact that was set aside"

    def __init__(self, root: Path | str) -> None:
        self.root = absolute_path(root)
        self.where = self.address = str(self.root)
        self.described = f"the store {self.root}"

    def check_format(self) -> None:
        marker = self.root / "STORE.json"
        with self.reading():
            for folder in (self.root, *self.root.parents):
                if folder.exists() and not folder.is_dir():
                    where = f"the store {self.root}" + ("" if folder == self.root else f": {folder}")
                    raise StoreError(f"{where} is a file; a folder is expected")
        try:
            check_format(read_json(marker), str(self.root))
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, ValueError) as error:
            raise StoreError(f"{marker} cannot be read ({error}); is {self.root} a store?") from None

    def prepare(self) -> None:
        with self.writing():
            for name in ("artefacts", "work", "locks", "tmp"):
                folder = self.root / name
                if not folder.is_dir():
                    folder.mkdir(parents=True, exist_ok=True)
            marker = self.root / "STORE.json"
            if not marker.exists():
                write_synced(marker, json.dumps({"format": FORMAT}))

    # -- small things by name --------------------------------------------------------------------

    def read(self, name: str) -> bytes | None:
        try:
            return read_bytes(self.root / name)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        texts = {}
        for name in names:
            with suppress(OSError, ValueError):
                texts[name] = read_bytes(self.root / name)
        return texts

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        with self.writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_synced(path, data)

    def remove(self, name: str) -> None:
        path = self.root / name
        with self.writing():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def list(self, folder: str) -> dict[str, int]:
        with self.reading():
            return {self._name(path): bytes_in(path) for path in named(self.root / folder)}

    def is_there(self, name: str) -> bool:
        return (self.root / name).exists()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    # -- artefacts -------------------------------------------------------------------------------

    def name_of(self, key: str) -> str:
        return self._name(self.path(key))

    def has(self, key: str) -> bool:
        """Whether the record is there and all files have the recorded sizes."""
        with self.reading():
            return (self.path(key) / DONE).is_file() and not size_faults(key, self.path(key))

    def lacking(self, keys: Sequence[str]) -> list[str]:
        return [key for key in keys if not self.has(key)]

    def is_damaged(self, key: str) -> bool:
        with self.reading():
            return self.path(key).exists() and not self.has(key)

    def keys(self, beginning: str = "") -> list[str]:
        with self.reading():
            folders = sorted_artefact_dirs(self.root, beginning)
            return [folder.name for folder in folders if Path(folder.path, DONE).is_file()]

    def record(self, key: str) -> tuple[Record, bytes] | None:
        try:
            text = read_bytes(self.path(key) / DONE)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return parse_record(text), text

    def look_ahead(self, keys: Sequence[str]) -> None:
        """Nothing is gained: records lie here."""

    def fetch(self, key: str, name: str, record: Record) -> tuple[str, Record]:
        if name not in record["files"]:
            return f"{name} is missing", record
        with self.reading():
            return size_fault(name, record["files"][name], self.path(key) / name), record

    def drop_copies(self, key: str, name: str = "") -> bool:
        return False

    def size(self, key: str) -> int:
        return bytes_in(self.path(key))

    def version(self, key: str) -> object:
        return file_version(self.path(key))

    def content_faults(self, key: str, record: Record) -> Sequence[Fault]:
        files = record["files"].items()
        problems = [content_fault(name, facts, self.path(key) / name) for name, facts in files]
        return [Fault(key, problem) for problem in problems if problem]

    def listing(self, query: Query) -> Listing:
        from outshine.engine.store.index import listing

        with self.reading():
            return listing(self.root, query)

    # -- locks -----------------------------------------------------------------------------------

    @contextmanager
    def lock(self, name: str, timeout: float = -1, *, leave_nothing: bool = False) -> Iterator[bool]:
        lock = self._lock(name)
        file = Path(lock.lock_file)
        try:
            with self.writing():
                is_new = leave_nothing and not file.exists()
                file.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=timeout)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            with self.writing():
                if is_new:
                    file.unlink(missing_ok=True)
                lock.release()

    def _lock(self, name: str) -> FileLock:
        return FileLock(self.root / "locks" / f"{name}.lock")

    def is_locked(self, key: str) -> bool:
        lock = self._lock(key)
        try:
            if not Path(lock.lock_file).is_file():
                return False
            lock.acquire(timeout=0)
        except (Timeout, OSError, NotImplementedError):  # held; or read-only, and nobody can tell
            return True
        lock.release()
        return False

    def locked(self, keys: Collection[str]) -> set[str]:
        return {key for key in keys if self.is_locked(key)}

    def lost_locks(self, keys: Sequence[str]) -> list[str]:
        """None: only the death of a process frees its locks."""
        return []

    # -- commits ---------------------------------------------------------------------------------

    def send(self, key: str, folder: Path, record: Record) -> Pending:
        """Flush it to the disk where it is: in `tmp`, on the same file system."""
        seal(key, folder, record)
        return Pending(key, folder.name)

    def withdraw(self, pending: Pending) -> None:
        remove(self.root / "tmp" / pending.name)

    def publish(self, pending: Pending, folder: Path | None = None) -> bool:
        """One rename."""
        folder, target = self.root / "tmp" / pending.name, self.path(pending.key)
        for left in reversed(range(_TRIES)):
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                if self.has(pending.key):
                    return True
                self.set_aside(pending.key)
            try:
                folder.rename(target)
                break
            except FileNotFoundError:
                return False
            except OSError as error:  # where locks do nothing, another may commit it between the look and the rename
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not left:
                    raise
        sync(target.parent)
        return True

    def pending(self, *parts: Any) -> Pending:
        key, name = parts
        if not KEY.fullmatch(key) or Path(name).name != name or not name.startswith(f"{key}-"):
            raise ValueError(f"it names '{name}', which is no artefact under way")
        return Pending(key, name)

    def name_of_pending(self, pending: Pending) -> str:
        return f"tmp/{pending.name}"

    def set_aside(self, key: str) -> str:
        target = self.root / "damaged" / f"{key}-{uuid.uuid4().hex[:8]}"
        with self.writing():
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                self.path(key).rename(target)
        return str(target)

    # -- garbage collection ----------------------------------------------------------------------

    def abandoned(self) -> Iterator[Leftover]:
        for path in named(self.root / "tmp"):
            match = _TEMPORARY.fullmatch(path.name)
            if match and not owner_lives(path):
                yield Leftover(self._name(path), bytes_in(path), self.why_abandoned, match[1])

    def unfinished(self) -> dict[str, int]:
        folders = (self.root, *(self.root / name for name in ("studies", "running", "failures", "commits")))
        paths = [path for folder in folders for path in named(folder, start=".")]
        left = [path for path in paths if is_unfinished(path.name) and path.is_file() and is_stale(path)]
        return {self._name(path): bytes_in(path) for path in left}

    def take_out(self, name: str, key: str) -> Sequence[str]:
        """One rename into `tmp`: if the process dies before all is removed, the next collection goes on."""
        path = self.root / name
        with suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink():
                target = self.root / "tmp" / f"{key or '0' * 64}-{uuid.uuid4().hex[:8]}"
                target.parent.mkdir(exist_ok=True)
                path.rename(target)
                return [self._name(target)]
            path.unlink()
        return []
