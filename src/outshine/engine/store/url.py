"""A store below a URL: commits by creating one object, locks by leases; local copies of what was read.

<url>/STORE.json                     the format's version
<url>/artefacts/<key>/DONE.json      one finished stage: it exists if and only if this object does
<url>/files/<key>/<upload>/…         its files, from one upload; DONE.json names which
<url>/commits/<id>.json              records of a commit of several artefacts that is under way
<url>/leases/<key>/<generation>.json one writer a key (`outshine.engine.store.leases`)
<url>/damaged/<key>-<id>/DONE.json   records of artefacts that failed verification
<url>/running, failures, studies     small documents

There is no rename. Files go up first, under a name that no other writer uses, and DONE.json last, where none is: of
two who finish the same stage one creates it, and what a writer that was thought dead still sends lands where nobody
looks. So leases save work, and artefacts are whole without them. No operating system frees the lock of a dead host: a
lease that stands still for its time to live is taken over, and its holder may find at the commit that it lost it.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outshine.engine.checked_reading import parse_json
from outshine.engine.errors import StoreError
from outshine.engine.files import absolute_path, remove_of_dead
from outshine.engine.key import KEY
from outshine.engine.store.backend import Backend, Leftover, Pending, Record
from outshine.engine.store.buckets import open_objects
from outshine.engine.store.leases import Lease, Leases
from outshine.engine.store.local_copies import LocalCopies, data_folder, is_upload, marker, parsed_record
from outshine.engine.store.objects import Objects
from outshine.engine.store.records import DONE, FORMAT, Fault, check_format, seal

if TYPE_CHECKING:
    from outshine.engine.store.index import Listing, Query

_FORMAT_NAME = "STORE.json"


class UrlBackend(Backend):
    """Objects below a URL. `root` is the folder of the local copies, work folders and unfinished files."""

    elsewhere = "$OUTSHINE_CACHE"
    locks = "leases"
    why_abandoned = "a dead writer sent it"
    why_damaged = "the record of a damaged artefact that was set aside"

    def __init__(self, url: str, cache: Path, time_to_live: float) -> None:
        self.objects: Objects = open_objects(url)
        self.address, self.where = url, self.objects.where
        self.root = absolute_path(cache) / sha256(self.where.encode()).hexdigest()[:16]
        self.described = f"{self.root}, the local copies of {self.where}"
        self._copies = LocalCopies(self.root, self.objects)
        self._leases = Leases(self.objects, time_to_live)
        self._held: dict[str, Lease] = {}
        self._known: set[str] = set()  # artefacts seen in this process: they never change
        self._is_prepared = False

    def check_format(self) -> None:
        text = self.objects.read(_FORMAT_NAME)
        if text is None:
            return
        try:
            check_format(parse_json(text), self.where)
        except ValueError as error:
            raise StoreError(f"{_FORMAT_NAME} of {self.where} cannot be read ({error}); is it a store?") from None

    def prepare(self) -> None:
        """Raises StoreError for storage that overwrites what it was told to create."""
        if self._is_prepared:
            return
        with self.writing():
            for name in ("work", "tmp"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            remove_of_dead(self.root / "tmp")  # what they had sent needs no copy, nor does the rest
        if self.objects.read(_FORMAT_NAME) is None:
            self.objects.create(_FORMAT_NAME, _format_text())
        if self.objects.create(_FORMAT_NAME, _format_text()):
            raise StoreError(
                f"the store {self.where}: its server overwrites what it was told to create (no If-None-Match), so that "
                "two could write one key; use a server that supports conditional writes, or a folder"
            )
        self._is_prepared = True

    # -- small things by name --------------------------------------------------------------------

    def read(self, name: str) -> bytes | None:
        return self.objects.read(name)

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        return self.objects.read_many(names)

    def write(self, name: str, data: bytes) -> None:
        self.objects.write(name, data)

    def remove(self, name: str) -> None:
        self.objects.remove(name)

    def list(self, folder: str) -> dict[str, int]:
        return self._sizes(folder, depth=folder.count("/") + 2)

    def _sizes(self, folder: str, depth: int) -> dict[str, int]:
        """The bytes of what lies in a folder, by the first so many parts of the names."""
        sizes: dict[str, int] = defaultdict(int)
        for name, size in sorted(self.objects.list(folder).items()):
            sizes["/".join(name.split("/")[:depth])] += size
        return dict(sizes)

    def is_there(self, name: str) -> bool:
        return bool(self.objects.list(name)) or self.objects.read(name) is not None

    # -- artefacts -------------------------------------------------------------------------------

    def name_of(self, key: str) -> str:
        return f"artefacts/{key}"

    def has(self, key: str) -> bool:
        """Whether the record is there. Known ones are not asked for again, missing ones are."""
        return not self._copies.is_doubted(key) and (key in self._known or self._ask(key) is not None)

    def lacking(self, keys: Sequence[str]) -> list[str]:
        known = set(self.keys())
        return [key for key in keys if key not in known or self._copies.is_doubted(key)]

    def is_damaged(self, key: str) -> bool:
        """Whether the artefact was found damaged when a file of it was read here, or by `verify`."""
        return self._copies.is_doubted(key) and self.objects.read(marker(key)) is not None

    def keys(self, beginning: str = "") -> list[str]:
        """One listing, of one object for each."""
        names = [name.split("/") for name in self.objects.list("artefacts")]
        self._known = {parts[1] for parts in names if len(parts) == 3 and parts[2] == DONE}
        return sorted(key for key in self._known if key.startswith(beginning))

    def record(self, key: str) -> tuple[Record, bytes] | None:
        text = self._copies.record_text(key)
        record = parsed_record(text)
        if record is None:
            text = self.objects.read(marker(key))
            record = self._receive(key, text)
        if record is None and self._copies.is_doubted(key):
            raise ValueError("it is not what was written")
        return (record, text) if record is not None and text is not None else None

    def look_ahead(self, keys: Sequence[str]) -> None:
        """Fetch the records that are not at hand, many at once."""
        names = {marker(key): key for key in keys if self._copies.record_text(key) is None}
        for name, text in self.objects.read_many(names).items():
            self._keep(names[name], text)

    def fetch(self, key: str, name: str, record: Record) -> tuple[str, Record]:
        """Copy it, its size and sha256 checked, when it is first asked for."""
        with self.writing():
            problem = self._copies.fetch(key, name, record)
            if problem:  # set aside and computed anew by another host since the record was fetched?
                newer = self._ask(key)
                if newer is not None and newer != record:
                    record = newer
                    problem = self._copies.fetch(key, name, newer)
            if problem:
                self._copies.doubt(key)
        return problem, record

    def drop_copies(self, key: str, name: str = "") -> bool:
        if name:
            self._copies.drop_file(key, name)
        else:
            self._copies.drop(key)
        return True

    def size(self, key: str) -> int:
        """By its record."""
        record = parsed_record(self._copies.record_text(key)) or self._ask(key)
        return sum(facts["bytes"] for facts in record["files"].values()) if record else 0

    def version(self, key: str) -> object:
        text = self.objects.read(marker(key))
        self._receive(key, text)
        return text

    def content_faults(self, key: str, record: Record) -> Sequence[Fault]:
        """Every file is fetched again; whether one is damaged is remembered, also by later processes."""
        with self.writing():
            problems = [self._copies.check(key, name, record) for name in record["files"]]
            of_copies = self._copies.faults(key, record)
            (self._copies.doubt if any(problems) else self._copies.trust)(key)
        faults = [Fault(key, problem) for problem in problems if problem]
        return faults + [Fault(key, f"the local copy of {problem}", of_copy=True) for problem in of_copies]

    def listing(self, query: Query) -> Listing:
        """From the records alone: the store is asked for those that were never read here."""
        from outshine.engine.store.index import listing_of

        keys = self.keys()
        self.look_ahead(keys)
        return listing_of({key: self._copies.record_text(key) or b"" for key in keys}, query)

    def _ask(self, key: str) -> Record | None:
        """The record of an artefact, asked of the storage; None where there is none that can be read."""
        return self._receive(key, self.objects.read(marker(key)))

    def _receive(self, key: str, text: bytes | None) -> Record | None:
        """The record that the storage gave, kept; None where there is none that can be read."""
        if text is not None:
            return self._keep(key, text)
        self._known.discard(key)
        if self._copies.is_doubted(key):
            self._copies.trust(key)  # what was damaged is gone
        return None

    def _keep(self, key: str, text: bytes) -> Record | None:
        record = parsed_record(text)
        with self.writing():
            if record is None:
                self._copies.doubt(key)
                return None
            self._copies.keep_record(key, text)
        self._known.add(key)
        return record

    # -- locks -----------------------------------------------------------------------------------

    @contextmanager
    def lock(self, name: str, timeout: float = -1, *, leave_nothing: bool = False) -> Iterator[bool]:
        """By a lease, on all hosts. One of a key that still lacks its artefact leaves the count of generations."""
        self.prepare()
        lease = self._leases.acquire(name, timeout)
        if lease is None:
            yield False
            return
        self._held[name] = lease
        try:
            yield True
        finally:
            del self._held[name]
            with suppress(StoreError):  # what cannot be released now is taken over after the time to live
                lease.release(forget=leave_nothing or not KEY.fullmatch(name) or self.has(name))

    def is_locked(self, key: str) -> bool:
        """Whether a lease is out. A dead process's shows too, until another takes it over."""
        return self._leases.is_taken(key)

    def locked(self, keys: Collection[str]) -> set[str]:
        """Waits for a time to live where some are: the dead are told from the living by that alone."""
        taken = self._leases.taken(keys)
        if taken:
            time.sleep(self._leases.time_to_live)
        return self._leases.taken(taken)

    def lost_locks(self, keys: Sequence[str]) -> list[str]:
        return [key for key in keys if key in self._held and not self._held[key].is_held() and not self.has(key)]

    # -- commits ---------------------------------------------------------------------------------

    def send(self, key: str, folder: Path, record: Record) -> Pending:
        """Send all files. What was sent is removed again where one cannot be."""
        upload = uuid.uuid4().hex
        seal(key, folder, {**record, "upload": upload})
        pending = Pending(key, upload, (folder / DONE).read_text(encoding="utf-8"))
        try:
            for name in _files(pending):
                self.objects.send(folder / name, f"{data_folder(key, upload)}/{name}")
        except BaseException:
            with suppress(StoreError):
                self.withdraw(pending)
            raise
        return pending

    def withdraw(self, pending: Pending) -> None:
        for name in self.objects.list(self.name_of_pending(pending)):
            self.objects.remove(name)

    def publish(self, pending: Pending, folder: Path | None = None) -> bool:
        """Create DONE.json where none is. The finished folder becomes the local copy."""
        key, text = pending.key, (pending.record or "").encode()
        while not (self._is_whole(pending) and self.objects.create(marker(key), text)):
            first = self._published(key)
            if first is not None and self._is_whole(first) and not self._copies.is_doubted(key):
                if first.name != pending.name:
                    self.withdraw(pending)
                return True
            if not self._is_whole(pending):
                return False
            self.set_aside(key)
        self._known.add(key)
        with suppress(OSError):  # a full disk here takes nothing from what lies there
            self._copies.trust(key)
            if folder is not None:
                self._copies.adopt(key, folder)
        self._remove_orphans(key)
        return True

    def pending(self, *parts: Any) -> Pending:
        key, upload, record = parts
        if not (KEY.fullmatch(key) and is_upload(upload) and parsed_record(record.encode())):
            raise ValueError(f"it names {key} {upload}")
        return Pending(key, upload, record)

    def name_of_pending(self, pending: Pending) -> str:
        return data_folder(pending.key, pending.name)

    def set_aside(self, key: str) -> str:
        """Its record is kept in `damaged`, its files stay where they are."""
        aside = f"damaged/{key}-{uuid.uuid4().hex[:8]}"
        text = self.objects.read(marker(key))
        if text is not None:
            self.objects.write(f"{aside}/{DONE}", text)
            self.objects.remove(marker(key))
        with self.writing():
            self._forget(key)
        return f"{self.where}/{aside}"

    def _is_whole(self, pending: Pending) -> bool:
        """Whether the files have the recorded sizes. One listing."""
        folder = self.name_of_pending(pending)
        sizes = self.objects.list(folder)
        return all(sizes.get(f"{folder}/{name}") == facts["bytes"] for name, facts in _files(pending).items())

    def _published(self, key: str) -> Pending | None:
        """What is the artefact of a key; None where there is none that can be read."""
        text = self.objects.read(marker(key))
        record = parsed_record(text)
        return Pending(key, record["upload"], text.decode()) if text is not None and record is not None else None

    def _remove_orphans(self, key: str) -> None:
        """Remove what dead writers sent of an artefact that exists now, and no commit under way speaks of."""
        published = self._published(key)
        if published is None:
            return
        kept = {published.name} | {upload.name for _, uploads in self.journals() for upload in uploads or ()}
        for name in self.objects.list(f"files/{key}"):
            if name.split("/")[2] not in kept:
                self.objects.remove(name)

    def _forget(self, key: str) -> None:
        """An artefact was removed from the storage: so are its local copies."""
        self._known.discard(key)
        self._copies.drop(key)
        self._copies.trust(key)

    # -- garbage collection ----------------------------------------------------------------------

    def abandoned(self) -> Iterator[Leftover]:
        """Files of uploads that are no artefact's."""
        keys = set(self.keys())
        self.look_ahead([*keys])
        for name, size in self._sizes("files", depth=3).items():
            _, key, upload = name.split("/")
            if KEY.fullmatch(key) and (key not in keys or upload != self._upload_of(key)):
                yield Leftover(name, size, self.why_abandoned, key)

    def _upload_of(self, key: str) -> str | None:
        """Tell which upload is the artefact; None where the record cannot be read: nothing of it is of use then."""
        try:
            published = self.record(key)
        except ValueError:
            return None
        return published[0]["upload"] if published else None

    def unfinished(self) -> dict[str, int]:
        return self.objects.unfinished()

    def take_out(self, name: str, key: str) -> Sequence[str]:
        """The record first: a process that dies before the files are removed leaves an upload that is nobody's."""
        if name == self.name_of(key):
            self.objects.remove(marker(key))
            with self.writing():
                self._forget(key)
            return list(self.objects.list(f"files/{key}"))  # of now: another may send it again before the end
        for part in (*self.objects.list(name), name):
            self.objects.remove(part)
        return []


def _files(pending: Pending) -> dict[str, dict[str, Any]]:
    """The files of an upload, by its own record, which was checked when it was made or read."""
    record = parsed_record((pending.record or "").encode())
    assert record is not None
    return record["files"]


def _format_text() -> bytes:
    """Other than any other process's, so that one can tell its own from what was there."""
    return json.dumps({"format": FORMAT, "made": uuid.uuid4().hex}).encode()
