"""Garbage collection: what goes is first written down as a plan, then removed if that still holds."""

from __future__ import annotations

import os
from typing import NamedTuple

from outshine.core.errors import StoreError
from outshine.core.refusals import advice
from outshine.core.remote import RemoteStore
from outshine.core.store import Store
from outshine.execution.litter import Litter, litter
from outshine.execution.needs import Needs, Unneeded, Wish, needs, unneeded
from outshine.execution.object_litter import object_litter
from outshine.execution.recorded import KIND, Recorded, recorded_studies, studies_held
from outshine.execution.removal import Removal, removal


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
    if not isinstance(store, RemoteStore) and store.root.is_dir() and not os.access(store.root, os.W_OK):
        raise StoreError(f"the store {store.root} cannot be written, so nothing can be removed from it")
    with store.told("read"):
        return _plan(wish, store)


def _plan(wish: Wish, store: Store) -> Plan:
    found = needs(wish, store)
    candidates, total, num_unrecorded = unneeded(found, store, wish.max_size)
    held = store.locked({one.key for one in candidates})
    artefacts = [one for one in candidates if one.key not in held]
    num_held = len(candidates) - len(artefacts)
    return Plan(found.forgotten, artefacts, _litter(found, store), num_held, num_unrecorded, total, found)


def sweep(plan: Plan, store: Store) -> list[str]:
    """Remove what the plan says; what is needed or held by now stays, and its names are returned.

    No study can be recorded while artefacts are moved out, so that none comes to rely on one that goes. An artefact
    disappears at once; if the process dies then, what is left is litter of the next sweep.
    """
    if not (plan.forgotten or plan.artefacts or plan.litter):
        return []
    removing = removal(store)
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


def _litter(found: Needs, store: Store) -> list[Litter]:
    return object_litter(found, store) if isinstance(store, RemoteStore) else litter(found, store)


def _move_all_out(plan: Plan, store: Store, removing: Removal) -> list[str]:
    """With `studies_held`. What stays. Studies are forgotten last: a sweep that dies before can be asked for again."""
    forgotten = {one.digest: one.last_ran for one in plan.forgotten}
    kept = [one for one in recorded_studies(store) if forgotten.get(one.digest) != one.last_ran]  # ran again meanwhile
    now = plan.needs._replace(kept=kept)
    needed = now.keys
    left = [
        removing.artefact(one.key)
        for one in plan.artefacts
        if one.key in needed or not removing.take(removing.artefact(one.key), one.key)
    ]
    still = {thing.name for thing in _litter(now, store)}
    left += [thing.name for thing in plan.litter if thing.name not in still or not removing.take(thing.name, thing.key)]
    for digest in forgotten.keys() - {one.digest for one in kept}:
        store.documents(KIND).remove(digest)
    return left
