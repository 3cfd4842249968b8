"""Deletion from a store: a thing is taken out of its place at once, by a rename or with its record, then deleted."""

from __future__ import annotations

import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from outshine.engine.key import KEY
from outshine.engine.store.local_copies import marker
from outshine.engine.store.remote import RemoteStore
from outshine.engine.store.store import Store


class Deleter(ABC):
    """Removes things by the names that plans and listings give them, each while nobody else can have it."""

    @abstractmethod
    def artefact(self, key: str) -> str:
        """The name of an artefact."""

    @abstractmethod
    def take(self, name: str, key: str) -> bool:
        """Take a thing out of its place, the lock of `key` held; False where somebody else holds that.

        After it nothing finds the thing. What costs time may wait for `finish`.
        """

    @abstractmethod
    def is_there(self, name: str) -> bool:
        """Whether a thing is still in its place."""

    @abstractmethod
    def finish(self) -> None:
        """Delete what was taken out."""


def deleter_for(store: Store) -> Deleter:
    """How things are removed from this store."""
    return ObjectDeleter(store) if isinstance(store, RemoteStore) else FolderDeleter(store)


class FolderDeleter(Deleter):
    """Renames into the store's `tmp`, then deletes: if the process dies in between, the next collection does."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rubbish: list[Path] = []

    def artefact(self, key: str) -> str:
        return self._store.path(key).relative_to(self._store.root).as_posix()

    def take(self, name: str, key: str) -> bool:
        path = self._store.root / name
        with self._alone(key) as ours:
            if not ours:
                return False
            with suppress(FileNotFoundError):
                if path.is_dir() and not path.is_symlink():
                    target = self._store.root / "tmp" / f"{key or '0' * 64}-{uuid.uuid4().hex[:8]}"
                    path.rename(target)
                    self._rubbish.append(target)
                else:
                    path.unlink()
        return True

    def is_there(self, name: str) -> bool:
        return (self._store.root / name).exists()

    def finish(self) -> None:
        for path in self._rubbish:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _alone(self, key: str) -> Iterator[bool]:
        """Hold the lock of a key, and leave no lock file where there was none."""
        if not KEY.fullmatch(key):
            yield True
            return
        file = self._store.root / "locks" / f"{key}.lock"
        existed = file.exists()
        with self._store.lock(key, timeout=0) as ours:
            yield ours
            if ours and not existed:
                file.unlink(missing_ok=True)


class ObjectDeleter(Deleter):
    """Removes an artefact's record first, then its files: a process that dies in between leaves an unmarked upload."""

    def __init__(self, store: RemoteStore) -> None:
        self._store = store
        self._objects = store.objects
        self._rubbish: list[str] = []

    def artefact(self, key: str) -> str:
        return f"artefacts/{key}"

    def take(self, name: str, key: str) -> bool:
        if not KEY.fullmatch(key):
            self._remove(name)
            return True
        with self._store.lock(key, timeout=0) as ours:
            if not ours:
                return False
            if name == self.artefact(key):
                self._objects.remove(marker(key))
                self._store.forget(key)
                self._rubbish += self._objects.list(f"files/{key}")  # of now: another may send it again before the end
            else:
                self._remove(name)
        if not self._store.has(key):  # no study needs the key, and none can be recorded now: its leases go too
            self._remove(f"leases/{key}")
        return True

    def is_there(self, name: str) -> bool:
        return bool(self._objects.list(name)) or self._objects.read(name) is not None

    def finish(self) -> None:
        for name in self._rubbish:
            self._objects.remove(name)

    def _remove(self, name: str) -> None:
        """An object, and all below that name."""
        for one in self._objects.list(name):
            self._objects.remove(one)
        self._objects.remove(name)
