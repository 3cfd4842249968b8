"""A study and its artefacts taken from an archive into a store, once all of it has been found in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from outshine.core.archive import Archive, ArchiveError, File, Manifest, open_archive, split_member
from outshine.core.errors import OutshineError
from outshine.core.key import digest
from outshine.core.reading import understood
from outshine.core.records import DONE, FORMAT, OWN, parse_record
from outshine.core.settings import Settings
from outshine.core.store import Store
from outshine.execution.recorded import Recorded, keep_record, studies_held

_RECORD_BYTES = 16 * 10**6  # of a DONE.json, which is read into memory


class Imported(NamedTuple):
    """What came of an archive: the study as the store has it now, and how many of its artefacts were new."""

    study: Recorded
    num_new: int
    num_there: int


def import_study(path: Path, store: Store, max_bytes: int, parse: Callable[[dict[str, Any]], Settings]) -> Imported:
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
    return Imported(recorded, len(new), len(artefacts) - len(new))


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


def _keep(manifest: Manifest, kinds: dict[str, str], store: Store) -> Recorded:
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
