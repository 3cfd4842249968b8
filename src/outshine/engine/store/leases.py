"""Leases on the keys of a store that several hosts share, where a lock file would outlive its holder.

leases/<key>/<generation>.json   {"holder": …, "beat": …, "ttl": …, "released": …}

The highest generation counts. Its holder rewrites it with a growing beat. Whoever wants the key creates the next
generation, which of several who try one alone can, once the highest is released or its beat stood still for the time
to live. That is judged by the watcher's own monotonic clock: no wall clock is read, and none of two hosts compared.
"""

from __future__ import annotations

import json
import os
import platform
import re
import time
import uuid
from collections.abc import Collection
from threading import Event, Thread
from typing import Any, NamedTuple

from outshine.engine.errors import StoreError
from outshine.engine.store.documents import parse_document
from outshine.engine.store.objects import Objects

TIME_TO_LIVE = 60.0  # seconds that a beat may stand still
_BEATS = 5  # in a time to live
_LONGEST_POLL = 2.0  # seconds
_GENERATION = re.compile(r".*/[0-9]{1,200}\.json", re.DOTALL)
_LONGEST_TIME_TO_LIVE = 24 * 3600.0  # seconds: what says more is damaged, and would be waited for in vain


class Lease:
    """One held generation of a key, kept alive by a thread of its own until it is released or lost."""

    def __init__(self, objects: Objects, folder: str, generation: int, time_to_live: float) -> None:
        self.generation = generation
        self.name = f"{folder}/{generation:08d}.json"
        self._objects = objects
        self._folder = folder
        self._ttl = time_to_live
        self._holder = uuid.uuid4().hex
        self._beat = 0
        self._stop = Event()
        self._thread = Thread(target=self._keep_alive, name=f"lease {folder}", daemon=True)

    def take(self) -> bool:
        """Create the generation; False where another has it, or a higher one."""
        if not self._objects.create(self.name, self._text()):
            return False
        names = _generations(self._objects, self._folder)
        if names[-1:] != [self.name]:  # what the caller saw was old: generations below the highest are removed
            self._objects.remove(self.name)
            return False
        for lower in names[:-1]:
            self._objects.remove(lower)
        self._thread.start()
        return True

    def is_held(self) -> bool:
        """Whether this is the highest generation still. Asks the store."""
        names = _generations(self._objects, self._folder)
        return bool(names) and names[-1] == self.name and self._is_own()

    def release(self, *, forget: bool) -> None:
        """Let the next one in. With `forget` nothing is left; else a small object keeps the count of generations."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if not self._is_own():
            return
        if forget:
            self._objects.remove(self.name)
        else:
            self._objects.write(self.name, self._text(released=True))

    def _keep_alive(self) -> None:
        while not self._stop.wait(self._ttl / _BEATS):
            try:
                if not self._is_own():  # removed by a higher generation: to write it again would raise the dead
                    return
                self._beat += 1
                self._objects.write(self.name, self._text())
            except StoreError:  # the next beat may get through; whether it came too late is asked at the commit
                continue

    def _is_own(self) -> bool:
        lease = parse_document(self._objects.read(self.name))
        return lease is not None and lease.get("holder") == self._holder

    def _text(self, *, released: bool = False) -> bytes:
        seen = {"holder": self._holder, "beat": self._beat, "ttl": self._ttl, "released": released}
        return json.dumps({**seen, "host": platform.node(), "process": os.getpid()}).encode()


class _Seen(NamedTuple):
    """What a watcher saw last of a key's highest generation, and since when it has not changed."""

    name: str
    text: bytes | None
    since: float  # of this process's monotonic clock


class Leases:
    """The leases of a store as one process sees them."""

    def __init__(self, objects: Objects, time_to_live: float = TIME_TO_LIVE) -> None:
        self._objects = objects
        self.time_to_live = time_to_live
        self._seen: dict[str, _Seen] = {}

    def acquire(self, key: str, timeout: float) -> Lease | None:
        """The lease of a key; None where it is not to be had within `timeout` seconds (negative: wait for it)."""
        end = time.monotonic() + timeout
        while True:
            free = self._next_generation(key)
            if free is not None:
                lease = Lease(self._objects, _folder(key), free, self.time_to_live)
                if lease.take():
                    self._seen.pop(key, None)
                    return lease
            left = end - time.monotonic()
            if timeout >= 0 and left <= 0:
                return None
            poll = min(self.time_to_live / _BEATS, _LONGEST_POLL)
            time.sleep(poll if timeout < 0 else min(poll, left))

    def is_taken(self, key: str) -> bool:
        """Whether a lease is there that was not released. A dead holder's shows too, until another takes it over."""
        names = _generations(self._objects, _folder(key))
        lease = parse_document(self._objects.read(names[-1])) if names else None
        return lease is not None and not lease.get("released")

    def taken(self, keys: Collection[str]) -> set[str]:
        """Those of the keys whose leases are out and were not seen to stand still for their time to live."""
        listed = {name.split("/")[1] for name in self._objects.list("leases")}
        return {key for key in keys if key in listed and self._next_generation(key) is None}

    def _next_generation(self, key: str) -> int | None:
        """The generation to create; None while another holds the key, or may."""
        names = _generations(self._objects, _folder(key))
        if not names:
            return 1
        highest = names[-1]
        text = self._objects.read(highest)
        lease = parse_document(text) or {}
        if lease.get("released") or self._stood_still(key, highest, text, lease):
            return _number(highest) + 1
        return None

    def _stood_still(self, key: str, name: str, text: bytes | None, lease: dict[str, Any]) -> bool:
        now, seen = time.monotonic(), self._seen.get(key)
        if seen is None or (seen.name, seen.text) != (name, text):
            self._seen[key] = _Seen(name, text, now)
            return False
        ttl = lease.get("ttl")
        if not isinstance(ttl, int | float) or not 0 < ttl <= _LONGEST_TIME_TO_LIVE:
            ttl = self.time_to_live
        return now - seen.since >= ttl


def _folder(key: str) -> str:
    return f"leases/{key}"


def _generations(objects: Objects, folder: str) -> list[str]:
    """The names of a key's generations, the highest last."""
    return sorted((name for name in objects.list(folder) if _GENERATION.fullmatch(name)), key=_number)


def _number(name: str) -> int:
    return int(name.rsplit("/", 1)[1].removesuffix(".json"))
