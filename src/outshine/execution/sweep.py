"""Garbage collection: what goes is first written down as a plan, then removed if that still holds."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from outshine.core.errors import StoreError
from outshine.core.shelves import KEY
from outshine.core.store import Store
from outshine.execution.litter import Litter, litter
from outshine.execution.needs import Needs, Unneeded, Wish, needs, unneeded
from outshine.execution.recorded import KIND, Recorded, recorded_studies, studies_held


class Plan(NamedTuple):
    """What goes: studies that are forgotten, artefacts, litter. And what is known of the rest."""

    forgotten: list[Recorded]
    artefacts: list[Unneeded]
    litter: list[Litter]
    num_held: int  # artefacts that would go, had a live process not their locks
    num_unrecorded: int  # artefacts that no recorded study needs, kept since they are older than any record
    bytes_before: int  # of all artefacts
    needs: Needs

    @property
    def num_bytes(self) -> int:
        """The bytes that go."""
        return sum(one.bytes for one in self.artefacts) + sum(one.bytes for one in self.litter)

    @property
    def bytes_after(self) -> int:
        """The bytes of the artefacts that stay."""
        return self.bytes_before - sum(one.bytes for one in self.artefacts)


def plan_sweep(wish: Wish, store: Store) -> Plan:
    """What `wish` removes from the store as it is now. Changes nothing.

    Raises StoreError where the store cannot be written: nobody can tell there what live processes hold.
    """
    if store.address != str(store.root):
        raise StoreError(f"the store {store.where} is no folder: gc cannot tell there what others are about to write")
    if store.root.is_dir() and not os.access(store.root, os.W_OK):
        raise StoreError(f"the store {store.root} cannot be written, so nothing can be removed from it")
    found = needs(wish, store)
    candidates, total, num_unrecorded = unneeded(found, store, wish.max_size)
    artefacts = [one for one in candidates if not store.is_locked(one.key)]
    num_held = len(candidates) - len(artefacts)
    return Plan(found.forgotten, artefacts, litter(found, store), num_held, num_unrecorded, total, found)


def sweep(plan: Plan, store: Store) -> list[str]:
    """Remove what the plan says; what is needed or held by now stays, and its names are returned.

    No study can be recorded while artefacts are moved out, so that none comes to rely on one that goes. An artefact
    disappears in one rename; if the process dies then, what is left is litter of the next sweep.
    """
    if not (plan.forgotten or plan.artefacts or plan.litter):
        return []
    left: list[str] = []
    rubbish: list[Path] = []
    try:
        with studies_held(store):
            _move_all_out(plan, store, left, rubbish)
    except OSError as error:
        raise StoreError(
            f"cannot remove from the store {store.root}: {error}; what is removed so far is gone"
        ) from error
    finally:
        for path in rubbish:
            shutil.rmtree(path, ignore_errors=True)
    return [name for name in left if (store.root / name).exists()]


def _move_all_out(plan: Plan, store: Store, left: list[str], rubbish: list[Path]) -> None:
    """With `studies_held`. Studies are forgotten last: a sweep that dies before can be asked for again."""
    forgotten = {one.digest: one.last_ran for one in plan.forgotten}
    kept = [one for one in recorded_studies(store) if forgotten.get(one.digest) != one.last_ran]  # ran again meanwhile
    now = plan.needs._replace(kept=kept)
    needed = now.keys
    for one in plan.artefacts:
        path = store.path(one.key)
        if one.key in needed or not _move_out(store, path, one.key, rubbish):
            left.append(path.relative_to(store.root).as_posix())
    still = {thing.name for thing in litter(now, store)}
    left += [
        thing.name
        for thing in plan.litter
        if thing.name not in still or not _move_out(store, store.root / thing.name, thing.key, rubbish)
    ]
    for digest in forgotten.keys() - {one.digest for one in kept}:
        store.documents(KIND).remove(digest)


def _move_out(store: Store, path: Path, key: str, rubbish: list[Path]) -> bool:
    """Take one thing out of its place while nobody else can have it. False where somebody has it."""
    with _alone(store, key) as ours:
        if not ours:
            return False
        with suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink():
                target = store.root / "tmp" / f"{key or '0' * 64}-{uuid.uuid4().hex[:8]}"
                path.rename(target)
                rubbish.append(target)
            else:
                path.unlink()
    return True


@contextmanager
def _alone(store: Store, key: str) -> Iterator[bool]:
    """Hold the lock of a key, and leave no lock file where there was none."""
    if not KEY.fullmatch(key):
        yield True
        return
    file = store.root / "locks" / f"{key}.lock"
    existed = file.exists()
    with store.lock(key, timeout=0) as ours:
        yield ours
        if ours and not existed:
            file.unlink(missing_ok=True)
