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
<root>/index.sqlite              what listings show of the artefacts; a cache (`outshine.engine.store.index`)
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from filelock import FileLock, Timeout

from outshine.engine.checked_reading import parse_json, read_bytes, read_json, understood
from outshine.engine.errors import StoreError, advice, is_below
from outshine.engine.files import (
    absolute_path,
    bytes_in,
    left_behind,
    named,
    remove,
    scratch_path,
    sha256_of,
    sync,
    write_synced,
)
from outshine.engine.key import KEY
from outshine.engine.store.documents import Documents, check_document_name
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

T = TypeVar("T")
_PREFIX = 16  # hex digits of a key that listings show
_TRIES = 20  # other processes may set aside, remove and commit what is looked at


class Mended(NamedTuple):
    """What became of an artefact that was looked at as its only writer."""

    faults: list[Fault]
    aside: str = ""  # where a damaged one went; empty where it stayed
    is_held: bool = False  # whether another process has it, which looks to it


class Store:
    """Artefacts by key in a folder. Reading works on a read-only store; nothing is written before it is needed."""

    where: str  # its address for people
    _elsewhere = "--store"  # how to name another folder

    def __init__(self, root: Path | str) -> None:
        self.root = absolute_path(root)
        self.where = str(self.root)
        self._as_written: dict[Path, tuple[object, ...]] = {}  # files whose content was checked in this process
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
        """Whether the artefact exists and its files have the recorded sizes. Raises StoreError where a disk fails."""
        with self._reading():
            return (self.path(key) / DONE).is_file() and not size_faults(key, self.path(key))

    def lacking(self, keys: Sequence[str]) -> list[str]:
        """Of these keys, those without a whole artefact. One look at the store, where asking for each costs more."""
        return [key for key in keys if not self.has(key)]

    def is_damaged(self, key: str) -> bool:
        """Whether something of the artefact is there, but not as it was written. Set it aside to compute it anew."""
        with self._reading():
            return self.path(key).exists() and not self.has(key)

    def place(self, key: str) -> str:
        """Where the artefact of `key` lies, for people."""
        return str(self.path(key))

    def look_ahead(self, keys: Sequence[str]) -> None:
        """Have the records of many artefacts at hand before each is asked for. Here they are."""

    def file(self, key: str, name: str) -> Path:
        """A file of a finished artefact, as it was written: its size is checked, and once in a process its sha256.

        Raises StoreError where it is missing or damaged.
        """
        for _ in range(_TRIES):
            path, facts = self._found(key, name)
            with self._reading(), suppress(FileNotFoundError):  # it went meanwhile
                seen = self._as_written.get(path)
                now = (facts["sha256"], *_identity(path))
                if seen == now or sha256_of(path) == facts["sha256"]:
                    self._as_written[path] = now
                    return path
                self._mistrust(key, name)
        raise self._went(key)

    def read(self, key: str, name: str) -> bytes:
        """The content of a file of a finished artefact: the very bytes are checked against the recorded sha256.

        Raises StoreError where it is missing or damaged.
        """
        for _ in range(_TRIES):
            path, facts = self._found(key, name)
            with self._reading(), suppress(FileNotFoundError):  # it went meanwhile
                content = path.read_bytes()
                if hashlib.sha256(content).hexdigest() == facts["sha256"]:
                    return content
                self._mistrust(key, name)
        raise self._went(key)

    def document(self, key: str, name: str, read: Callable[[Any], T] = lambda found: found) -> T:
        """What a JSON file of a finished artefact says, as `read` makes it of the parsed text.

        Raises StoreError where it is missing, damaged or no JSON, and for whatever `read` raises over an odd shape.
        """
        content = self.read(key, name)
        try:
            with understood("what it says"):
                return read(parse_json(content))
        except ValueError as error:
            raise StoreError(f"artefact {key[:_PREFIX]}: {name} cannot be read ({error})") from None

    def _found(self, key: str, name: str) -> tuple[Path, Mapping[str, Any]]:
        """Where a file lies, of the recorded size, and what is recorded of it."""
        files, path = self.done(key)["files"], self.path(key) / name
        with self._reading():
            problem = size_fault(name, files[name], path) if name in files else f"{name} is missing"
        if problem:
            raise StoreError(f"artefact {key[:_PREFIX]}: {problem}; run again to compute it anew")
        return path, files[name]

    def _mistrust(self, key: str, name: str) -> None:
        """A file is not what was written."""
        raise StoreError(
            f"artefact {key[:_PREFIX]}: {name} has changed since it was written (sha256 differs); "
            "`outshine verify --mend` sets it aside, and the next run computes it anew"
        )

    def _went(self, key: str) -> StoreError:
        return StoreError(f"artefact {key[:_PREFIX]} went away from {self.where} while it was read; run again")

    def done(self, key: str) -> dict[str, Any]:
        """The record of a finished artefact (files with sizes and hashes; when, where and how it was made)."""
        return self._record(key)[0]

    def record_text(self, key: str) -> bytes:
        """The text of the record of a finished artefact, as `done` read it."""
        return self._record(key)[1]

    def _record(self, key: str) -> tuple[dict[str, Any], bytes]:
        try:
            text = read_bytes(self.path(key) / DONE)
            return parse_record(text), text
        except (FileNotFoundError, NotADirectoryError):
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
        with self._reading():
            return [one.name for one in sorted_artefact_dirs(self.root, beginning) if Path(one.path, DONE).is_file()]

    def verify(self, key: str) -> list[Fault]:
        """Every recorded size and sha256 checked against the files; an empty list where all is well.

        What another process removes, or sets aside and makes anew meanwhile, is no fault.
        """
        faults: list[Fault] = []
        if not KEY.fullmatch(key):
            return [Fault(key, "64 hex digits are expected as its name")]
        for _ in range(_TRIES):
            with self._reading():
                before = _identity(self.path(key))
                faults = self._faults(key) if before else []
                if not faults or _identity(self.path(key)) == before:
                    return faults
        return faults

    def _faults(self, key: str) -> list[Fault]:
        try:
            recorded: dict[str, dict[str, Any]] = self.done(key)["files"]
        except StoreError as error:
            return [Fault(key, f"{DONE} is unreadable ({error})")]
        problems = [content_fault(name, facts, self.path(key) / name) for name, facts in recorded.items()]
        return [Fault(key, problem) for problem in problems if problem]

    def mend(self, key: str) -> Mended:
        """Look at an artefact as its only writer, and set it aside where it is damaged."""
        with self.lock(key, timeout=0) as ours:
            if not ours:
                return Mended([], is_held=True)
            faults = self.verify(key)
            is_damaged = any(not fault.of_copy for fault in faults)
            return Mended(faults, str(self.set_aside(key)) if is_damaged else "")

    def listing(self, query: Query) -> Listing:
        """What a listing says of the artefacts that are asked for."""
        from outshine.engine.store.index import listing

        with self._reading():
            return listing(self.root, query)

    # -- writing ---------------------------------------------------------------------------------

    @contextmanager
    def lock(self, key: str, timeout: float = -1) -> Iterator[bool]:
        """Be the one writer of `key`. Yields False where another process holds it for longer than `timeout` s."""
        with self._writing():
            self._prepare_root()
            lock = self._lock(self.path(key).name)
        try:
            with self._writing():
                lock.acquire(timeout=timeout)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            with self._writing():
                lock.release()

    def _lock(self, name: str) -> FileLock:
        return FileLock(self.root / "locks" / f"{name}.lock")

    def is_locked(self, key: str) -> bool:
        """Whether a process writes `key` now. For showing only: it may have changed by the time one looks."""
        lock = self._lock(self.path(key).name)
        try:
            if not Path(lock.lock_file).is_file():
                return False
            lock.acquire(timeout=0)
        except (Timeout, OSError, NotImplementedError):  # held; or read-only, and nobody can tell
            return True
        lock.release()
        return False

    @contextmanager
    def alone(self, purpose: str) -> Iterator[None]:
        """Be the only process that does a thing which must not be done twice at once. For moments only."""
        check_document_name(purpose)
        lock = self._lock(purpose)
        with self._writing():
            Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            yield
        finally:
            with self._writing():
                lock.release()

    def locked(self, keys: Collection[str]) -> set[str]:
        """Those of the keys that a living process writes now."""
        return {key for key in keys if self.is_locked(key)}

    def documents(self, kind: str) -> Documents:
        """The small documents of a kind: running, failures, studies."""
        check_document_name(kind)
        return Documents(self.root / kind, self._writing)

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """A temporary folder on the same file system; call `commit` with it. Removed if not committed."""
        with self._writing():
            self._prepare_root()
            for litter in left_behind(self.root / "tmp", key):
                remove(litter)
        with scratch_path(self.root / "tmp", key) as folder:
            with self._writing():
                folder.mkdir(parents=True)
            try:
                yield folder
            except OSError as error:  # of whoever writes, perhaps over something else
                with self._writing() if is_below(error, self.root) else nullcontext():
                    raise

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
            members = [(key, folder.name) for key, folder, _ in finished]
            write_synced(journal, json.dumps(members))
            try:
                self._finish(journal, members)
            except BaseException:  # an interrupt between two renames: once more, or the rest would be thrown away
                self._finish(journal, members)
                raise

    def finish_commits(self, keys: Sequence[str]) -> list[str]:
        """Finish what a dead process left of commits together that concern these keys. Call with their locks held.

        Returns a note for each list of a commit that cannot be read: what it spoke of is computed anew.
        """
        notes = []
        with self._writing():
            for journal, members in self.journals():
                if members is None:
                    notes.append(f"{journal} cannot be read and is passed over; `outshine gc` removes it")
                elif {key for key, _ in members} & set(keys):
                    self._finish(journal, members)
        return notes

    def journals(self) -> Iterator[tuple[Path, list[tuple[str, str]] | None]]:
        """The lists of commits together that are under way: each member's key and folder; None where damaged."""
        for journal in named(self.root / "commits", end=".json"):
            if journal.name.startswith("."):  # being written
                continue
            with suppress(FileNotFoundError):  # finished meanwhile
                try:
                    members = _members(read_json(journal))
                except ValueError:
                    members = None
                yield journal, members

    def _finish(self, journal: Path, members: Sequence[tuple[str, str]]) -> None:
        for key, name in members:
            with suppress(FileNotFoundError):  # it was put in its place before
                self._place(key, self.root / "tmp" / name)
            shutil.rmtree(self.work(key), ignore_errors=True)
        journal.unlink(missing_ok=True)

    def _place(self, key: str, folder: Path) -> None:
        """Make a sealed folder the artefact of `key`. The first commit of a key wins, unless it is damaged."""
        target = self.path(key)
        for left in reversed(range(_TRIES)):
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                if self.has(key):
                    return
                self.set_aside(key)
            try:
                folder.rename(target)
                break
            except OSError as error:  # where locks do nothing, another may commit it between the look and the rename
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not left:
                    raise
        sync(target.parent)

    def work(self, key: str) -> Path:
        """Where an unfinished stage keeps what it can resume from."""
        return self.root / "work" / self.path(key).name

    def set_aside(self, key: str) -> Path | str:
        """Move a damaged artefact out of the way; returns where it went. One that is gone by then is let be."""
        damaged = self.path(key)
        with self._writing():
            target = self.root / "damaged" / f"{key}-{uuid.uuid4().hex[:8]}"
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
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
        with self._reading():
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

    @property
    def _written(self) -> str:
        return f"the store {self.root}"

    @contextmanager
    def told(self, doing: str) -> Iterator[None]:
        """Turn the operating system's refusals on the store's path into one clear line. `doing`: what is refused."""
        try:
            yield
        except Timeout:  # an OSError by its type: another holds the lock
            raise
        except OSError as error:
            if error.filename is not None and not is_below(error, self.root):
                raise
            problem = advice(error, self.root, self._elsewhere)
            raise StoreError(f"cannot {doing} {self._written}: {problem}") from error
        except NotImplementedError as error:  # what FileLock makes of ENOSYS
            if "flock" not in str(error):
                raise
            problem = advice(OSError(errno.ENOLCK, ""), self.root, self._elsewhere)
            raise StoreError(f"cannot {doing} {self._written}: {problem}") from error

    def _writing(self) -> AbstractContextManager[None]:
        return self.told("write to")

    def _reading(self) -> AbstractContextManager[None]:
        return self.told("read")


def _identity(path: Path) -> tuple[int, ...]:
    """By which a file or folder is told from one that takes its place; nothing where there is none."""
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _members(found: Any) -> list[tuple[str, str]]:
    """The members of a commit together. Raises ValueError for what is no list of them."""
    with understood("the list of a commit"):
        members = [(key, name) for key, name in found]
        for key, name in members:
            if not KEY.fullmatch(key) or Path(name).name != name or not name.startswith(f"{key}-"):
                raise ValueError(f"it names '{name}', which is no artefact under way")
        return members
