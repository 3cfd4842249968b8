"""A recorded study and its artefacts written as one zip archive."""

from __future__ import annotations

import hashlib
import io
import os
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from outshine.engine.checked_reading import understood
from outshine.engine.errors import OutshineError, StoreError
from outshine.engine.key import digest
from outshine.engine.settings import Settings
from outshine.engine.store.archive import (
    MANIFEST,
    Archive,
    ArchiveError,
    File,
    Manifest,
    member,
    open_archive,
    packing,
    split_member,
)
from outshine.engine.store.recorded_studies import RecordedStudy, keep_record, studies_held
from outshine.engine.store.records import DONE, FORMAT, OWN, parse_record
from outshine.engine.store.store import Store

_CHUNK = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every member: equal artefacts make equal archives


def export_study(recorded: RecordedStudy, store: Store, out: Path) -> Manifest:
    """Write the archive; it appears whole or not at all. Raises StoreError for artefacts that are missing or damaged.

    What is there already is replaced where it is an archive, else refused: it may be the user's data, or a device.
    Every file is hashed while it is copied, so that a damaged one is not passed on.
    """
    _check_place(out, recorded.name)
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


def _check_place(out: Path, name: str) -> None:
    try:
        if out.is_dir():
            raise StoreError(f"'{out}' is a folder; name the archive in it: --out {out / name}.zip")
        if out.exists() and not (out.is_file() and zipfile.is_zipfile(out)):
            raise StoreError(f"'{out}' is there and is no archive; choose another name with --out")
    except OSError as error:
        raise StoreError(f"the archive {out} cannot be written: {error.strerror or error}") from error


def _files(recorded: RecordedStudy, store: Store) -> tuple[File, ...]:
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
    sha256 = hashlib.sha256()
    with zipped.open(_info(file.name, file.bytes), "w") as target:
        while data := source.read(_CHUNK):
            sha256.update(data)
            target.write(data)
    if sha256.hexdigest() != file.sha256:
        raise StoreError(
            f"{file.name} has changed while it was exported (sha256 differs); `outshine verify` checks the store"
        )


def _info(name: str, num_bytes: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=_EPOCH)
    info.create_system, info.external_attr = 3, 0o100644 << 16  # unix, a plain file, wherever it is written
    info.file_size, info.compress_type = num_bytes, packing(name, num_bytes)
    return info


_RECORD_BYTES = 16 * 10**6  # of a DONE.json, which is read into memory


class ImportResult(NamedTuple):
    """What came of an archive: the study as the store has it now, and how many of its artefacts were new."""

    study: RecordedStudy
    num_new: int
    num_there: int


def import_study(path: Path, store: Store, max_bytes: int, parse: Callable[[dict[str, Any]], Settings]) -> ImportResult:
    """Put a study and its artefacts into the store. Raises ArchiveError, and leaves the store as it was.

    parse: reads what the archive calls its study, or raises OutshineError.

    Everything is read twice: first to check names, sizes, hashes and keys, then to place one artefact after the other.
    An import that was interrupted is taken up by the next; what the store has already stays as it is.
    """
    with open_archive(path, max_bytes) as archive:
        artefacts = archive.manifest.by_key()
        _check_study(archive.manifest, parse)
        records = {key: _record(key, files, archive) for key, files in artefacts.items()}
        for files in artefacts.values():
            for file in files:
                for _ in archive.chunks(file):
                    pass
        kinds = {key: str(record["stage"]) for key, record in records.items()}
        recorded = _keep(archive.manifest, kinds, store)
        new = [key for key, files in artefacts.items() if _place(key, files, records[key], archive, store)]
    return ImportResult(recorded, len(new), len(artefacts) - len(new))


def _check_study(manifest: Manifest, parse: Callable[[dict[str, Any]], Settings]) -> None:
    """The study must be one, and resolved; what its artefacts are is checked by their own keys."""
    try:
        parsed = parse(dict(manifest.study))
    except OutshineError as error:
        raise ArchiveError(f"its study is none that this outshine knows: {error}") from None
    if getattr(parsed, "name", None) != manifest.study.get("name"):
        raise ArchiveError("its study has no name")


def _record(key: str, files: list[File], archive: Archive) -> dict[str, Any]:
    """The DONE.json of an artefact, which must belong to that key and to just these files."""
    by_name = {split_member(file.name)[1]: file for file in files}
    done = by_name.pop(DONE, None)
    if done is None or done.bytes > _RECORD_BYTES:
        raise ArchiveError(f"artefact {key[:16]} has no {DONE}, or one of over {_RECORD_BYTES:,} bytes")
    try:
        with understood(DONE):
            record = parse_record(b"".join(archive.chunks(done)))
            stated = {name: (facts["bytes"], facts["sha256"]) for name, facts in record["files"].items()}
            own = digest({"stage": record["stage"], "version": record["version"], "fields": record["fields"]})
            _check_shown(record)
    except ValueError as error:
        raise ArchiveError(f"artefact {key[:16]}: {DONE} is not one that outshine writes ({error!r:.100})") from None
    if record["key"] != key or own != key:
        raise ArchiveError(f"artefact {key[:16]} is not what its key says: its own fields have the key {own[:16]}")
    if stated != {name: (file.bytes, file.sha256) for name, file in by_name.items()}:
        raise ArchiveError(f"artefact {key[:16]}: {DONE} states other files than are in the archive")
    return {name: value for name, value in record.items() if name not in OWN}


def _check_shown(record: dict[str, Any]) -> None:
    """Raises ValueError or KeyError where listings could not show it, or another format wrote it."""
    if record["format"] != FORMAT:
        raise ValueError(f"format {record['format']}")
    lacking = {"label", "inputs", "key"} - record.keys() or {"at", "seconds"} - record["made"].keys()
    if lacking:
        raise ValueError(f"it lacks {min(lacking)}")


def _keep(manifest: Manifest, kinds: dict[str, str], store: Store) -> RecordedStudy:
    """Record the study first, so that no sweep takes its artefacts away while they come in."""
    with studies_held(store):
        return keep_record(manifest.study, kinds, store, expanded=True)


def _place(key: str, files: list[File], record: dict[str, Any], archive: Archive, store: Store) -> bool:
    """Commit an artefact unless the store has it: the first commit of a key wins."""
    if store.has(key):
        return False
    with store.lock(key):
        if store.has(key):
            return False
        with store.writing(key) as folder:
            for file in files:
                name = split_member(file.name)[1]
                if name != DONE:  # it is written anew, from what is found in the files
                    _extract(file, folder / name, archive)
            store.commit(key, folder, record)
    return True


def _extract(file: File, target: Path, archive: Archive) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as out:
        for data in archive.chunks(file):
            out.write(data)
