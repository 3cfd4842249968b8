"""A recorded study and its artefacts written as one zip archive."""

from __future__ import annotations

import hashlib
import io
import os
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from outshine.core.archive import MANIFEST, File, Manifest, member, packing, split_member
from outshine.core.errors import StoreError
from outshine.core.records import DONE, parse_record
from outshine.core.store import Store
from outshine.execution.recorded import Recorded

_CHUNK = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every member: equal artefacts make equal archives


def export_study(recorded: Recorded, store: Store, out: Path) -> Manifest:
    """Write the archive; it appears whole or not at all. Raises StoreError for artefacts that are missing or damaged.

    Every file is hashed while it is copied, so that a damaged one is not passed on.
    """
    missing = sorted(key for key in recorded.keys if not store.has(key))
    if missing or not recorded.expanded:
        raise StoreError(
            f"study '{recorded.name}' is not finished: {len(missing)} of {len(recorded.keys)} stages are not in "
            f"{store.where}; run it first, then export it"
        )
    manifest = Manifest(study=recorded.study, files=_files(recorded, store))
    temporary = out.with_name(f".{out.name}-{uuid.uuid4().hex[:8]}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            with zipfile.ZipFile(file, "w") as zipped:
                _write(manifest, store, zipped)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(out)
    except OSError as error:
        raise StoreError(f"the archive {out} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return manifest


def _files(recorded: Recorded, store: Store) -> tuple[File, ...]:
    files = []
    for key in sorted(recorded.keys):
        text = store.record_text(key)  # first of its artefact: an importer reads it before all else
        files.append(File(name=member(key, DONE), bytes=len(text), sha256=hashlib.sha256(text).hexdigest()))
        for name, facts in sorted(parse_record(text)["files"].items()):
            files.append(File(name=member(key, name), bytes=facts["bytes"], sha256=facts["sha256"]))
    return tuple(files)


def _write(manifest: Manifest, store: Store, zipped: zipfile.ZipFile) -> None:
    text = manifest.model_dump_json(indent=1).encode()
    zipped.writestr(_info(MANIFEST, len(text)), text)
    for key, files in manifest.by_key().items():
        for file in files:
            name = split_member(file.name)[1]
            with _opened(store, key, name) as source:
                _copy(source, file, zipped)


@contextmanager
def _opened(store: Store, key: str, name: str) -> Iterator[BinaryIO]:
    """A file of an artefact. What is open stays whole where another process removes the artefact."""
    if name == DONE:
        yield io.BytesIO(store.record_text(key))
        return
    try:
        source = store.file(key, name).open("rb")
    except OSError as error:
        raise StoreError(
            f"artefact {key[:16]}: {name} went away from {store.where} while it was exported "
            f"({error.strerror or error}); run its study again, then export it"
        ) from error
    with source:
        yield source


def _copy(source: BinaryIO, file: File, zipped: zipfile.ZipFile) -> None:
    found = hashlib.sha256()
    with zipped.open(_info(file.name, file.bytes), "w") as target:
        while data := source.read(_CHUNK):
            found.update(data)
            target.write(data)
    if found.hexdigest() != file.sha256:
        raise StoreError(
            f"{file.name} has changed while it was exported (sha256 differs); `outshine verify` checks the store"
        )


def _info(name: str, num_bytes: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=_EPOCH)
    info.create_system, info.external_attr = 3, 0o100644 << 16  # unix, a plain file, wherever it is written
    info.file_size, info.compress_type = num_bytes, packing(name, num_bytes)
    return info
