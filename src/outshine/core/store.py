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
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from outshine.core.documents import Documents, check_document_name
from outshine.core.errors import StoreError
from outshine.core.files import named, sha256_of, sync, user_path, write_synced
from outshine.core.messages import shows
from outshine.core.shelves import sorted_shelved

FORMAT = 1
DONE = "DONE.json"
_KEY = re.compile("[0-9a-f]{64}")
_PREFIX = 16  # hex digits of a key that listings show

_UNWRITABLE = {
    errno.ENOSPC: "the disk is full; free some space or choose another place with --store, then run again",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another place with --store, then run again",
    errno.EROFS: "it is on a read-only file system; choose another place with --store",
    errno.EACCES: "permission is denied; choose another place with --store",
    errno.EPERM: "permission is denied; choose another place with --store",
}


def default_store() -> Path:
    """The folder named by `OUTSHINE_STORE`, else one in the user's cache."""
    named = os.environ.get("OUTSHINE_STORE")
    return Path(named) if named else user_cache_path("outshine", appauthor=False) / "store"


class Fault(NamedTuple):
    """One thing wrong with an artefact."""

    key: str
    message: str


class Store:
    """Artefacts by key in a folder. Reading works on a read-only store; nothing is written before it is needed."""

    def __init__(self, root: Path | str) -> None:
        self.root = user_path(root).absolute()
        self._check_format()

    @property
    def where(self) -> str:
        """What another process opens the same store with."""
        return str(self.root)

    # -- reading ---------------------------------------------------------------------------------

    def path(self, key: str) -> Path:
        """Where the artefact of `key` lies (whether or not it exists)."""
        if not _KEY.fullmatch(key):
            raise StoreError(f"'{key}' is no key: 64 hex digits expected")
        return self.root.joinpath("artefacts", key[:2], key)

    def has(self, key: str) -> bool:
        """Whether the artefact exists and its files have the recorded sizes."""
        return (self.path(key) / DONE).is_file() and not self._size_faults(key)

    def file(self, key: str, name: str) -> Path:
        """A file of a finished artefact, its size checked. Raises StoreError where it is missing or damaged."""
        faults = [fault for fault in self._size_faults(key) if fault.message.startswith(f"{name} ")]
        path = self.path(key) / name
        if faults or not path.is_file():
            problem = faults[0].message if faults else f"{name} is missing"
            raise StoreError(f"artefact {key[:_PREFIX]}: {problem}; run again to compute it anew")
        return path

    def done(self, key: str) -> dict[str, Any]:
        """The record of a finished artefact (files with sizes and hashes; when, where and how it was made)."""
        try:
            return _read_record(self.path(key) / DONE)
        except FileNotFoundError:
            raise StoreError(f"no artefact {key[:_PREFIX]} in {self.root}") from None
        except (ValueError, RecursionError, OSError) as error:
            raise StoreError(
                f"artefact {key[:_PREFIX]}: {DONE} cannot be read ({error}); run again to compute it anew"
            ) from None

    def keys(self) -> list[str]:
        """The keys of all finished artefacts, sorted."""
        return self._finished("")

    def find(self, prefix: str) -> str:
        """The one key that begins with `prefix`."""
        found = self._finished(prefix.lower())
        if len(found) == 1:
            return found[0]
        problem = "no artefact has" if not found else f"{len(found)} artefacts have"
        raise StoreError(f"{problem} a key beginning with '{prefix}' in {self.root}; `outshine ls` lists them")

    def _finished(self, beginning: str) -> list[str]:
        return [one.name for one in sorted_shelved(self.root, beginning) if Path(one.path, DONE).is_file()]

    def verify(self, key: str) -> list[Fault]:
        """Every recorded size and sha256 checked against the files; an empty list where all is well."""
        try:
            recorded: dict[str, dict[str, Any]] = self.done(key)["files"]
        except StoreError as error:
            return [Fault(key, f"{DONE} is unreadable ({error})")]
        faults = self._size_faults(key)
        bad = {name for name in recorded if any(fault.message.startswith(f"{name} ") for fault in faults)}
        for name, facts in recorded.items():
            if name not in bad and sha256_of(self.path(key) / name) != facts["sha256"]:
                faults.append(Fault(key, f"{name} has changed since it was written (sha256 differs)"))
        return faults

    def _size_faults(self, key: str) -> list[Fault]:
        folder = self.path(key)
        try:
            sizes = {name: facts["bytes"] for name, facts in _read_record(folder / DONE)["files"].items()}
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            return [Fault(key, f"{DONE} cannot be read ({error})")]
        faults = []
        for name, size in sizes.items():
            try:
                found = (folder / name).stat().st_size
            except OSError:
                faults.append(Fault(key, f"{name} is missing"))
                continue
            if found != size:
                faults.append(Fault(key, f"{name} has {found} bytes where {size} were written"))
        return faults

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

    def documents(self, kind: str) -> Documents:
        """The small documents of a kind: running, failures, studies."""
        check_document_name(kind)
        return Documents(self.root / kind)

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """A temporary folder on the same file system; call `commit` with it. Removed if not committed."""
        with self._writing():
            self._prepare_root()
            for litter in named(self.root / "tmp", start=f"{key}-"):  # a dead writer's: the lock is ours
                shutil.rmtree(litter, ignore_errors=True)
            folder = self.root / "tmp" / f"{key}-{uuid.uuid4().hex[:8]}"
            folder.mkdir()
        try:
            with self._writing():
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, key: str, folder: Path, record: dict[str, Any]) -> None:
        """Make the files of `folder` the artefact of `key`: record sizes and hashes, flush, one rename."""
        with self._writing():
            self._seal(key, folder, record)
            self._place(key, folder)
        shutil.rmtree(self.work(key), ignore_errors=True)

    def commit_together(self, finished: Sequence[tuple[str, Path, dict[str, Any]]]) -> None:
        """Commit the artefacts (key, folder, record) of one pass: all of them, also where the process dies meanwhile.

        What is to be done is written down before the first rename; `finish_commits` does what is left of it.
        """
        with self._writing():
            for key, folder, record in finished:
                self._seal(key, folder, record)
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

    def _seal(self, key: str, folder: Path, record: dict[str, Any]) -> None:
        """Record sizes and hashes of an artefact's files in DONE.json and flush all of it."""
        found = sorted(folder.rglob("*"))
        files = [path for path in found if path.is_file()]
        facts = {p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "sha256": sha256_of(p)} for p in files}
        write_synced(
            folder / DONE,
            json.dumps({"format": FORMAT, "key": key, "files": facts, **record}, indent=1, sort_keys=True),
        )
        for path in [*files, *(path for path in found if path.is_dir()), folder]:
            sync(path)

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

    def set_aside(self, key: str) -> Path:
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
            raise StoreError(
                f"the store {self.root} was written by a newer outshine (format {found}, this one knows {FORMAT}); "
                "upgrade outshine or choose another place with --store"
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn the operating system's refusals into one clear line."""
        try:
            yield
        except OSError as error:
            ours = error.filename is None or Path(error.filename).is_relative_to(self.root)
            if error.errno in _UNWRITABLE and ours:
                raise StoreError(f"cannot write to the store {self.root}: {_UNWRITABLE[error.errno]}") from error
            raise


def _read_record(path: Path) -> dict[str, Any]:
    """A DONE.json whose `files` are files of its folder with a size and a sha256. Raises ValueError for any other."""
    record = json.loads(path.read_text(encoding="utf-8"))
    files = record.get("files") if isinstance(record, dict) else None
    if not isinstance(files, dict):
        raise ValueError("it lists no files")
    for name, facts in files.items():
        if Path(name).is_absolute() or ".." in Path(name).parts or not shows(name):
            raise ValueError(f"{name} is no file of the artefact")
        if not (
            isinstance(facts, dict) and isinstance(facts.get("bytes"), int) and isinstance(facts.get("sha256"), str)
        ):
            raise ValueError(f"{name} has no size or no sha256")
    return record
