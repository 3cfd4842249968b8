"""Objects by name: what a store on shared or remote storage is made of. Here the interface, and a shared folder."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from outshine.core.errors import StoreError
from outshine.core.files import sync

_TEMPORARY = "tmp"
_TRIES = 5  # a folder may be removed by a neighbour between its making and its use
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Objects(ABC):
    """Whole objects by name (`a/b/c.json`). A reader sees the old one, none, or the whole new one.

    All methods raise StoreError, in one line, for what the backend refuses.
    """

    where: str  # the address for people, without credentials

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """An object; None where there is none."""

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """The objects of these names that there are."""
        found = ((name, self.read(name)) for name in names)
        return {name: data for name, data in found if data is not None}

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Keep an object, in place of the one before."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Keep an object where there is none. Of several who try at once one succeeds; False for the others."""

    @abstractmethod
    def list(self, prefix: str) -> dict[str, int]:
        """Names below `prefix/`, with the sizes of the objects in bytes."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Forget an object, if there is one."""

    @abstractmethod
    def fetch(self, name: str, path: Path) -> bool:
        """Copy an object into a local file; False where there is none."""

    @abstractmethod
    def send(self, path: Path, name: str) -> None:
        """Copy a local file into an object."""


class FolderObjects(Objects):
    """Objects as files of a folder that several hosts may share.

    A new object is a hard link to a finished file: the file system makes it once and with its whole content.
    """

    def __init__(self, root: Path) -> None:
        self.where = root.as_uri()
        self._root = root

    def read(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._refused(error) from error

    def write(self, name: str, data: bytes) -> None:
        self._place(name, data)

    def create(self, name: str, data: bytes) -> bool:
        try:
            self._place(name, data, anew=True)
        except FileExistsError:  # a network's file system may have lost the answer to a first try that made it
            return self.read(name) == data
        return True

    def list(self, prefix: str) -> dict[str, int]:
        found = {}
        for folder, _, names in os.walk(self._root / prefix, onerror=self._unlisted):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):  # removed meanwhile
                    found[path.relative_to(self._root).as_posix()] = path.stat().st_size
        return found

    def remove(self, name: str) -> None:
        path = self._root / name
        try:
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise self._refused(error) from error
        with suppress(OSError):  # others lie there still
            for folder in path.parents:
                if folder == self._root:
                    break
                folder.rmdir()

    def fetch(self, name: str, path: Path) -> bool:
        try:
            shutil.copyfile(self._root / name, path)
        except FileNotFoundError as error:
            if Path(error.filename).is_relative_to(self._root):
                return False
            raise
        except OSError as error:
            raise self._refused(error) from error
        return True

    def send(self, path: Path, name: str) -> None:
        self._place(name, path)

    def _place(self, name: str, content: bytes | Path, *, anew: bool = False) -> None:
        """Write a file beside the objects, flush it, then put it in its place; FileExistsError where it must be new."""
        temporary = self._root / _TEMPORARY / uuid.uuid4().hex
        try:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                temporary.write_bytes(content)
            else:
                shutil.copyfile(content, temporary)
            sync(temporary)
            self._put(temporary, self._root / name, anew)
        except FileExistsError:
            raise
        except OSError as error:
            raise self._refused(error) from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    @staticmethod
    def _put(temporary: Path, target: Path, anew: bool) -> None:
        for left in reversed(range(_TRIES)):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                if anew:
                    target.hardlink_to(temporary)
                else:
                    temporary.replace(target)
                sync(target.parent)
                return
            except FileNotFoundError:
                if not left:
                    raise

    def _unlisted(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise self._refused(error)

    def _refused(self, error: OSError) -> StoreError:
        if error.errno in _NO_LINKS and error.filename2 is not None:
            advice = "its file system makes no hard links, which decide who writes; choose another place with --store"
        elif error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "the disk or quota is full; free some space or choose another place with --store, then run again"
        elif error.errno in (errno.EACCES, errno.EPERM):
            advice = "permission is denied; choose another place with --store"
        elif error.errno == errno.EROFS:
            advice = "it is on a read-only file system; choose another place with --store"
        else:
            advice = f"{error.strerror or error}; check that the folder is there and can be reached"
        return StoreError(f"the store {self.where} refuses: {advice}")
