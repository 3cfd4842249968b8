"""DONE.json, the record of an artefact, read as untrusted input: names in it become paths."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from outshine.engine.checked_reading import as_date, as_seconds, parse_json, read_bytes, understood
from outshine.engine.errors import StoreError
from outshine.engine.files import sha256_of, sync, write_synced
from outshine.engine.key import KEY
from outshine.engine.messages import shows

FORMAT = 1  # of stores and their records
DONE = "DONE.json"
OWN = ("format", "key", "files", "upload", "sha256")  # what the store writes into a record itself
_OWN_DIGEST = "sha256"
_MOST_BYTES = 2**50  # of an artefact: a sum over many still fits a column of the index
_KINDS: dict[str, type | tuple[type, ...]] = {
    "label": str,
    "stage": str,
    "version": int,
    "fields": dict,
    "inputs": list,
    "made": dict,
}


class Fault(NamedTuple):
    """One thing wrong with an artefact."""

    key: str
    message: str
    of_copy: bool = False  # of a local copy alone: what it was copied from is whole


def parse_record(text: str | bytes) -> dict[str, Any]:
    """A record whose `files` are files of its own folder with a size and a sha256, and which is as it was written.

    Raises ValueError for any other.
    """
    record = parse_json(text)
    files = record.get("files") if isinstance(record, dict) else None
    if not isinstance(files, dict):
        raise ValueError("it lists no files")
    for name, facts in files.items():
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts or not shows(name):
            raise ValueError(f"{name} is no file of the artefact")
        if not isinstance(facts, dict) or not _is_size(facts.get("bytes")) or not isinstance(facts.get("sha256"), str):
            raise ValueError(f"{name} has no size or no sha256")
    if sum(facts["bytes"] for facts in files.values()) > _MOST_BYTES:
        raise ValueError("its files are larger than any disk")
    _check_kinds(record)
    if _OWN_DIGEST in record and record[_OWN_DIGEST] != _digest_of(record):
        raise ValueError("it has changed since it was written (sha256 differs)")
    return record


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_BYTES


def _check_kinds(record: dict[str, Any]) -> None:
    """Raises ValueError where what is said of an artefact is no text, date or key: readers go by these unasked."""
    for name, kind in _KINDS.items():
        if name in record and (not isinstance(record[name], kind) or isinstance(record[name], bool)):
            raise ValueError(f"its {name} is {type(record[name]).__name__}")
    if not all(isinstance(key, str) and KEY.fullmatch(key) for key in record.get("inputs", ())):
        raise ValueError("its inputs are no keys")
    made = record.get("made", {})
    if "at" in made:
        as_date(made["at"])
    if "seconds" in made:
        as_seconds(made["seconds"])


def _digest_of(record: dict[str, Any]) -> str:
    """sha256 (hex) of all that a record says but for that digest itself."""
    own = {name: value for name, value in record.items() if name != _OWN_DIGEST}
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()


def read_record(folder: Path) -> dict[str, Any]:
    """The record of an artefact's folder. Raises OSError or ValueError."""
    return parse_record(read_bytes(folder / DONE))


def size_faults(key: str, folder: Path) -> list[Fault]:
    """Files that are missing or have another size than was recorded; none where there is no record at all.

    Raises OSError where a disk cannot tell.
    """
    try:
        recorded = read_record(folder)["files"]
    except FileNotFoundError:
        return []
    except ValueError as error:
        return [Fault(key, f"{DONE} cannot be read ({error})")]
    problems = [size_fault(name, facts, folder / name) for name, facts in recorded.items()]
    return [Fault(key, problem) for problem in problems if problem]


def size_fault(name: str, facts: Mapping[str, Any], path: Path) -> str:
    """Say what is wrong with a file by its size; empty where nothing is. Raises OSError where a disk cannot tell."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return f"{name} is missing"
    if not stat.S_ISREG(status.st_mode):
        return f"{name} is no plain file"
    if status.st_size != facts["bytes"]:
        return f"{name} has {status.st_size} bytes where {facts['bytes']} were written"
    return ""


def content_fault(name: str, facts: Mapping[str, Any], path: Path) -> str:
    """What is wrong with a file by its size and sha256, or by what the disk says of it; empty where nothing is."""
    try:
        problem = size_fault(name, facts, path)
        if not problem and sha256_of(path) != facts["sha256"]:
            problem = f"{name} has changed since it was written (sha256 differs)"
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror or error})"
    return problem


def seal(key: str, folder: Path, record: dict[str, Any]) -> None:
    """Write DONE.json with the sizes and hashes of a finished folder's files, and flush all of it to the disk."""
    paths = sorted(folder.rglob("*"))
    files = [path for path in paths if path.is_file()]
    facts = {p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "sha256": sha256_of(p)} for p in files}
    whole = json.loads(json.dumps({"format": FORMAT, "key": key, "files": facts, **record}))  # as it will be read
    whole[_OWN_DIGEST] = _digest_of(whole)
    write_synced(folder / DONE, json.dumps(whole, indent=1, sort_keys=True))
    for path in [*files, *(path for path in paths if path.is_dir()), folder]:
        sync(path)


def check_format(marker: Any, where: str) -> None:
    """Check what STORE.json says. Raises StoreError for a store of a newer version, ValueError for what is no store."""
    with understood("the format"):
        version = marker["format"]
        is_older = isinstance(version, int) and version <= FORMAT
    if not is_older:
        raise StoreError(
            f"the store {where} was written by a newer outshine (format {version!s:.40}, this one knows {FORMAT}); "
            "upgrade outshine or choose another place with --store"
        )
