"""Local copies of a store below a URL; whatever is in their folder may be deleted and fetched again.

<root>/artefacts/<k2>/<key>/     DONE.json and those files that were read or written here
<root>/doubts/<key>              artefacts that did not agree with their record when they were read
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from outshine.engine.checked_reading import read_bytes
from outshine.engine.files import left_behind, remove, scratch_path
from outshine.engine.store.objects import Objects
from outshine.engine.store.records import DONE, content_fault, parse_record, size_fault

_TRIES = 20  # neighbours may drop copies as quickly as they are made
_UPLOAD = re.compile("[0-9a-f]{32}")


class LocalCopies:
    """Copies by key; each file appears whole. Several processes of a host may share it."""

    def __init__(self, root: Path, objects: Objects) -> None:
        self._root = root
        self._objects = objects

    def folder(self, key: str) -> Path:
        """Where the copies of an artefact lie, if there are any."""
        return self._root / "artefacts" / key[:2] / key

    def record_text(self, key: str) -> bytes | None:
        """The record of an artefact as it was fetched."""
        with suppress(OSError, ValueError):
            return read_bytes(self.folder(key) / DONE)
        return None

    def keep_record(self, key: str, text: bytes) -> None:
        """Keep a record. Files that came with another one are of another commit and are dropped."""
        if self.record_text(key) == text:
            return
        self.drop(key)
        (self._root / "tmp").mkdir(parents=True, exist_ok=True)
        with scratch_path(self._root / "tmp", "fetched") as kept:
            kept.write_bytes(text)
            self._into(self.folder(key), lambda: kept.replace(self.folder(key) / DONE))

    def adopt(self, key: str, folder: Path) -> None:
        """Make a finished folder, its record in it, the copies of an artefact. Costs no copy."""
        if not folder.is_dir():  # it was before
            return
        self.drop(key)
        self.folder(key).parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # a neighbour was quicker: what is not here is fetched
            folder.rename(self.folder(key))

    def drop(self, key: str) -> None:
        """Forget the copies of an artefact."""
        shutil.rmtree(self.folder(key), ignore_errors=True)

    def drop_file(self, key: str, name: str) -> None:
        """Forget the copy of one file."""
        (self.folder(key) / name).unlink(missing_ok=True)

    def faults(self, key: str, record: dict[str, Any]) -> list[str]:
        """What is wrong with the copies that there are."""
        places = {name: self.folder(key) / name for name in record["files"]}
        problems = {path: content_fault(name, record["files"][name], path) for name, path in places.items()}
        return [problem for path, problem in problems.items() if problem and path.exists()]

    def fetch(self, key: str, name: str, record: dict[str, Any]) -> str:
        """Have the copy of a file; what is wrong with it in the store, if anything is."""
        if name not in record["files"]:
            return f"{name} is missing"
        path = self.folder(key) / name
        with suppress(OSError):
            if not size_fault(name, record["files"][name], path):
                return ""
        return self.check(key, name, record, path) and self.check(key, name, record, path)  # a download may be cut

    def check(self, key: str, name: str, record: dict[str, Any], path: Path | None = None) -> str:
        """Fetch a file and compare it with the record; where it is as it was written, put it at `path`."""
        facts = record["files"][name]
        folder = self._root / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in left_behind(folder, "fetched"):
            remove(leftover)
        with scratch_path(folder, "fetched") as fetched:
            if not self._objects.fetch(f"{data_folder(key, record['upload'])}/{name}", fetched):
                return f"{name} is missing"
            problem = content_fault(name, facts, fetched)
            if problem:
                return problem
            if path is not None:
                self._into(path.parent, lambda: fetched.replace(path))
        return ""

    @staticmethod
    def _into(folder: Path, place: Callable[[], object]) -> None:
        """Place a file in a folder, which a neighbour may drop between its making and its use."""
        for left in reversed(range(_TRIES)):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                place()
                return
            except (FileNotFoundError, FileExistsError):  # mkdir may find a folder that is gone when it looks again
                if not left:
                    raise

    def doubt(self, key: str) -> None:
        """Remember, also for later processes, that an artefact is damaged where it came from."""
        self.drop(key)
        (self._root / "doubts").mkdir(parents=True, exist_ok=True)
        (self._root / "doubts" / key).touch()

    def trust(self, key: str) -> None:
        """Forget the doubt."""
        (self._root / "doubts" / key).unlink(missing_ok=True)

    def is_doubted(self, key: str) -> bool:
        """Whether an artefact was found damaged since it was last found whole."""
        return (self._root / "doubts" / key).exists()


def marker(key: str) -> str:
    """The object that makes an artefact exist: its record."""
    return f"artefacts/{key}/{DONE}"


def data_folder(key: str, upload: str) -> str:
    """Where in the store the files of one upload lie."""
    return f"files/{key}/{upload}"


def parsed_record(text: bytes | None) -> dict[str, Any] | None:
    """A record that can be read and names its upload; None for any other."""
    if text is None:
        return None
    try:
        record = parse_record(text)
    except ValueError:
        return None
    return record if is_upload(record.get("upload")) else None


def is_upload(name: object) -> bool:
    """Whether this can be the name of an upload. It becomes part of object names, some of which are removed."""
    return isinstance(name, str) and bool(_UPLOAD.fullmatch(name))
