"""A store on shared or remote storage: objects below a URL, with local copies of what was read.

<url>/STORE.json                     the format's version
<url>/artefacts/<key>/DONE.json      one finished stage: it exists if and only if this object does
<url>/files/<key>/<upload>/…         its files, from one upload; DONE.json names which
<url>/commits/<id>.json              records of a commit of several artefacts that is under way
<url>/leases/<key>/<generation>.json one writer a key
<url>/damaged/<key>-<id>/DONE.json   records of artefacts that failed verification
<url>/running, failures, studies     small documents

There is no rename. Files go up first, under a name that no other writer uses, and DONE.json last, where none is: of
two who finish the same stage one creates it, and what a writer that was thought dead still sends lands where nobody
looks. So leases save work, and artefacts are whole without them.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outshine.engine.checked_reading import parse_json
from outshine.engine.errors import LostLeaseError, StoreError
from outshine.engine.files import absolute_path
from outshine.engine.store.buckets import open_objects
from outshine.engine.store.commits import Upload, Uploads
from outshine.engine.store.documents import Documents, RemoteDocuments, check_document_name
from outshine.engine.store.leases import Lease, Leases
from outshine.engine.store.local_copies import Cache, marker, parsed_record
from outshine.engine.store.objects import Objects
from outshine.engine.store.records import DONE, FORMAT, Fault, check_format, seal
from outshine.engine.store.store import Mended, Store

if TYPE_CHECKING:
    from outshine.engine.store.index import Listing, Query


_TRIES = 5  # other hosts may set aside, remove and commit what is looked at


class RemoteStore(Store):
    """Artefacts by key below a URL. `root` is the folder of the local copies, work folders and unfinished files."""

    _elsewhere = "$OUTSHINE_CACHE"

    def __init__(self, url: str, cache: Path, time_to_live: float) -> None:
        self._url = url
        self.objects: Objects = open_objects(url)
        folder = absolute_path(cache) / sha256(self.objects.where.encode()).hexdigest()[:16]
        self._cache = Cache(folder, self.objects)
        self.uploads = Uploads(self.objects)
        self._leases = Leases(self.objects, time_to_live)
        self._held: dict[str, Lease] = {}
        self._known: set[str] = set()  # artefacts seen in this process: they never change
        self._prepared = False
        super().__init__(folder)
        self.where = self.objects.where

    @property
    def address(self) -> str:
        return self._url

    # -- reading ---------------------------------------------------------------------------------

    def has(self, key: str) -> bool:
        """Whether the artefact exists. Known ones are not asked for again, missing ones are."""
        self.path(key)
        if self._cache.is_doubted(key):
            return False
        return key in self._known or self._asked(key) is not None

    def lacking(self, keys: Sequence[str]) -> list[str]:
        known = set(self.keys())
        return [key for key in keys if key not in known or self._cache.is_doubted(key)]

    def is_damaged(self, key: str) -> bool:
        """Whether the artefact was found damaged when a file of it was read here, or by `verify`."""
        return self._cache.is_doubted(key) and self.objects.read(marker(key)) is not None

    def place(self, key: str) -> str:
        self.path(key)
        return f"{self.where}/artefacts/{key}"

    def look_ahead(self, keys: Sequence[str]) -> None:
        """Fetch the records that are not at hand, many at once."""
        names = {marker(key): key for key in keys if self._cache.record_text(key) is None}
        for name, text in self.objects.read_many(names).items():
            self._remember(names[name], text)

    def _found(self, key: str, name: str) -> tuple[Path, Mapping[str, Any]]:
        """A local copy of a file, fetched when it is first asked for, its size and sha256 checked then."""
        record = self.done(key)
        with self._writing():
            problem = self._cache.fetch(key, name, record)
            if problem:  # set aside and computed anew by another host since the record was fetched?
                newer = self._asked(key)
                if newer not in (None, record):
                    record = newer
                    problem = self._cache.fetch(key, name, newer)
            if problem:
                self._cache.doubt(key)
        if problem:
            raise StoreError(f"artefact {key[:16]}: {problem}; run again to compute it anew")
        return self.path(key) / name, record["files"][name]

    def _mistrust(self, key: str, name: str) -> None:
        """The copy has changed since it was fetched: the next one is."""
        self._cache.drop_file(key, name)

    def _record(self, key: str) -> tuple[dict[str, Any], bytes]:
        text = self._cache.record_text(self.path(key).name)
        found = parsed_record(text)
        if found is None:
            text = self.objects.read(marker(key))
            found = self._heard(key, text)
        if found is None and self._cache.is_doubted(key):
            raise StoreError(f"artefact {key[:16]}: {DONE} cannot be read; run again to compute it anew")
        if found is None:
            raise StoreError(f"no artefact {key[:16]} in {self.where}")
        return found, text or b""

    def size(self, key: str) -> int:
        """The bytes that an artefact takes, by its record."""
        record = parsed_record(self._cache.record_text(self.path(key).name)) or self._asked(key)
        return sum(facts["bytes"] for facts in record["files"].values()) if record else 0

    def keys(self) -> list[str]:
        """The keys of all finished artefacts, sorted. One listing, of one object for each."""
        parts = [name.split("/") for name in self.objects.list("artefacts")]
        self._known = {found[1] for found in parts if len(found) == 3 and found[2] == DONE}
        return sorted(self._known)

    def listing(self, query: Query) -> Listing:
        """What a listing says, from the records alone: the store is asked for those that were never read here."""
        from outshine.engine.store.index import listing_of

        keys = self.keys()
        self.look_ahead(keys)
        return listing_of({key: self._cache.record_text(key) or b"" for key in keys}, query)

    def verify(self, key: str) -> list[Fault]:
        """Every file read from the store and compared with the record, and its local copy where there is one.

        What another process removes, or sets aside and makes anew meanwhile, is no fault.
        """
        faults: list[Fault] = []
        for _ in range(_TRIES):
            before = self.objects.read(marker(self.path(key).name))
            faults = self._faults_of(key, before) if before is not None else []
            if not faults or self.objects.read(marker(key)) == before:
                break
        with self._writing():
            (self._cache.doubt if any(not fault.of_copy for fault in faults) else self._cache.trust)(key)
        return faults

    def _faults_of(self, key: str, text: bytes) -> list[Fault]:
        record = self._remember(key, text)
        if record is None:
            return [Fault(key, f"{DONE} is unreadable (it is not what was written)")]
        with self._writing():
            problems = [self._cache.check(key, name, record) for name in record["files"]]
            copies = self._cache.faults(key, record)
        faults = [Fault(key, problem) for problem in problems if problem]
        return faults + [Fault(key, f"the local copy of {problem}", of_copy=True) for problem in copies]

    def mend(self, key: str) -> Mended:
        faults = self.verify(key)
        if any(not fault.of_copy for fault in faults):
            return super().mend(key)
        if faults:
            self._cache.drop(key)
        return Mended(faults)

    def _asked(self, key: str) -> dict[str, Any] | None:
        """The record of an artefact, asked of the store; None where there is none that can be read."""
        return self._heard(key, self.objects.read(marker(self.path(key).name)))

    def _heard(self, key: str, text: bytes | None) -> dict[str, Any] | None:
        """The record that the store gave, kept; None where there is none that can be read."""
        if text is None:
            self._known.discard(key)
            if self._cache.is_doubted(key):
                self._cache.trust(key)  # what was damaged is gone
            return None
        return self._remember(key, text)

    def _remember(self, key: str, text: bytes) -> dict[str, Any] | None:
        record = parsed_record(text)
        with self._writing():
            if record is None:
                self._cache.doubt(key)
                return None
            self._cache.keep_record(key, text)
        self._known.add(key)
        return record

    # -- writing ---------------------------------------------------------------------------------

    @contextmanager
    def lock(self, key: str, timeout: float = -1) -> Iterator[bool]:
        """Be the one writer of `key` on all hosts, by a lease. Yields False where another holds it for `timeout` s."""
        self.path(key)
        with self._writing():
            self._prepare_root()
        lease = self._leases.acquire(key, timeout)
        if lease is None:
            yield False
            return
        self._held[key] = lease
        try:
            yield True
        finally:
            del self._held[key]
            with suppress(StoreError):  # what cannot be released now is taken over after the time to live
                lease.release(forget=self.has(key))

    def is_locked(self, key: str) -> bool:
        """Whether a lease of `key` is out. A dead process's shows too, until another takes it over."""
        self.path(key)
        return self._leases.is_taken(key)

    @contextmanager
    def alone(self, purpose: str) -> Iterator[None]:
        check_document_name(purpose)
        with self._writing():
            self._prepare_root()
        lease = self._leases.acquire(purpose, -1)
        assert lease is not None  # it was waited for
        try:
            yield
        finally:
            with suppress(StoreError):
                lease.release(forget=True)

    def locked(self, keys: Collection[str]) -> set[str]:
        """Waits for a time to live where some are: the dead are told from the living by that alone."""
        found = self._leases.taken(keys)
        if found:
            time.sleep(self._leases.time_to_live)
        return self._leases.taken(found)

    def documents(self, kind: str) -> Documents:
        check_document_name(kind)
        return RemoteDocuments(self.objects, kind)

    def commit(self, key: str, folder: Path, record: dict[str, Any]) -> None:
        """Make the files of `folder` the artefact of `key`. Raises LostLeaseError where another took over."""
        with self._writing():
            upload = self._sent(key, folder, record)
            if self._has_lost(key):
                self.uploads.withdraw(upload)
                raise _lost([key])
            if not self._mark(upload, folder):
                raise StoreError(f"the store {self.where} lost a part of artefact {key[:16]} as it was sent; run again")
        shutil.rmtree(self.work(key), ignore_errors=True)

    def commit_together(self, finished: Sequence[tuple[str, Path, dict[str, Any]]]) -> None:
        """Commit the artefacts (key, folder, record) of one pass: all of them, also where the process dies meanwhile.

        All are sent before it is written down which become artefacts; `finish_commits` does what is left of it.
        """
        with self._writing():
            sent = {self._sent(key, folder, record): folder for key, folder, record in finished}
            lost = [upload for upload in sent if self._has_lost(upload.key)]
            for upload in lost:
                self.uploads.withdraw(upload)
            kept = {upload: folder for upload, folder in sent.items() if upload not in lost}
            journal = self.uploads.write_journal([*kept])
            try:
                self._mark_all(journal, kept)
            except BaseException:  # an interrupt between two of them: once more, or the rest waits for the next run
                self._mark_all(journal, kept)
                raise
        if lost:
            raise _lost([upload.key for upload in lost])

    def finish_commits(self, keys: Sequence[str]) -> list[str]:
        notes = []
        for journal, uploads in self.uploads.journals():
            if uploads is None:
                notes.append(f"{self.where}/{journal} cannot be read and is passed over; `outshine gc` removes it")
            elif {upload.key for upload in uploads} & set(keys):
                with self._writing():
                    self._mark_all(journal, dict.fromkeys(uploads))
        return notes

    def _mark_all(self, journal: str, uploads: Mapping[Upload, Path | None]) -> None:
        for upload, folder in uploads.items():
            if self._mark(upload, folder):
                shutil.rmtree(self.work(upload.key), ignore_errors=True)
        self.objects.remove(journal)

    def _sent(self, key: str, folder: Path, record: dict[str, Any]) -> Upload:
        name = uuid.uuid4().hex
        seal(key, folder, {**record, "upload": name})
        upload = Upload(key, name, (folder / DONE).read_bytes())
        self.uploads.send(upload, folder)
        return upload

    def _has_lost(self, key: str) -> bool:
        """Whether the lease went to another who has not finished either."""
        lease = self._held.get(key)
        return lease is not None and not lease.is_held() and not self.has(key)

    def _mark(self, upload: Upload, folder: Path | None) -> bool:
        """Make an upload the artefact, unless there is a whole one: the first commit of a key wins.

        False where neither is whole: somebody removed what was sent.
        """
        key = upload.key
        while not (self.uploads.is_whole(upload) and self.uploads.mark(upload)):
            first = self.uploads.marked(key)
            if first is not None and self.uploads.is_whole(first) and not self._cache.is_doubted(key):
                if first.name != upload.name:
                    self.uploads.withdraw(upload)
                return True
            if not self.uploads.is_whole(upload):
                return False
            self.set_aside(key)
        self._known.add(key)
        with suppress(OSError):  # a full disk here takes nothing from what lies there
            self._cache.trust(key)
            if folder is not None:
                self._cache.adopt(key, folder)
        self.uploads.remove_orphans(key)
        return True

    def forget(self, key: str) -> None:
        """An artefact was removed from the store: so are its local copies."""
        self._known.discard(key)
        self._cache.drop(key)
        self._cache.trust(key)

    def set_aside(self, key: str) -> str:
        """Make a damaged artefact one no longer. Its record is kept in `damaged`, its files stay where they are."""
        aside = f"damaged/{self.path(key).name}-{uuid.uuid4().hex[:8]}"
        text = self.objects.read(marker(key))
        if text is not None:
            self.objects.write(f"{aside}/{DONE}", text)
            self.objects.remove(marker(key))
        with self._writing():
            self.forget(key)
        return f"{self.where}/{aside}"

    def _prepare_root(self) -> None:
        if self._prepared:
            return
        for name in ("work", "tmp"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        prepare_format(self.objects)
        self._prepared = True

    def _check_format(self) -> None:
        check_store(self.objects)

    @property
    def _written(self) -> str:
        return f"{self.root}, the local copies of {self.where}"


def _lost(keys: Sequence[str]) -> LostLeaseError:
    named = ", ".join(key[:16] for key in keys)
    return LostLeaseError(
        f"this process stood still for longer than its lease of {named} lives, and another took over; "
        "its result was not committed, the other's is used"
    )


_NAME = "STORE.json"


def prepare_format(objects: Objects) -> None:
    """Have the object of the format. Raises StoreError for storage that overwrites what it was told to create."""
    if objects.read(_NAME) is None:
        objects.create(_NAME, _text())
    if objects.create(_NAME, _text()):
        raise StoreError(
            f"the store {objects.where}: its server overwrites what it was told to create (no If-None-Match), so that "
            "two could write one key; use a server that supports conditional writes, or a folder"
        )


def check_store(objects: Objects) -> None:
    """Raises StoreError for a store of a newer version, and for what is no store."""
    text = objects.read(_NAME)
    if text is None:
        return
    try:
        check_format(parse_json(text), objects.where)
    except ValueError as error:
        raise StoreError(f"{_NAME} of {objects.where} cannot be read ({error}); is it a store?") from None


def _text() -> bytes:
    """Other than any other process's, so that one can tell its own from what was there."""
    return json.dumps({"format": FORMAT, "made": uuid.uuid4().hex}).encode()
