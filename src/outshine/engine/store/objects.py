"""The interface of object storage under a shared or remote store, and its implementation in a shared folder."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from outshine.engine.checked_reading import read_bytes
from outshine.engine.errors import StoreError, advice
from outshine.engine.files import is_stale, sync

_TEMPORARY = "tmp"
_TRIES = 20  # a folder may be removed by a neighbour between its making and its use
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
        """Read those of the named objects that are there."""
        contents = ((name, self.read(name)) for name in names)
        return {name: data for name, data in contents if data is not None}

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Keep an object, in place of the one before."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Keep an object where there is none. Of several who try at once one succeeds; False for the others."""

    @abstractmethod
    def list(self, prefix: str) -> dict[str, int]:
        """Names below `prefix/`, with the sizes of the objects in bytes."""

    def unfinished(self) -> dict[str, int]:
        """Names, with the sizes in bytes, of what dead writers left that never became an object."""
        return {}

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
            return read_bytes(self._root / name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._refused(error) from error
        except ValueError as error:
            raise StoreError(f"the store {self.where}: {name} cannot be read ({error})") from None

    def write(self, name: str, data: bytes) -> None:
        self._place(name, data)

    def create(self, name: str, data: bytes) -> bool:
        if self._place(name, data, anew=True):
            return True
        return self.read(name) == data  # a network's file system may have lost the answer to a first try that made it

    def list(self, prefix: str) -> dict[str, int]:
        sizes = {}
        for folder, _, names in os.walk(self._root / prefix, onerror=self._unlisted):
            for name in names:
                path = Path(folder, name)
                try:
                    sizes[path.relative_to(self._root).as_posix()] = path.stat().st_size
                except OSError as error:
                    self._unlisted(error)
        return sizes

    def unfinished(self) -> dict[str, int]:
        sizes = self.list(_TEMPORARY)
        return {name: size for name, size in sizes.items() if is_stale(self._root / name)}

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
        except (FileNotFoundError, NotADirectoryError) as error:
            if Path(error.filename).is_relative_to(self._root):
                return False
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT) or error.filename == str(path):  # of the copy
                raise OSError(error.errno, error.strerror, str(path)) from error
            raise self._refused(error) from error
        return True

    def send(self, path: Path, name: str) -> None:
        self._place(name, path)

    def _place(self, name: str, content: bytes | Path, *, anew: bool = False) -> bool:
        """Write a file beside the objects, flush it, then put it in its place; False where it is not `anew`."""
        temporary = self._root / _TEMPORARY / uuid.uuid4().hex
        try:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                temporary.write_bytes(content)
            else:
                shutil.copyfile(content, temporary)
            sync(temporary)
            return self._put(temporary, self._root / name, anew)
        except OSError as error:
            raise self._refused(error) from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    @staticmethod
    def _put(temporary: Path, target: Path, anew: bool) -> bool:
        for left in reversed(range(_TRIES)):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                if anew and target.exists():
                    return False
                (target.hardlink_to if anew else temporary.replace)(temporary if anew else target)
                break
            except (FileNotFoundError, FileExistsError):  # mkdir may find a folder that is gone when it looks again
                if anew and target.exists():
                    return False
                if not left:
                    raise
        with suppress(FileNotFoundError):  # removed by now
            sync(target.parent)
        return True

    def _unlisted(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise self._refused(error)

    def _refused(self, error: OSError) -> StoreError:
        if error.errno in _NO_LINKS and error.filename2 is not None:
            problem = "its file system makes no hard links, which decide who writes; choose another place with --store"
        else:
            problem = advice(error, self._root)
        return StoreError(f"the store {self.where} refuses: {problem}")
