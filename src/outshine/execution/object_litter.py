"""What dead processes, damage and finished work leave in a store that is made of objects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from outshine.core.errors import StoreError
from outshine.core.key import KEY
from outshine.core.remote import RemoteStore
from outshine.execution.litter import Litter
from outshine.execution.needs import Needs

Sizes = Mapping[str, int]  # bytes of objects by name


def object_litter(found: Needs, store: RemoteStore) -> list[Litter]:
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
        *(Litter(name, size, "a dead process was writing it") for name, size in store.objects.unfinished().items()),
    ]
    held = store.locked({thing.key for thing in things if thing.key})
    return sorted(thing for thing in things if thing.key not in held)


def _uploads(there: set[str], store: RemoteStore) -> Iterator[Litter]:
    """Files that belong to no artefact and to no commit under way; commits that have nothing left to do."""
    sent = _grouped(store.objects.list("files"), depth=3)
    awaited: set[str] = set()
    for journal, uploads in store.uploads.journals():
        pending = [one for one in uploads or () if f"files/{one.key}/{one.name}" in sent and one.key not in there]
        if pending:
            awaited |= {f"files/{one.key}/{one.name}" for one in pending}
        else:
            why = "a commit that was finished" if uploads is not None else "the list of a commit, damaged"
            yield Litter(journal, store.objects.list("commits").get(journal, 0), why)
    for name, size in sent.items():
        _, key, upload = name.split("/")
        marked = _upload_of(key, store) if key in there else None
        if KEY.fullmatch(key) and name not in awaited and marked != upload:
            yield Litter(name, size, "a dead writer sent it", key)


def _upload_of(key: str, store: RemoteStore) -> str | None:
    """Which upload is the artefact; None where the record cannot be read: nothing of it is of use then."""
    try:
        return str(store.done(key)["upload"])
    except StoreError:
        return None


def _damaged_objects(store: RemoteStore) -> Iterator[Litter]:
    for name, size in _grouped(store.objects.list("damaged"), depth=2).items():
        yield Litter(name, size, "the record of a damaged artefact that was set aside")


def _document_objects(needed: frozenset[str], there: set[str], store: RemoteStore) -> Iterator[Litter]:
    for name, size in store.objects.list("running").items():
        if KEY.fullmatch(_stem(name)):
            yield Litter(name, size, "the process that wrote it is gone", _stem(name))
    for name, size in store.objects.list("failures").items():
        key = _stem(name)
        if KEY.fullmatch(key) and (key not in needed or key in there):
            yield Litter(name, size, "no study waits for its stage", key)


def _leases(needed: frozenset[str], there: set[str], store: RemoteStore) -> Iterator[Litter]:
    """Leases of stages that nobody is to compute; the others keep the count of generations."""
    for name, size in _grouped(store.objects.list("leases"), depth=2).items():
        key = name.split("/")[1]
        if KEY.fullmatch(key) and (key not in needed or key in there):
            yield Litter(name, size, "nobody holds it", key)


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
