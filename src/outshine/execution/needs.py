"""Which artefacts a store's recorded studies need, and which nobody does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from outshine.core.errors import StoreError
from outshine.core.reading import ODD, as_date
from outshine.core.store import Store
from outshine.execution.recorded import Recorded, find_recorded, recorded_studies


class Wish(NamedTuple):
    """What is asked of `outshine gc`. By default only what no recorded study needs goes, and litter."""

    forget: tuple[str, ...] = ()  # studies, by name or digest
    older_than: timedelta | None = None  # forget studies that last ran longer ago
    max_size: int | None = None  # bytes of artefacts: remove only as many as are too many
    unrecorded: bool = False  # also what was made before the store recorded studies


class Needs(NamedTuple):
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


class Unneeded(NamedTuple):
    """An artefact that no kept study needs."""

    key: str
    label: str
    made: datetime
    bytes: int
    why: str


def needs(wish: Wish, store: Store) -> Needs:
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
    return Needs(kept, forgotten, min((one.first_ran for one in studies), default=None), wish.unrecorded)


def unneeded(found: Needs, store: Store, max_size: int | None = None) -> tuple[list[Unneeded], int, int]:
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


def _artefacts(store: Store) -> Iterator[Unneeded]:
    """Every artefact as DONE.json describes it; the index is not asked, for this is about deleting."""
    keys = store.keys()
    store.look_ahead(keys)
    for key in keys:
        try:
            record = store.done(key)
            made, label = as_date(record["made"]["at"]), str(record["label"])
        except (StoreError, *ODD):
            made, label = datetime.fromtimestamp(_has_changed(store.path(key)), UTC), "an artefact that cannot be read"
        yield Unneeded(key, label, made, store.size(key), "no study needs it")


def _has_changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
