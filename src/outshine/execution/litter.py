"""What dead processes, damage and finished work leave in a store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from outshine.core.files import bytes_in, is_unfinished
from outshine.core.key import KEY
from outshine.core.scratch import is_stale, owner_lives
from outshine.core.store import Store
from outshine.execution.needs import Needs

_TEMPORARY = re.compile(r"([0-9a-f]{64})-[0-9a-f]{8}(?:-\d+-[0-9a-f]{8})?")  # by an older version, or with its owner


class Litter(NamedTuple):
    """One thing that can go: a path in the store, why, and the key whose lock protects it."""

    name: str  # relative to the store's root
    bytes: int
    why: str
    key: str = ""


def litter(found: Needs, store: Store) -> list[Litter]:
    """All litter of a store but for what a live process holds, in the order of the names."""
    journals, awaited = _journals(store)
    things = [*_temporaries(store, awaited), *_work(found, store), *_damaged(store), *journals]
    things += [*_documents(found, store), *_locks(found, store), *_unfinished(store)]
    return sorted(thing for thing in things if not (thing.key and store.is_locked(thing.key)))


def _journals(store: Store) -> tuple[list[Litter], set[str]]:
    """Journals of commits with nothing left to do; and the folders in tmp that the others are still to place."""
    done: list[Litter] = []
    awaited: set[str] = set()
    for path, members in store.journals():
        names = {name for _, name in members or ()}
        if members is None:
            done.append(_thing(store, path, "the list of a commit, damaged"))
        elif any((store.root / "tmp" / name).is_dir() for name in names):
            awaited |= names
        else:
            done.append(_thing(store, path, "a commit that was finished"))
    return done, awaited


def _temporaries(store: Store, awaited: set[str]) -> Iterator[Litter]:
    for path in _entries(store.root / "tmp"):
        found = _TEMPORARY.fullmatch(path.name)
        if found and path.name not in awaited and not owner_lives(path):
            yield _thing(store, path, "a dead writer left it", found[1])


def _work(found: Needs, store: Store) -> Iterator[Litter]:
    """Checkpoints. Those of a cohort go by a key of their own, which tells nothing while a study is unfinished."""
    needed, freed = found.keys, found.freed
    idle: bool | None = None
    for path in _entries(store.root / "work"):
        key = path.name
        if not KEY.fullmatch(key):
            continue
        if store.has(key):
            yield _thing(store, path, "its stage is finished", key)
        elif key in freed:
            yield _thing(store, path, "only a forgotten study needs its stage", key)
        elif key not in needed and found.is_known(_changed(path)):
            idle = (found.all_finished(store) and not _anyone_writes(store)) if idle is None else idle
            if idle:
                yield _thing(store, path, "no study needs its stage", key)


def _damaged(store: Store) -> Iterator[Litter]:
    for path in _entries(store.root / "damaged"):
        yield _thing(store, path, "a damaged artefact that was set aside")


def _documents(found: Needs, store: Store) -> Iterator[Litter]:
    needed = found.keys
    for path in _entries(store.root / "running"):
        if path.suffix == ".json" and KEY.fullmatch(path.stem):
            yield _thing(store, path, "the process that wrote it is gone", path.stem)
    for path in _entries(store.root / "failures"):
        if path.suffix == ".json" and KEY.fullmatch(path.stem) and (path.stem not in needed or store.has(path.stem)):
            yield _thing(store, path, "no study waits for its stage", path.stem)


def _locks(found: Needs, store: Store) -> Iterator[Litter]:
    """Lock files of stages that nobody is to compute; the others may be opened at any moment."""
    needed = found.keys
    for path in _entries(store.root / "locks"):
        key = path.stem
        if path.suffix == ".lock" and KEY.fullmatch(key) and (key not in needed or store.has(key)):
            yield _thing(store, path, "nobody holds it", key)


def _unfinished(store: Store) -> Iterator[Litter]:
    """Small files that a process was killed over, a day ago or more: the others may be under way."""
    for folder in (store.root, *(store.root / name for name in ("studies", "running", "failures", "commits"))):
        for path in _entries(folder):
            if is_unfinished(path.name) and path.is_file() and is_stale(path):
                yield _thing(store, path, "a dead process was writing it")


def _changed(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.lstat().st_mtime, UTC)
    except FileNotFoundError:
        return datetime.now(UTC)


def _anyone_writes(store: Store) -> bool:
    return any(store.is_locked(path.stem) for path in _entries(store.root / "locks") if KEY.fullmatch(path.stem))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _thing(store: Store, path: Path, why: str, key: str = "") -> Litter:
    return Litter(path.relative_to(store.root).as_posix(), bytes_in(path), why, key)
