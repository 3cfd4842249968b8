"""Garbage collection: which artefacts a store's recorded studies need, and which none does."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from outshine.engine.checked_reading import ODD, as_date
from outshine.engine.errors import StoreError, advice
from outshine.engine.files import bytes_in, is_stale, is_unfinished, owner_lives
from outshine.engine.key import KEY
from outshine.engine.store.delete import Deleter, deleter_for
from outshine.engine.store.recorded_studies import KIND, Recorded, find_recorded, recorded_studies, studies_held
from outshine.engine.store.remote import RemoteStore
from outshine.engine.store.store import Store


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

    kept: list[Recorded]
    forgotten: list[Recorded]
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
    for one in studies:
        aged = oldest is not None and one.last_ran < oldest
        runs = (one.digest in named or aged) and bool(store.locked(one.keys))
        if runs and one.digest in named:
            raise StoreError(f"study '{one.name}' ({one.short}) is being computed now; stop that first, or wait for it")
        if (one.digest in named or aged) and not runs:
            forgotten.append(one)
    kept = [one for one in studies if one not in forgotten]
    return Roots(kept, forgotten, min((one.first_ran for one in studies), default=None), wish.unrecorded)


def find_orphans(found: Roots, store: Store, max_size: int | None = None) -> tuple[list[Orphan], int, int]:
    """The artefacts that go, oldest first; the bytes of all there are; how many are kept for being unrecorded.

    With `max_size` only as many go as are needed to come down to so many bytes.
    """
    needed, freed = found.keys, found.freed
    total = num_unrecorded = 0
    candidates = []
    for one in _artefacts(store):
        total += one.bytes
        if one.key in needed:
            continue
        if one.key in freed:
            candidates.append(one._replace(why="only a forgotten study needs it"))
        elif found.is_known(one.made):
            candidates.append(one)
        else:
            num_unrecorded += 1
    candidates.sort(key=lambda one: (one.made, one.key))
    if max_size is None:
        return candidates, total, num_unrecorded
    going, left = [], total
    for one in candidates:
        if left <= max_size:
            break
        going.append(one)
        left -= one.bytes
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
            made, label = datetime.fromtimestamp(_has_changed(store.path(key)), UTC), "an artefact that cannot be read"
        yield Orphan(key, label, made, store.size(key), "no study needs it")


def _has_changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


_TEMPORARY = re.compile(r"([0-9a-f]{64})-[0-9a-f]{8}(?:-\d+-[0-9a-f]{8})?")  # by an older version, or with its owner


class Leftover(NamedTuple):
    """One thing that can go: a path in the store, why, and the key whose lock protects it."""

    name: str  # relative to the store's root
    bytes: int
    why: str
    key: str = ""


def find_leftovers(found: Roots, store: Store) -> list[Leftover]:
    """All litter of a store but for what a live process holds, in the order of the names."""
    journals, awaited = _journals(store)
    things = [*_temporaries(store, awaited), *_work(found, store), *_damaged(store), *journals]
    things += [*_documents(found, store), *_locks(found, store), *_unfinished(store)]
    return sorted(thing for thing in things if not (thing.key and store.is_locked(thing.key)))


def _journals(store: Store) -> tuple[list[Leftover], set[str]]:
    """Journals of commits with nothing left to do; and the folders in tmp that the others are still to place."""
    done: list[Leftover] = []
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


def _temporaries(store: Store, awaited: set[str]) -> Iterator[Leftover]:
    for path in _entries(store.root / "tmp"):
        found = _TEMPORARY.fullmatch(path.name)
        if found and path.name not in awaited and not owner_lives(path):
            yield _thing(store, path, "a dead writer left it", found[1])


def _work(found: Roots, store: Store) -> Iterator[Leftover]:
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


def _damaged(store: Store) -> Iterator[Leftover]:
    for path in _entries(store.root / "damaged"):
        yield _thing(store, path, "a damaged artefact that was set aside")


def _documents(found: Roots, store: Store) -> Iterator[Leftover]:
    needed = found.keys
    for path in _entries(store.root / "running"):
        if path.suffix == ".json" and KEY.fullmatch(path.stem):
            yield _thing(store, path, "the process that wrote it is gone", path.stem)
    for path in _entries(store.root / "failures"):
        if path.suffix == ".json" and KEY.fullmatch(path.stem) and (path.stem not in needed or store.has(path.stem)):
            yield _thing(store, path, "no study waits for its stage", path.stem)


def _locks(found: Roots, store: Store) -> Iterator[Leftover]:
    """Lock files of stages that nobody is to compute; the others may be opened at any moment."""
    needed = found.keys
    for path in _entries(store.root / "locks"):
        key = path.stem
        if path.suffix == ".lock" and KEY.fullmatch(key) and (key not in needed or store.has(key)):
            yield _thing(store, path, "nobody holds it", key)


def _unfinished(store: Store) -> Iterator[Leftover]:
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


def _thing(store: Store, path: Path, why: str, key: str = "") -> Leftover:
    return Leftover(path.relative_to(store.root).as_posix(), bytes_in(path), why, key)


Sizes = Mapping[str, int]  # bytes of objects by name


def find_object_leftovers(found: Roots, store: RemoteStore) -> list[Leftover]:
    """All litter of a store below a URL but for what a live process holds, in the order of the names.

    The folder of local copies is not looked at: it may be deleted whenever nothing runs.
    """
    needed, there = found.keys, set(store.keys())
    store.look_ahead([*there])
    things = [
        *_uploads(there, store),
        *_damaged_objects(store),
        *_document_objects(needed, there, store),
        *_leases(needed, there, store),
        *(Leftover(name, size, "a dead process was writing it") for name, size in store.objects.unfinished().items()),
    ]
    held = store.locked({thing.key for thing in things if thing.key})
    return sorted(thing for thing in things if thing.key not in held)


def _uploads(there: set[str], store: RemoteStore) -> Iterator[Leftover]:
    """Files that belong to no artefact and to no commit under way; commits that have nothing left to do."""
    sent = _grouped(store.objects.list("files"), depth=3)
    awaited: set[str] = set()
    for journal, uploads in store.uploads.journals():
        pending = [one for one in uploads or () if f"files/{one.key}/{one.name}" in sent and one.key not in there]
        if pending:
            awaited |= {f"files/{one.key}/{one.name}" for one in pending}
        else:
            why = "a commit that was finished" if uploads is not None else "the list of a commit, damaged"
            yield Leftover(journal, store.objects.list("commits").get(journal, 0), why)
    for name, size in sent.items():
        _, key, upload = name.split("/")
        marked = _upload_of(key, store) if key in there else None
        if KEY.fullmatch(key) and name not in awaited and marked != upload:
            yield Leftover(name, size, "a dead writer sent it", key)


def _upload_of(key: str, store: RemoteStore) -> str | None:
    """Which upload is the artefact; None where the record cannot be read: nothing of it is of use then."""
    try:
        return str(store.done(key)["upload"])
    except StoreError:
        return None


def _damaged_objects(store: RemoteStore) -> Iterator[Leftover]:
    for name, size in _grouped(store.objects.list("damaged"), depth=2).items():
        yield Leftover(name, size, "the record of a damaged artefact that was set aside")


def _document_objects(needed: frozenset[str], there: set[str], store: RemoteStore) -> Iterator[Leftover]:
    for name, size in store.objects.list("running").items():
        if KEY.fullmatch(_stem(name)):
            yield Leftover(name, size, "the process that wrote it is gone", _stem(name))
    for name, size in store.objects.list("failures").items():
        key = _stem(name)
        if KEY.fullmatch(key) and (key not in needed or key in there):
            yield Leftover(name, size, "no study waits for its stage", key)


def _leases(needed: frozenset[str], there: set[str], store: RemoteStore) -> Iterator[Leftover]:
    """Leases of stages that nobody is to compute; the others keep the count of generations."""
    for name, size in _grouped(store.objects.list("leases"), depth=2).items():
        key = name.split("/")[1]
        if KEY.fullmatch(key) and (key not in needed or key in there):
            yield Leftover(name, size, "nobody holds it", key)


def _grouped(sizes: Sizes, depth: int) -> dict[str, int]:
    """Bytes below each name of so many parts."""
    found: dict[str, int] = defaultdict(int)
    for name, size in sizes.items():
        parts = name.split("/")
        if len(parts) > depth:
            found["/".join(parts[:depth])] += size
    return dict(found)


def _stem(name: str) -> str:
    return name.rsplit("/", 1)[-1].removesuffix(".json")


class GcPlan(NamedTuple):
    """What goes: studies that are forgotten, artefacts, leftovers. And what is known of the rest."""

    forgotten: list[Recorded]
    artefacts: list[Orphan]
    leftovers: list[Leftover]
    num_held: int  # artefacts that would go, had a live process not their locks
    num_unrecorded: int  # artefacts that no recorded study needs, kept since they are older than any record
    bytes_before: int  # of all artefacts
    roots: Roots

    @property
    def num_bytes(self) -> int:
        """The bytes that go."""
        return sum(one.bytes for one in self.artefacts) + sum(one.bytes for one in self.leftovers)

    @property
    def bytes_after(self) -> int:
        """The bytes of the artefacts that stay."""
        return self.bytes_before - sum(one.bytes for one in self.artefacts)


def plan_gc(wish: GcOptions, store: Store) -> GcPlan:
    """What `wish` removes from the store as it is now. Changes nothing.

    Raises StoreError where the store cannot be written: nobody can tell there what live processes hold.
    """
    if not isinstance(store, RemoteStore) and store.root.is_dir() and not os.access(store.root, os.W_OK):
        raise StoreError(f"the store {store.root} cannot be written, so nothing can be removed from it")
    with store.told("read"):
        return _plan(wish, store)


def _plan(wish: GcOptions, store: Store) -> GcPlan:
    found = find_roots(wish, store)
    candidates, total, num_unrecorded = find_orphans(found, store, wish.max_size)
    held = store.locked({one.key for one in candidates})
    artefacts = [one for one in candidates if one.key not in held]
    num_held = len(candidates) - len(artefacts)
    return GcPlan(found.forgotten, artefacts, _find_leftovers(found, store), num_held, num_unrecorded, total, found)


def run_gc(plan: GcPlan, store: Store) -> list[str]:
    """Remove what the plan says; what is needed or held by now stays, and its names are returned.

    No study can be recorded while artefacts are moved out, so that none comes to rely on one that goes. An artefact
    disappears at once; if the process dies then, what is left is litter of the next sweep.
    """
    if not (plan.forgotten or plan.artefacts or plan.leftovers):
        return []
    removing = deleter_for(store)
    try:
        with studies_held(store):
            left = _move_all_out(plan, store, removing)
    except OSError as error:
        raise StoreError(
            f"cannot remove from the store {store.where}: {advice(error, store.root)}; what is removed so far is gone"
        ) from error
    finally:
        removing.finish()
    return [name for name in left if removing.is_there(name)]


def _find_leftovers(found: Roots, store: Store) -> list[Leftover]:
    return find_object_leftovers(found, store) if isinstance(store, RemoteStore) else find_leftovers(found, store)


def _move_all_out(plan: GcPlan, store: Store, removing: Deleter) -> list[str]:
    """With `studies_held`. What stays. Studies are forgotten last: a sweep that dies before can be asked for again."""
    forgotten = {one.digest: one.last_ran for one in plan.forgotten}
    kept = [one for one in recorded_studies(store) if forgotten.get(one.digest) != one.last_ran]  # ran again meanwhile
    now = plan.roots._replace(kept=kept)
    needed = now.keys
    left = [
        removing.artefact(one.key)
        for one in plan.artefacts
        if one.key in needed or not removing.take(removing.artefact(one.key), one.key)
    ]
    still = {thing.name for thing in _find_leftovers(now, store)}
    left += [
        thing.name for thing in plan.leftovers if thing.name not in still or not removing.take(thing.name, thing.key)
    ]
    for digest in forgotten.keys() - {one.digest for one in kept}:
        store.documents(KIND).remove(digest)
    return left
