"""Garbage collection: which artefacts a store's recorded studies need, and which none does."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from outshine.engine.checked_reading import ODD, as_date
from outshine.engine.errors import StoreError, advice
from outshine.engine.key import KEY
from outshine.engine.store.backend import Leftover
from outshine.engine.store.recorded_studies import KIND, RecordedStudy, find_recorded, recorded_studies, studies_held
from outshine.engine.store.store import Store

Sizes = Mapping[str, int]  # bytes by the names of what is in the store


class GcOptions(NamedTuple):
    """What `outshine gc` is asked for. By default only what no recorded study needs goes, and leftovers."""

    forget: tuple[str, ...] = ()  # studies, by name or digest
    older_than: timedelta | None = None  # forget studies that last ran longer ago
    max_size: int | None = None  # bytes of artefacts: remove only as many as are too many
    unrecorded: bool = False  # also what was made before the store recorded studies


class Roots(NamedTuple):
    """Studies that are kept and studies that are to be forgotten.

    A store that was written by an outshine that recorded no studies holds artefacts of which nobody knows whether
    they are needed. They were made before `since`; they are kept unless the wish says `unrecorded`.
    """

    kept: list[RecordedStudy]
    forgotten: list[RecordedStudy]
    since: datetime | None  # the first time that any of these studies ran; None where none is recorded
    unrecorded: bool

    @property
    def keys(self) -> frozenset[str]:
        """What the kept studies need."""
        return frozenset().union(*(study.keys for study in self.kept))

    @property
    def freed(self) -> frozenset[str]:
        """What only the forgotten studies need."""
        return frozenset().union(*(study.keys for study in self.forgotten)) - self.keys

    def is_known(self, made: datetime) -> bool:
        """Whether the study that needed a thing made then would have been recorded."""
        return self.unrecorded or (self.since is not None and made >= self.since)

    def all_finished(self, store: Store) -> bool:
        """Whether the kept studies lack nothing, so that none has use for half-done work."""
        return all(study.expanded for study in self.kept) and all(store.has(key) for key in self.keys)


class Orphan(NamedTuple):
    """An artefact that no kept study needs."""

    key: str
    label: str
    made: datetime
    bytes: int
    why: str


def find_roots(wish: GcOptions, store: Store) -> Roots:
    """The recorded studies by what becomes of them. Raises OutshineError for an unknown study or unreadable record."""
    studies = recorded_studies(store)
    named = {find_recorded(name, store).digest for name in wish.forget}
    oldest = datetime.now(UTC) - wish.older_than if wish.older_than is not None else None
    forgotten = []
    for study in studies:
        aged = oldest is not None and study.last_ran < oldest
        runs = (study.digest in named or aged) and bool(store.locked(study.keys))
        if runs and study.digest in named:
            raise StoreError(
                f"study '{study.name}' ({study.short}) is being computed now; stop that first, or wait for it"
            )
        if (study.digest in named or aged) and not runs:
            forgotten.append(study)
    kept = [study for study in studies if study not in forgotten]
    return Roots(kept, forgotten, min((study.first_ran for study in studies), default=None), wish.unrecorded)


def find_orphans(roots: Roots, store: Store, max_size: int | None = None) -> tuple[list[Orphan], int, int]:
    """The artefacts that go, oldest first; the bytes of all there are; how many are kept for being unrecorded.

    With `max_size` only as many go as are needed to come down to so many bytes.
    """
    needed, freed = roots.keys, roots.freed
    total = num_unrecorded = 0
    candidates = []
    for orphan in _artefacts(store):
        total += orphan.bytes
        if orphan.key in needed:
            continue
        if orphan.key in freed:
            candidates.append(orphan._replace(why="only a forgotten study needs it"))
        elif roots.is_known(orphan.made):
            candidates.append(orphan)
        else:
            num_unrecorded += 1
    candidates.sort(key=lambda orphan: (orphan.made, orphan.key))
    if max_size is None:
        return candidates, total, num_unrecorded
    going, left = [], total
    for orphan in candidates:
        if left <= max_size:
            break
        going.append(orphan)
        left -= orphan.bytes
    return going, total, num_unrecorded


def _artefacts(store: Store) -> Iterator[Orphan]:
    """Every artefact as DONE.json describes it; the index is not asked, for this is about deleting."""
    keys = store.keys()
    store.look_ahead(keys)
    for key in keys:
        try:
            record = store.done(key)
            made, label = as_date(record["made"]["at"]), str(record["label"])
        except (StoreError, *ODD):
            made, label = _changed(store.path(key), datetime.fromtimestamp(0, UTC)), "an artefact that cannot be read"
        yield Orphan(key, label, made, store.size(key), "no study needs it")


def find_leftovers(roots: Roots, store: Store) -> list[Leftover]:
    """All that can go beside artefacts but for what a live process holds, in the order of the names."""
    backend = store.backend
    folders = {name: backend.list(name) for name in ("work", "damaged", "running", "failures", backend.locks)}
    keys = {_key_in(name) for names in folders.values() for name in names}
    finished = keys - {""} - set(store.lacking(sorted(keys - {""})))
    things = [
        *_commits(store),
        *(Leftover(name, size, backend.why_damaged) for name, size in folders["damaged"].items()),
        *(Leftover(name, size, "a dead process was writing it") for name, size in backend.unfinished().items()),
        *_work(folders["work"], roots, finished, store),
        *_documents(folders, roots, finished),
        *_locks(folders[backend.locks], roots, finished),
    ]
    held = store.locked({thing.key for thing in things if thing.key})
    return sorted(thing for thing in things if thing.key not in held)


def _key_in(name: str) -> str:
    """The key that the last part of a name begins with, before the ending; empty where it is none."""
    stem = name.rsplit("/", 1)[-1].removesuffix(".json").removesuffix(".lock")
    return stem if KEY.fullmatch(stem) else ""


def _commits(store: Store) -> Iterator[Leftover]:
    """Find lists of commits with nothing left to do, and what dead writers sent that no other list speaks of."""
    awaited: set[str] = set()
    sizes = store.backend.list("commits")
    for journal, members in store.backend.journals():
        sent = {store.backend.name_of_pending(pending) for pending in members or () if not store.has(pending.key)}
        waiting = {name for name in sent if store.backend.is_there(name)}
        awaited |= waiting
        if not waiting:
            why = "a commit that was finished" if members is not None else "the list of a commit, damaged"
            yield Leftover(journal, sizes.get(journal, 0), why)
    for thing in store.backend.abandoned():
        if thing.name not in awaited:
            yield thing


def _work(names: Sizes, roots: Roots, finished: Collection[str], store: Store) -> Iterator[Leftover]:
    """Checkpoints. Those of a cohort go by a key of their own, which tells nothing while a study is unfinished."""
    needed, freed = roots.keys, roots.freed
    is_idle: bool | None = None
    for name, size in names.items():
        key = name.rsplit("/", 1)[-1]
        if not KEY.fullmatch(key):
            continue
        if key in finished:
            yield Leftover(name, size, "its stage is finished", key)
        elif key in freed:
            yield Leftover(name, size, "only a forgotten study needs its stage", key)
        elif key not in needed and roots.is_known(_changed(store.root / name, datetime.now(UTC))):
            if is_idle is None:
                is_idle = roots.all_finished(store) and not _anyone_writes(store)
            if is_idle:
                yield Leftover(name, size, "no study needs its stage", key)


def _documents(folders: Mapping[str, Sizes], roots: Roots, finished: Collection[str]) -> Iterator[Leftover]:
    needed = roots.keys
    for name, size in folders["running"].items():
        if name.endswith(".json") and (key := _key_in(name)):
            yield Leftover(name, size, "the process that wrote it is gone", key)
    for name, size in folders["failures"].items():
        if name.endswith(".json") and (key := _key_in(name)) and (key not in needed or key in finished):
            yield Leftover(name, size, "no study waits for its stage", key)


def _locks(names: Sizes, roots: Roots, finished: Collection[str]) -> Iterator[Leftover]:
    """Locks of stages that nobody is to compute; the others may be taken at any moment."""
    needed = roots.keys
    for name, size in names.items():
        if (key := _key_in(name)) and (key not in needed or key in finished):
            yield Leftover(name, size, "nobody holds it", key)


def _changed(path: Path, if_gone: datetime) -> datetime:
    try:
        return datetime.fromtimestamp(path.lstat().st_mtime, UTC)
    except FileNotFoundError:
        return if_gone


def _anyone_writes(store: Store) -> bool:
    return bool(store.locked({_key_in(name) for name in store.backend.list(store.backend.locks)} - {""}))


class GcPlan(NamedTuple):
    """What goes: studies that are forgotten, artefacts, leftovers. And what is known of the rest."""

    forgotten: list[RecordedStudy]
    artefacts: list[Orphan]
    leftovers: list[Leftover]
    num_held: int  # artefacts that would go, had a live process not their locks
    num_unrecorded: int  # artefacts that no recorded study needs, kept since they are older than any record
    bytes_before: int  # of all artefacts
    roots: Roots

    @property
    def num_bytes(self) -> int:
        """The bytes that go."""
        return sum(artefact.bytes for artefact in self.artefacts) + sum(leftover.bytes for leftover in self.leftovers)

    @property
    def bytes_after(self) -> int:
        """The bytes of the artefacts that stay."""
        return self.bytes_before - sum(artefact.bytes for artefact in self.artefacts)


def plan_gc(wish: GcOptions, store: Store) -> GcPlan:
    """What `wish` removes from the store as it is now. Changes nothing.

    Raises StoreError where the store cannot be written: nobody can tell there what live processes hold.
    """
    if store.root.is_dir() and not os.access(store.root, os.W_OK):
        raise StoreError(f"{store.backend.described} cannot be written, so nothing can be removed from it")
    with store.backend.reading():
        return _plan(wish, store)


def _plan(wish: GcOptions, store: Store) -> GcPlan:
    roots = find_roots(wish, store)
    candidates, total, num_unrecorded = find_orphans(roots, store, wish.max_size)
    held = store.locked({orphan.key for orphan in candidates})
    artefacts = [orphan for orphan in candidates if orphan.key not in held]
    num_held = len(candidates) - len(artefacts)
    return GcPlan(roots.forgotten, artefacts, find_leftovers(roots, store), num_held, num_unrecorded, total, roots)


def run_gc(plan: GcPlan, store: Store) -> list[str]:
    """Remove what the plan says; what is needed or held by now stays, and its names are returned.

    No study can be recorded while artefacts are moved out, so that none comes to rely on one that goes. An artefact
    disappears at once; if the process dies then, what is left is a leftover for the next collection.
    """
    if not (plan.forgotten or plan.artefacts or plan.leftovers):
        return []
    moved_out: list[str] = []
    try:
        with studies_held(store):
            left = _move_all_out(plan, store, moved_out)
    except OSError as error:
        raise StoreError(
            f"cannot remove from the store {store.where}: {advice(error, store.root)}; what is removed so far is gone"
        ) from error
    finally:
        for name in moved_out:
            store.backend.remove(name)
    return [name for name in left if store.backend.is_there(name)]


def _move_all_out(plan: GcPlan, store: Store, moved_out: list[str]) -> list[str]:
    """With `studies_held`. What stays; what can be removed afterwards is added to `moved_out`.

    Studies are forgotten last: a collection that dies before can be asked for again.
    """
    forgotten = {study.digest: study.last_ran for study in plan.forgotten}
    kept = [study for study in recorded_studies(store) if forgotten.get(study.digest) != study.last_ran]  # ran again
    now = plan.roots._replace(kept=kept)
    needed = now.keys
    artefacts = {store.backend.name_of(orphan.key): orphan.key for orphan in plan.artefacts}
    left = [name for name, key in artefacts.items() if key in needed or not move_out(name, key, store, moved_out)]
    still = {thing.name for thing in find_leftovers(now, store)}
    left += [
        thing.name
        for thing in plan.leftovers
        if thing.name not in still or not move_out(thing.name, thing.key, store, moved_out)
    ]
    for digest in forgotten.keys() - {study.digest for study in kept}:
        store.documents(KIND).remove(digest)
    return left


def move_out(name: str, key: str, store: Store, moved_out: list[str]) -> bool:
    """Take a thing out of its place, the lock of its key held if it has one; False where another holds that."""
    if not key:
        moved_out += store.backend.take_out(name, key)
        return True
    with store.backend.lock(key, timeout=0, leave_nothing=True) as ours:
        if ours:
            moved_out += store.backend.take_out(name, key)
        return ours
