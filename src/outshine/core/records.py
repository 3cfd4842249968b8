"""DONE.json: what an artefact says of itself. It is read as a stranger's: names in it become paths."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from outshine.core.errors import StoreError
from outshine.core.files import sha256_of, sync, write_synced
from outshine.core.messages import shows

FORMAT = 1  # of stores and their records
DONE = "DONE.json"


class Fault(NamedTuple):
    """One thing wrong with an artefact."""

    key: str
    message: str


def parse_record(text: str | bytes) -> dict[str, Any]:
    """A record whose `files` are files of its own folder with a size and a sha256. Raises ValueError for any other."""
    try:
        record = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    files = record.get("files") if isinstance(record, dict) else None
    if not isinstance(files, dict):
        raise ValueError("it lists no files")
    for name, facts in files.items():
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts or not shows(name):
            raise ValueError(f"{name} is no file of the artefact")
        if not (
            isinstance(facts, dict) and isinstance(facts.get("bytes"), int) and isinstance(facts.get("sha256"), str)
        ):
            raise ValueError(f"{name} has no size or no sha256")
    return record


def read_record(folder: Path) -> dict[str, Any]:
    """The record of an artefact's folder. Raises OSError or ValueError."""
    return parse_record((folder / DONE).read_text(encoding="utf-8"))


def size_faults(key: str, folder: Path) -> list[Fault]:
    """Files that are missing or have another size than was recorded; none where there is no record at all."""
    try:
        sizes = {name: facts["bytes"] for name, facts in read_record(folder)["files"].items()}
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        return [Fault(key, f"{DONE} cannot be read ({error})")]
    faults = []
    for name, size in sizes.items():
        try:
            found = (folder / name).stat().st_size
        except OSError:
            faults.append(Fault(key, f"{name} is missing"))
            continue
        if found != size:
            faults.append(Fault(key, f"{name} has {found} bytes where {size} were written"))
    return faults


def seal(key: str, folder: Path, record: dict[str, Any]) -> None:
    """Write DONE.json with the sizes and hashes of a finished folder's files, and flush all of it to the disk."""
    found = sorted(folder.rglob("*"))
    files = [path for path in found if path.is_file()]
    facts = {p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "sha256": sha256_of(p)} for p in files}
    write_synced(
        folder / DONE,
        json.dumps({"format": FORMAT, "key": key, "files": facts, **record}, indent=1, sort_keys=True),
    )
    for path in [*files, *(path for path in found if path.is_dir()), folder]:
        sync(path)


def newer_format(where: str, found: object) -> StoreError:
    """The refusal of a store that this version cannot know."""
    return StoreError(
        f"the store {where} was written by a newer outshine (format {found}, this one knows {FORMAT}); "
        "upgrade outshine or choose another place with --store"
    )
