"""The content-addressed store: artefacts are folders of open formats that exist whole or not at all.

`Store` is the same everywhere; where its artefacts lie, and how they come to exist, is its backend's:
`outshine.engine.store.folder` has the layout in a folder, `outshine.engine.store.url` that below a URL.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from platformdirs import user_cache_path

from outshine.engine.checked_reading import parse_json, understood
from outshine.engine.errors import LostLeaseError, StoreError, is_below
from outshine.engine.files import file_version, left_behind, remove, scratch_path, sha256_of
from outshine.engine.key import KEY
from outshine.engine.store.backend import Backend, Pending, Record
from outshine.engine.store.documents import Documents, check_document_name
from outshine.engine.store.folder import FolderBackend
from outshine.engine.store.records import DONE, Fault

if TYPE_CHECKING:
    from outshine.engine.store.index import Listing, Query

T = TypeVar("T")
_PREFIX = 16  # hex digits of a key that messages show
_TRIES = 20  # other processes may set aside, remove and commit what is looked at
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
    from outshine.engine.store.url import UrlBackend

    seconds = _time_to_live() if time_to_live is None else time_to_live
    return Store(UrlBackend(str(where), cache or _default_cache(), seconds))


def _time_to_live() -> float:
    from outshine.engine.store.leases import TIME_TO_LIVE

    text = os.environ.get("OUTSHINE_LEASE_SECONDS")
    try:
        seconds = float(text) if text else TIME_TO_LIVE
    except ValueError:
        seconds = 0.0
    if not _SHORTEST <= seconds < float("inf"):
        raise StoreError(f"OUTSHINE_LEASE_SECONDS={text}: a number of seconds from {_SHORTEST:.0f} on is expected")
    return seconds


def _default_cache() -> Path:
    named = os.environ.get("OUTSHINE_CACHE")
    return Path(named) if named else user_cache_path("outshine", appauthor=False) / "remote"


class MendResult(NamedTuple):
    """What became of an artefact that was looked at as its only writer."""

    faults: list[Fault]
    aside: str = ""  # where a damaged one went; empty where it stayed
    is_held: bool = False  # whether another process has it, which looks to it


class Store:
    """Artefacts by key. Reading works on a read-only store; nothing is written before it is needed.

    Args:
        place: A folder, or a backend for another place.
    """

    def __init__(self, place: Path | str | Backend) -> None:
        self.backend = place if isinstance(place, Backend) else FolderBackend(place)
        self._as_written: dict[Path, tuple[object, ...]] = {}  # files whose content was checked in this process
        self.backend.check_format()

    @property
    def where(self) -> str:
        """Its address for people."""
        return self.backend.where

    @property
    def root(self) -> Path:
        """The folder of this machine in which stages write and files are read: the store's own, or one of copies."""
        return self.backend.root

    @property
    def address(self) -> str:
        """What another process opens the same store with (`open_store`). It may hold credentials: never show it."""
        return self.backend.address

    # -- reading ---------------------------------------------------------------------------------

    def path(self, key: str) -> Path:
        """Where the files of an artefact lie on this machine, whether or not they are there."""
        return self.backend.path(_checked(key))

    def place(self, key: str) -> str:
        """Where the artefact of `key` lies, for people."""
        return f"{self.where}/{self.backend.name_of(_checked(key))}"

    def has(self, key: str) -> bool:
        """Whether the artefact is there, as far as a quick look can tell. Raises StoreError where a disk fails."""
        return self.backend.has(_checked(key))

    def lacking(self, keys: Sequence[str]) -> list[str]:
        """Of these keys, those without a whole artefact. One look at the store, where asking for each costs more."""
        return self.backend.lacking(keys)

    def is_damaged(self, key: str) -> bool:
        """Whether something of the artefact is there, but not as it was written. Set it aside to compute it anew."""
        return self.backend.is_damaged(_checked(key))

    def look_ahead(self, keys: Sequence[str]) -> None:
        """Have the records of many artefacts at hand before each is asked for."""
        self.backend.look_ahead(keys)

    def file(self, key: str, name: str) -> Path:
        """A file of a finished artefact, as it was written: its size is checked, and once in a process its sha256.

        Raises StoreError where it is missing or damaged.
        """
        for _ in range(_TRIES):
            path, facts = self._fetched(key, name)
            with self.backend.reading(), suppress(FileNotFoundError):  # it went meanwhile
                version = (facts["sha256"], file_version(path))
                if self._as_written.get(path) == version or sha256_of(path) == facts["sha256"]:
                    self._as_written[path] = version
                    return path
                self._drop_changed(key, name)
        raise self._went(key)

    def read(self, key: str, name: str) -> bytes:
        """The content of a file of a finished artefact: the very bytes are checked against the recorded sha256.

        Raises StoreError where it is missing or damaged.
        """
        for _ in range(_TRIES):
            path, facts = self._fetched(key, name)
            with self.backend.reading(), suppress(FileNotFoundError):  # it went meanwhile
                content = path.read_bytes()
                if hashlib.sha256(content).hexdigest() == facts["sha256"]:
                    return content
                self._drop_changed(key, name)
        raise self._went(key)

    def document(self, key: str, name: str, read: Callable[[Any], T] = lambda content: content) -> T:
        """What a JSON file of a finished artefact says, as `read` makes it of the parsed text.

        Raises StoreError where it is missing, damaged or no JSON, and for whatever `read` raises over an odd shape.
        """
        content = self.read(key, name)
        try:
            with understood("what it says"):
                return read(parse_json(content))
        except ValueError as error:
            raise StoreError(f"artefact {key[:_PREFIX]}: {name} cannot be read ({error})") from None

    def _fetched(self, key: str, name: str) -> tuple[Path, Mapping[str, Any]]:
        """A file on this machine, of the recorded size, and what is recorded of it."""
        problem, record = self.backend.fetch(key, name, self.done(key))
        if problem:
            raise StoreError(f"artefact {key[:_PREFIX]}: {problem}; run again to compute it anew")
        return self.path(key) / name, record["files"][name]

    def _drop_changed(self, key: str, name: str) -> None:
        """A file is not what was written: a copy is fetched again."""
        if not self.backend.drop_copies(key, name):
            raise StoreError(
                f"artefact {key[:_PREFIX]}: {name} has changed since it was written (sha256 differs); "
                "`outshine verify --mend` sets it aside, and the next run computes it anew"
            )

    def _went(self, key: str) -> StoreError:
        return StoreError(f"artefact {key[:_PREFIX]} went away from {self.where} while it was read; run again")

    def done(self, key: str) -> Record:
        """The record of a finished artefact (files with sizes and hashes; when, where and how it was made)."""
        return self._record(key)[0]

    def record_text(self, key: str) -> bytes:
        """The text of the record of a finished artefact, as `done` read it."""
        return self._record(key)[1]

    def _record(self, key: str) -> tuple[Record, bytes]:
        try:
            record = self.backend.record(_checked(key))
        except (ValueError, OSError) as error:
            raise StoreError(
                f"artefact {key[:_PREFIX]}: {DONE} cannot be read ({error}); run again to compute it anew"
            ) from None
        if record is None:
            raise StoreError(f"no artefact {key[:_PREFIX]} in {self.where}")
        return record

    def size(self, key: str) -> int:
        """The bytes that an artefact takes."""
        return self.backend.size(_checked(key))

    def keys(self) -> list[str]:
        """The keys of all finished artefacts, sorted."""
        return self.backend.keys()

    def find(self, prefix: str) -> str:
        """The one key that begins with `prefix`."""
        keys = self.backend.keys(prefix.lower())
        if len(keys) == 1:
            return keys[0]
        problem = "no artefact has" if not keys else f"{len(keys)} artefacts have"
        raise StoreError(f"{problem} a key beginning with '{prefix}' in {self.where}; `outshine ls` lists them")

    def verify(self, key: str) -> list[Fault]:
        """Every recorded size and sha256 checked against the files; an empty list where all is well.

        What another process removes, or sets aside and makes anew meanwhile, is no fault.
        """
        if not KEY.fullmatch(key):
            return [Fault(key, "64 hex digits are expected as its name")]
        faults: list[Fault] = []
        for _ in range(_TRIES):
            with self.backend.reading():
                before = self.backend.version(key)
                faults = self._faults(key) if before is not None else []
                if not faults or self.backend.version(key) == before:
                    return faults
        return faults

    def _faults(self, key: str) -> list[Fault]:
        try:
            record = self.done(key)
        except StoreError as error:
            return [Fault(key, f"{DONE} is unreadable ({error})")]
        return list(self.backend.content_faults(key, record))

    def mend(self, key: str) -> MendResult:
        """Verify an artefact and, as its only writer, set a damaged one aside. Of a whole one, damaged copies go."""
        faults = self.verify(key)
        if _are_of_copies(faults):
            if faults:
                self.backend.drop_copies(key)
            return MendResult(faults)
        with self.lock(key, timeout=0) as ours:
            if not ours:
                return MendResult([], is_held=True)
            faults = self.verify(key)
            return MendResult(faults, "" if _are_of_copies(faults) else self.set_aside(key))

    def listing(self, query: Query) -> Listing:
        """What a listing says of the artefacts that are asked for."""
        return self.backend.listing(query)

    # -- writing ---------------------------------------------------------------------------------

    @contextmanager
    def lock(self, key: str, timeout: float = -1) -> Iterator[bool]:
        """Be the one writer of `key`. Yields False where another process holds it for longer than `timeout` s."""
        _checked(key)
        self.backend.prepare()
        with self.backend.lock(key, timeout) as ours:
            yield ours

    def is_locked(self, key: str) -> bool:
        """Whether a process writes `key` now. For showing only: it may have changed by the time one looks."""
        return self.backend.is_locked(_checked(key))

    def locked(self, keys: Collection[str]) -> set[str]:
        """Those of the keys that a living process writes now."""
        return self.backend.locked(keys)

    @contextmanager
    def alone(self, purpose: str) -> Iterator[None]:
        """Be the only process that does a thing which must not be done twice at once. For moments only."""
        check_document_name(purpose)
        with self.backend.lock(purpose):
            yield

    def documents(self, kind: str) -> Documents:
        """The small documents of a kind: running, failures, studies."""
        return Documents(self.backend, kind)

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """A temporary folder for the files of `key`; call `commit` with it. Removed if not committed."""
        self.backend.prepare()
        with self.backend.writing():
            for leftover in left_behind(self.root / "tmp", key):
                remove(leftover)
        with scratch_path(self.root / "tmp", key) as folder:
            with self.backend.writing():
                folder.mkdir(parents=True)
            try:
                yield folder
            except OSError as error:  # of whoever writes, perhaps over something else
                with self.backend.writing() if is_below(error, self.root) else nullcontext():
                    raise

    def work(self, key: str) -> Path:
        """Where an unfinished stage keeps what it can resume from."""
        return self.root / "work" / _checked(key)

    def commit(self, key: str, folder: Path, record: Record) -> None:
        """Make the files of `folder` the artefact of `key`. Raises LostLeaseError where another process took over."""
        with self.backend.writing():
            sent, lost = self._send([(key, folder, record)])
            if lost:
                raise lost
            for pending in sent:
                if not self.backend.publish(pending, folder):
                    raise StoreError(
                        f"the store {self.where} lost a part of artefact {key[:_PREFIX]} as it was sent; run again"
                    )
        shutil.rmtree(self.work(key), ignore_errors=True)

    def commit_together(self, finished: Sequence[tuple[str, Path, Record]]) -> None:
        """Commit the artefacts (key, folder, record) of one pass: all of them, also where the process dies meanwhile.

        What is to be done is written down before the first becomes an artefact; `finish_commits` does what is left.
        """
        with self.backend.writing():
            sent, lost = self._send(finished)
            journal = f"commits/{uuid.uuid4().hex}.json"
            self.backend.write(journal, json.dumps([pending.parts for pending in sent]).encode())
            try:
                self._publish_all(journal, sent)
            except BaseException:  # an interrupt between two of them: once more, or the rest would be thrown away
                self._publish_all(journal, sent)
                raise
        if lost:
            raise lost

    def finish_commits(self, keys: Sequence[str]) -> list[str]:
        """Finish what a dead process left of commits together that concern these keys. Call with their locks held.

        Returns a note for each list of a commit that cannot be read: what it spoke of is computed anew.
        """
        notes = []
        with self.backend.writing():
            for journal, members in self.backend.journals():
                if members is None:
                    notes.append(f"{self.where}/{journal} cannot be read and is passed over; `outshine gc` removes it")
                elif {pending.key for pending in members} & set(keys):
                    self._publish_all(journal, dict.fromkeys(members))
        return notes

    def _send(
        self, finished: Sequence[tuple[str, Path, Record]]
    ) -> tuple[dict[Pending, Path | None], LostLeaseError | None]:
        """Have these lie in the store for good, still unseen; and an error for those whose locks were lost."""
        sent: dict[Pending, Path | None] = {self.backend.send(*artefact): artefact[1] for artefact in finished}
        lost = self.backend.lost_locks([pending.key for pending in sent])
        for pending in [pending for pending in sent if pending.key in lost]:
            self.backend.withdraw(pending)
            del sent[pending]
        return sent, _lost_lease(lost) if lost else None

    def _publish_all(self, journal: str, members: Mapping[Pending, Path | None]) -> None:
        for pending, folder in members.items():
            if self.backend.publish(pending, folder):
                shutil.rmtree(self.work(pending.key), ignore_errors=True)
        self.backend.remove(journal)

    def set_aside(self, key: str) -> str:
        """Move a damaged artefact out of the way; returns where it went. One that is gone by then is let be."""
        return self.backend.set_aside(_checked(key))


def _checked(key: str) -> str:
    """The key itself. Raises StoreError for what is none, and could lead elsewhere as part of a path."""
    if not KEY.fullmatch(key):
        raise StoreError(f"'{key}' is no key: 64 hex digits expected")
    return key


def _are_of_copies(faults: Sequence[Fault]) -> bool:
    return all(fault.of_copy for fault in faults)


def _lost_lease(keys: Sequence[str]) -> LostLeaseError:
    named = ", ".join(key[:_PREFIX] for key in keys)
    return LostLeaseError(
        f"this process stood still for longer than its lease of {named} lives, and another took over; "
        "its result was not committed, the other's is used"
    )
