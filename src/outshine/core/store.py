"""The content-addressed store: artefacts are folders of open formats that exist whole or not at all.

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
<root>/index.sqlite              what listings show of the artefacts; a cache (`outshine.core.index`)
"""

from __future__ import annotations

import errno
import json
import shutil
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from outshine.core.documents import Documents, check_document_name
from outshine.core.errors import StoreError
from outshine.core.files import absolute_path, bytes_in, named, sha256_of, sync, write_synced
from outshine.core.records import DONE, FORMAT, Fault, newer_format, read_record, seal, size_faults
from outshine.core.shelves import KEY, sorted_shelved

if TYPE_CHECKING:
    from outshine.core.index import Listing, Query

_PREFIX = 16  # hex digits of a key that listings show

_UNWRITABLE = {
    errno.ENOSPC: "the disk is full; free some space or choose another place with --store, then run again",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another place with --store, then run again",
    errno.EROFS: "it is on a read-only file system; choose another place with --store",
    errno.EACCES: "permission is denied; choose another place with --store",
    errno.EPERM: "permission is denied; choose another place with --store",
}


class Store:
    """Artefacts by key in a folder. Reading works on a read-only store; nothing is written before it is needed."""

    where: str  # its address for people
    _elsewhere = "--store"  # how to name another folder

    def __init__(self, root: Path | str) -> None:
        self.root = absolute_path(root)
        self.where = str(self.root)
        self._check_format()

    @property
    def address(self) -> str:
        """What another process opens the same store with (`open_store`). It may hold credentials: never show it."""
        return str(self.root)

    # -- reading ---------------------------------------------------------------------------------

    def path(self, key: str) -> Path:
        """Where the artefact of `key` lies (whether or not it exists)."""
        if not KEY.fullmatch(key):
            raise StoreError(f"'{key}' is no key: 64 hex digits expected")
        return self.root.joinpath("artefacts", key[:2], key)

    def has(self, key: str) -> bool:
        """Whether the artefact exists and its files have the recorded sizes."""
        return (self.path(key) / DONE).is_file() and not size_faults(key, self.path(key))

    def lacking(self, keys: Sequence[str]) -> list[str]:
        """Of these keys, those without a whole artefact. One look at the store, where asking for each costs more."""
        return [key for key in keys if not self.has(key)]

    def is_damaged(self, key: str) -> bool:
        """Whether something of the artefact is there, but not as it was written. Set it aside to compute it anew."""
        return self.path(key).exists() and not self.has(key)

    def place(self, key: str) -> str:
        """Where the artefact of `key` lies, for people."""
        return str(self.path(key))

    def look_ahead(self, keys: Sequence[str]) -> None:
        """Have the records of many artefacts at hand before each is asked for. Here they are."""

    def file(self, key: str, name: str) -> Path:
        """A file of a finished artefact, its size checked. Raises StoreError where it is missing or damaged."""
        faults = [fault for fault in size_faults(key, self.path(key)) if fault.message.startswith(f"{name} ")]
        path = self.path(key) / name
        if faults or not path.is_file():
            problem = faults[0].message if faults else f"{name} is missing"
            raise StoreError(f"artefact {key[:_PREFIX]}: {problem}; run again to compute it anew")
        return path

    def done(self, key: str) -> dict[str, Any]:
        """The record of a finished artefact (files with sizes and hashes; when, where and how it was made)."""
        try:
            return read_record(self.path(key))
        except FileNotFoundError:
            raise StoreError(f"no artefact {key[:_PREFIX]} in {self.where}") from None
        except (ValueError, OSError) as error:
            raise StoreError(
                f"artefact {key[:_PREFIX]}: {DONE} cannot be read ({error}); run again to compute it anew"
            ) from None

    def size(self, key: str) -> int:
        """The bytes that an artefact takes."""
        return bytes_in(self.path(key))

    def keys(self) -> list[str]:
        """The keys of all finished artefacts, sorted."""
        return self._finished("")

    def find(self, prefix: str) -> str:
        """The one key that begins with `prefix`."""
        found = self._finished(prefix.lower())
        if len(found) == 1:
            return found[0]
        problem = "no artefact has" if not found else f"{len(found)} artefacts have"
        raise StoreError(f"{problem} a key beginning with '{prefix}' in {self.where}; `outshine ls` lists them")

    def _finished(self, beginning: str) -> list[str]:
        return [one.name for one in sorted_shelved(self.root, beginning) if Path(one.path, DONE).is_file()]

    def verify(self, key: str) -> list[Fault]:
        """Every recorded size and sha256 checked against the files; an empty list where all is well."""
        try:
            recorded: dict[str, dict[str, Any]] = self.done(key)["files"]
        except StoreError as error:
            return [Fault(key, f"{DONE} is unreadable ({error})")]
        faults = size_faults(key, self.path(key))
        bad = {name for name in recorded if any(fault.message.startswith(f"{name} ") for fault in faults)}
        for name, facts in recorded.items():
            if name not in bad and sha256_of(self.path(key) / name) != facts["sha256"]:
                faults.append(Fault(key, f"{name} has changed since it was written (sha256 differs)"))
        return faults

    def listing(self, query: Query) -> Listing:
        """What a listing says of the artefacts that are asked for."""
        from outshine.core.index import listing

        return listing(self.root, query)

    # -- writing ---------------------------------------------------------------------------------

    @contextmanager
    def lock(self, key: str, timeout: float = -1) -> Iterator[bool]:
        """Be the one writer of `key`. Yields False where another process holds it for longer than `timeout` s."""
        with self._writing():
            self._prepare_root()
            lock = FileLock(self.root / "locks" / f"{self.path(key).name}.lock")
        try:
            with self._writing():
                lock.acquire(timeout=timeout)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def is_locked(self, key: str) -> bool:
        """Whether a process writes `key` now. For showing only: it may have changed by the time one looks."""
        path = self.root / "locks" / f"{self.path(key).name}.lock"
        if not path.is_file():
            return False
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:  # read-only: nobody can tell
            return True
        lock.release()
        return False

    @contextmanager
    def alone(self, purpose: str) -> Iterator[None]:
        """Be the only process that does a thing which must not be done twice at once. For moments only."""
        check_document_name(purpose)
        path = self.root / "locks" / f"{purpose}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path):
            yield

    def locked(self, keys: Collection[str]) -> set[str]:
        """Those of the keys that a living process writes now."""
        return {key for key in keys if self.is_locked(key)}

    def documents(self, kind: str) -> Documents:
        """The small documents of a kind: running, failures, studies."""
        check_document_name(kind)
        return Documents(self.root / kind)

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """A temporary folder on the same file system; call `commit` with it. Removed if not committed."""
        with self._writing():
            self._prepare_root()
            for litter in self._litter(key):
                shutil.rmtree(litter, ignore_errors=True)
            folder = self.root / "tmp" / self._temporary_name(key)
            folder.mkdir()
        try:
            with self._writing():
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _litter(self, key: str) -> list[Path]:
        return named(self.root / "tmp", start=f"{key}-")  # a dead writer's: the lock is ours

    def _temporary_name(self, key: str) -> str:
        return f"{key}-{uuid.uuid4().hex[:8]}"

    def commit(self, key: str, folder: Path, record: dict[str, Any]) -> None:
        """Make the files of `folder` the artefact of `key`: record sizes and hashes, flush, one rename."""
        with self._writing():
            seal(key, folder, record)
            self._place(key, folder)
        shutil.rmtree(self.work(key), ignore_errors=True)

    def commit_together(self, finished: Sequence[tuple[str, Path, dict[str, Any]]]) -> None:
        """Commit the artefacts (key, folder, record) of one pass: all of them, also where the process dies meanwhile.

        What is to be done is written down before the first rename; `finish_commits` does what is left of it.
        """
        with self._writing():
            for key, folder, record in finished:
                seal(key, folder, record)
            (self.root / "commits").mkdir(exist_ok=True)
            journal = self.root / "commits" / f"{uuid.uuid4().hex}.json"
            write_synced(journal, json.dumps([[key, folder.name] for key, folder, _ in finished]))
            try:
                self._finish(journal)
            except BaseException:  # an interrupt between two renames: once more, or the rest would be thrown away
                self._finish(journal)
                raise

    def finish_commits(self, keys: Sequence[str]) -> None:
        """Finish what a dead process left of commits together that concern these keys. Call with their locks held."""
        for journal in named(self.root / "commits", end=".json"):
            with self._writing(), suppress(FileNotFoundError):
                if {key for key, _ in json.loads(journal.read_text(encoding="utf-8"))} & set(keys):
                    self._finish(journal)

    def _finish(self, journal: Path) -> None:
        for key, name in json.loads(journal.read_text(encoding="utf-8")):
            if Path(name).name != name or not name.startswith(self.path(key).name):
                raise StoreError(f"{journal} names '{name}', which is no artefact under way; delete that file")
            with suppress(FileNotFoundError):  # it was put in its place before
                self._place(key, self.root / "tmp" / name)
            shutil.rmtree(self.work(key), ignore_errors=True)
        journal.unlink(missing_ok=True)

    def _place(self, key: str, folder: Path) -> None:
        """Make a sealed folder the artefact of `key`."""
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():  # the first commit of a key wins, unless it is damaged
            if self.has(key):
                return
            self.set_aside(key)
        folder.rename(target)
        sync(target.parent)

    def work(self, key: str) -> Path:
        """Where an unfinished stage keeps what it can resume from."""
        return self.root / "work" / self.path(key).name

    def set_aside(self, key: str) -> Path | str:
        """Move a damaged artefact out of the way; returns where it went."""
        damaged = self.path(key)
        with self._writing():
            target = self.root / "damaged" / f"{key}-{uuid.uuid4().hex[:8]}"
            target.parent.mkdir(parents=True, exist_ok=True)
            damaged.rename(target)
        return target

    def _prepare_root(self) -> None:
        for name in ("artefacts", "work", "locks", "tmp"):
            folder = self.root / name
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
        marker = self.root / "STORE.json"
        if not marker.exists():
            write_synced(marker, json.dumps({"format": FORMAT}))

    def _check_format(self) -> None:
        marker = self.root / "STORE.json"
        if self.root.exists() and not self.root.is_dir():
            raise StoreError(f"the store {self.root} is a file; a folder is expected")
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))["format"]
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{marker} cannot be read ({error}); is {self.root} a store?") from None
        if not isinstance(found, int) or found > FORMAT:
            raise newer_format(str(self.root), found)

    @property
    def _written(self) -> str:
        return f"the store {self.root}"

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn the operating system's refusals into one clear line."""
        try:
            yield
        except OSError as error:
            ours = error.filename is None or Path(error.filename).is_relative_to(self.root)
            if error.errno in _UNWRITABLE and ours:
                advice = _UNWRITABLE[error.errno].replace("--store", self._elsewhere)
                raise StoreError(f"cannot write to {self._written}: {advice}") from error
            raise
