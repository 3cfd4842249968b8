"""What a store needs of the place that it lies in. There are two: `folder.FolderBackend` and `url.UrlBackend`.

A place keeps small things by name, knows which artefacts are there, and has two protocols of its own: how one process
becomes the only writer of a key, and how a finished folder becomes an artefact as a whole or not at all. All else is
`store.Store`.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from filelock import Timeout

from outshine.engine.checked_reading import parse_json, understood
from outshine.engine.errors import StoreError, advice, is_below
from outshine.engine.store.records import Fault

if TYPE_CHECKING:
    from outshine.engine.store.index import Listing, Query

Record = dict[str, Any]  # what DONE.json says


class Pending(NamedTuple):
    """A finished artefact that lies in the place under a name of its own, about to become that of its key."""

    key: str
    name: str
    record: str | None = None  # the text of its DONE.json, where the place keeps that apart from the files

    @property
    def parts(self) -> list[str]:
        """As the list of a commit has it."""
        return [part for part in self if part is not None]


class Leftover(NamedTuple):
    """One thing that `gc` can remove: its name in the place, why, and the key whose lock protects it."""

    name: str
    bytes: int
    why: str
    key: str = ""


class Backend(ABC):
    """A place for a store. Whatever the operating system or a server refuses is a StoreError in one line."""

    root: Path  # a folder of this machine: unfinished work, and the files of artefacts as readers open them
    where: str  # the address for people
    address: str  # what another process opens the same place with; it may hold credentials: never show it
    described: str  # `root`, for people
    elsewhere: ClassVar[str]  # how to name another one than `root`
    locks: ClassVar[str]  # below which name the locks of keys lie
    why_abandoned: ClassVar[str]
    why_damaged: ClassVar[str]

    def path(self, key: str) -> Path:
        """The folder of an artefact's files on this machine, whether or not they are there."""
        return self.root.joinpath("artefacts", key[:2], key)

    def reading(self) -> AbstractContextManager[None]:
        """Turn refusals of `root` into one clear line: it cannot be read."""
        return self._explained("read")

    def writing(self) -> AbstractContextManager[None]:
        """Turn refusals of `root` into one clear line: it cannot be written to."""
        return self._explained("write to")

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except Timeout:  # an OSError by its type: another holds the lock
            raise
        except OSError as error:
            if error.filename is not None and not is_below(error, self.root):
                raise
            problem = advice(error, self.root, self.elsewhere)
            raise StoreError(f"cannot {doing} {self.described}: {problem}") from error
        except NotImplementedError as error:  # what FileLock makes of ENOSYS
            if "flock" not in str(error):
                raise
            problem = advice(OSError(errno.ENOLCK, ""), self.root, self.elsewhere)
            raise StoreError(f"cannot {doing} {self.described}: {problem}") from error

    @abstractmethod
    def check_format(self) -> None:
        """Raises StoreError for a store of a newer version, and for what is no store."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what is needed before an artefact is written."""

    # -- small things by name, such as studies/<digest>.json -------------------------------------

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """A small thing; None where there is none. A folder's raises OSError, and ValueError for no plain file."""

    @abstractmethod
    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Those of the small things that can be read."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Keep a small thing, in place of the one before, whole or not at all."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Forget a thing, if it is there."""

    @abstractmethod
    def list(self, folder: str) -> dict[str, int]:
        """The names of what lies in a folder of the place, with the bytes of each, sorted."""

    @abstractmethod
    def is_there(self, name: str) -> bool:
        """Whether something has this name, or lies below it."""

    # -- artefacts -------------------------------------------------------------------------------

    @abstractmethod
    def name_of(self, key: str) -> str:
        """The name of an artefact in the place."""

    @abstractmethod
    def has(self, key: str) -> bool:
        """Whether an artefact is there, as far as a quick look can tell that it is whole."""

    @abstractmethod
    def lacking(self, keys: Sequence[str]) -> list[str]:
        """Of these keys, those without a whole artefact, in one look."""

    @abstractmethod
    def is_damaged(self, key: str) -> bool:
        """Whether something of an artefact is there, but not as it was written."""

    @abstractmethod
    def keys(self, beginning: str = "") -> list[str]:
        """The keys of all finished artefacts that begin so, sorted."""

    @abstractmethod
    def record(self, key: str) -> tuple[Record, bytes] | None:
        """The record of an artefact and its text; None where there is none.

        Raises ValueError, or a folder's OSError, where it cannot be read.
        """

    @abstractmethod
    def look_ahead(self, keys: Sequence[str]) -> None:
        """Have the records of many artefacts at hand before each is asked for."""

    @abstractmethod
    def fetch(self, key: str, name: str, record: Record) -> tuple[str, Record]:
        """Have a file of an artefact in its folder on this machine, of the recorded size.

        Returns what is wrong with it, or nothing; and the record that it belongs to, which may be a newer one.
        """

    @abstractmethod
    def drop_copies(self, key: str, name: str = "") -> bool:
        """Forget what this machine has of an artefact, or of one file of it; False where that is the artefact."""

    @abstractmethod
    def size(self, key: str) -> int:
        """The bytes that an artefact takes."""

    @abstractmethod
    def version(self, key: str) -> object:
        """By which an artefact is told from one that takes its place; None where there is none."""

    @abstractmethod
    def content_faults(self, key: str, record: Record) -> Sequence[Fault]:
        """Compare every byte of an artefact's files, and of their copies, with the record."""

    @abstractmethod
    def listing(self, query: Query) -> Listing:
        """What a listing says of the artefacts that are asked for."""

    # -- locks -----------------------------------------------------------------------------------

    @abstractmethod
    def lock(self, name: str, timeout: float = -1, *, leave_nothing: bool = False) -> AbstractContextManager[bool]:
        """Be the only holder of a key or a purpose. Gives False where another one is, for longer than `timeout` s.

        `leave_nothing`: nobody is expected to take it again.
        """

    @abstractmethod
    def is_locked(self, key: str) -> bool:
        """Whether a process holds a key now. For showing only: it may have changed by the time one looks."""

    @abstractmethod
    def locked(self, keys: Collection[str]) -> set[str]:
        """Those of the keys that a living process holds now."""

    @abstractmethod
    def lost_locks(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys that another took over from this process, which stood still, and has not finished."""

    # -- commits ---------------------------------------------------------------------------------

    @abstractmethod
    def send(self, key: str, folder: Path, record: Record) -> Pending:
        """Write the record of a finished folder and have all of it lie in the place for good, still unseen."""

    @abstractmethod
    def withdraw(self, pending: Pending) -> None:
        """Remove what was sent."""

    @abstractmethod
    def publish(self, pending: Pending, folder: Path | None = None) -> bool:
        """Make it the artefact of its key, unless there is a whole one: the first commit of a key wins.

        `folder`: where its files lie on this machine still. False where neither is whole: what was sent is gone.
        """

    @abstractmethod
    def pending(self, *parts: Any) -> Pending:
        """Read an entry in the list of a commit. Raises ValueError or TypeError for one that is none."""

    def journals(self) -> Iterator[tuple[str, list[Pending] | None]]:
        """The lists of commits together that are under way, by name; None for the members of one that is damaged."""
        for name in self.list("commits"):
            if not name.endswith(".json") or name.startswith("commits/."):  # being written
                continue
            try:
                with self.reading():
                    text = self.read(name)
                if text is None:  # finished meanwhile
                    continue
                with understood("the list of a commit"):
                    members = [self.pending(*parts) for parts in parse_json(text)]
            except ValueError:
                members = None
            yield name, members

    @abstractmethod
    def name_of_pending(self, pending: Pending) -> str:
        """The name in the place of what was sent."""

    @abstractmethod
    def set_aside(self, key: str) -> str:
        """Make a damaged artefact one no longer; returns where it went. One that is gone by then is let be."""

    # -- garbage collection ----------------------------------------------------------------------

    @abstractmethod
    def abandoned(self) -> Iterator[Leftover]:
        """What dead writers sent or were writing, unless the list of a commit speaks of it."""

    @abstractmethod
    def unfinished(self) -> dict[str, int]:
        """Small things, with their bytes, that a process was killed over a day ago or more."""

    @abstractmethod
    def take_out(self, name: str, key: str) -> Sequence[str]:
        """Take a thing out of its place at once; returns the names of what can be removed at leisure."""
