"""A recorded study and its artefacts written as one zip archive."""

from __future__ import annotations

import hashlib
import os
import uuid
import zipfile
from contextlib import suppress
from pathlib import Path

from outshine.core.archive import MANIFEST, File, Manifest, member, packing, split_member
from outshine.core.errors import StoreError
from outshine.core.files import sha256_of
from outshine.core.records import DONE
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
        record = store.done(key)  # of a store elsewhere it is fetched
        path = store.path(key) / DONE  # first of its artefact: an importer reads it before all else
        files.append(File(name=member(key, DONE), bytes=path.stat().st_size, sha256=sha256_of(path)))
        for name, facts in sorted(record["files"].items()):
            files.append(File(name=member(key, name), bytes=facts["bytes"], sha256=facts["sha256"]))
    return tuple(files)


def _write(manifest: Manifest, store: Store, zipped: zipfile.ZipFile) -> None:
    text = manifest.model_dump_json(indent=1).encode()
    zipped.writestr(_info(MANIFEST, len(text)), text)
    for key, files in manifest.by_key().items():
        for file in files:
            name = split_member(file.name)[1]
            _copy(store.path(key) / DONE if name == DONE else store.file(key, name), file, zipped)


def _copy(path: Path, file: File, zipped: zipfile.ZipFile) -> None:
    found = hashlib.sha256()
    with path.open("rb") as source, zipped.open(_info(file.name, file.bytes), "w") as target:
        while data := source.read(_CHUNK):
            found.update(data)
            target.write(data)
    if found.hexdigest() != file.sha256:
        raise StoreError(
            f"{path} has changed since it was written (sha256 differs); `outshine verify` checks the store"
        )


def _info(name: str, num_bytes: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=_EPOCH)
    info.create_system, info.external_attr = 3, 0o100644 << 16  # unix, a plain file, wherever it is written
    info.file_size, info.compress_type = num_bytes, packing(name, num_bytes)
    return info
