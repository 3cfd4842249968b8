"""Commits without a rename: the files first, then the one object that makes them an artefact."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from outshine.engine.checked_reading import parse_json, understood
from outshine.engine.errors import StoreError
from outshine.engine.key import KEY
from outshine.engine.store.local_copies import data_folder, is_upload, marker, parsed_record
from outshine.engine.store.objects import Objects

_JOURNALS = "commits"


class Upload(NamedTuple):
    """Files that lie in the store, and the record that will make them the artefact of a key."""

    key: str
    name: str
    record: bytes


class Uploads:
    """Sending artefacts to a store and making them exist."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def send(self, upload: Upload, folder: Path) -> None:
        """Send the files of a sealed folder. What was sent is removed again where one cannot be."""
        record = parsed_record(upload.record)
        assert record is not None
        try:
            for name in record["files"]:
                self._objects.send(folder / name, f"{data_folder(upload.key, upload.name)}/{name}")
        except BaseException:
            with suppress(StoreError):
                self.withdraw(upload)
            raise

    def mark(self, upload: Upload) -> bool:
        """Make an upload the artefact; False where there is one already."""
        return self._objects.create(marker(upload.key), upload.record)

    def is_whole(self, upload: Upload) -> bool:
        """Whether the files have the recorded sizes. One listing."""
        record = parsed_record(upload.record)
        folder = data_folder(upload.key, upload.name)
        found = self._objects.list(folder)
        return record is not None and all(
            found.get(f"{folder}/{name}") == facts["bytes"] for name, facts in record["files"].items()
        )

    def marked(self, key: str) -> Upload | None:
        """The upload that is the artefact of a key; None where there is none that can be read."""
        text = self._objects.read(marker(key))
        record = parsed_record(text)
        return Upload(key, record["upload"], text) if text is not None and record is not None else None

    def withdraw(self, upload: Upload) -> None:
        """Remove the files of an upload that did not become an artefact."""
        for name in self._objects.list(data_folder(upload.key, upload.name)):
            self._objects.remove(name)

    def remove_orphans(self, key: str) -> None:
        """Remove what dead writers sent of an artefact that exists now, and no commit under way speaks of."""
        kept = {upload.name for _, uploads in self.journals() for upload in uploads or () if upload.key == key}
        marked = self.marked(key)
        if marked is None:
            return
        for name in self._objects.list(f"files/{key}"):
            if name.split("/")[2] not in kept | {marked.name}:
                self._objects.remove(name)

    def write_journal(self, uploads: Sequence[Upload]) -> str:
        """Write down which uploads are about to be made artefacts together; the name of what was written."""
        name = f"{_JOURNALS}/{uuid.uuid4().hex}.json"
        members = [[upload.key, upload.name, upload.record.decode()] for upload in uploads]
        self._objects.write(name, json.dumps(members).encode())
        return name

    def journals(self) -> Iterator[tuple[str, list[Upload] | None]]:
        """The commits together that are under way, by name; None for the uploads of one that is damaged."""
        for name in sorted(self._objects.list(_JOURNALS)):
            text = self._objects.read(name)
            if text is None:  # finished meanwhile
                continue
            try:
                uploads = _listed(parse_json(text))
            except ValueError:
                uploads = None
            yield name, uploads


def _listed(found: Any) -> list[Upload]:
    """The uploads of a journal. Raises ValueError for what is none, and for names that would lead elsewhere."""
    with understood("the list of a commit"):
        uploads = [Upload(key, upload, record.encode()) for key, upload, record in found]
        for one in uploads:
            if not (KEY.fullmatch(one.key) and is_upload(one.name) and parsed_record(one.record)):
                raise ValueError(f"it names {one.key} {one.name}")
        return uploads
