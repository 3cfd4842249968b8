"""JSON documents beside the artefacts: what is running, what failed, which studies ran. Never a result."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from outshine.engine.checked_reading import parse_json, read_bytes
from outshine.engine.errors import StoreError
from outshine.engine.files import named, write_synced
from outshine.engine.store.objects import Objects

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Documents:
    """The documents of one kind in a store, by name. Each is written whole or not at all; the last writer wins.

    `told`: how the operating system's refusals are told.
    """

    def __init__(self, folder: Path, told: Callable[[], AbstractContextManager[None]]) -> None:
        self._folder = folder
        self._told = told

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Keep a document, in place of the one before."""
        path = self._path(name)
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_synced(path, json.dumps(value, sort_keys=True))

    def read(self, name: str) -> dict[str, Any] | None:
        """A document; None where there is none that can be read."""
        try:
            return parse_document(read_bytes(self._path(name)))
        except (OSError, ValueError):
            return None

    def names(self) -> list[str]:
        """The names of all documents, also of those that cannot be read, sorted."""
        with self._told():
            return [path.stem for path in named(self._folder, end=".json") if is_document_name(path.stem)]

    def all(self) -> dict[str, dict[str, Any]]:
        """Every document that can be read, by name, in the order of the names."""
        found = ((name, self.read(name)) for name in self.names())
        return {name: value for name, value in found if value is not None}

    def remove(self, name: str) -> None:
        """Forget a document, if there is one."""
        with self._told():
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        check_document_name(name)
        return self._folder / f"{name}.json"


def parse_document(text: bytes | None) -> dict[str, Any] | None:
    """The document that a text is; None for one that is none."""
    try:
        found = parse_json(text) if text is not None else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def is_document_name(name: str) -> bool:
    """Whether a document can have this name; what lies beside the documents under any other is none of them."""
    return bool(_NAME.fullmatch(name))


def check_document_name(name: str) -> None:
    """Raises StoreError for a name that could lead out of the folder of documents."""
    if not is_document_name(name):
        raise StoreError(f"'{name}' cannot name a document: letters, digits, '.', '_' and '-' are expected")


class RemoteDocuments(Documents):
    """The documents of one kind, by name. Each is written whole or not at all; the last writer wins."""

    def __init__(self, objects: Objects, kind: str) -> None:
        self._objects = objects
        self._kind = kind

    def write(self, name: str, value: dict[str, Any]) -> None:
        self._objects.write(self._name(name), json.dumps(value, sort_keys=True).encode())

    def read(self, name: str) -> dict[str, Any] | None:
        return parse_document(self._objects.read(self._name(name)))

    def names(self) -> list[str]:
        return sorted(self._listed())

    def all(self) -> dict[str, dict[str, Any]]:
        """Every document that can be read, by name, in the order of the names. One listing, then many at once."""
        listed = self._listed()
        texts = self._objects.read_many(listed.values())
        found = {name: parse_document(texts.get(place)) for name, place in sorted(listed.items())}
        return {name: value for name, value in found.items() if value is not None}

    def _listed(self) -> dict[str, str]:
        """The objects of documents by the documents' names."""
        found = [name for name in self._objects.list(self._kind) if name.count("/") == 1 and name.endswith(".json")]
        listed = {name.split("/")[1].removesuffix(".json"): name for name in found}
        return {name: place for name, place in listed.items() if is_document_name(name)}

    def remove(self, name: str) -> None:
        self._objects.remove(self._name(name))

    def _name(self, name: str) -> str:
        check_document_name(name)
        return f"{self._kind}/{name}.json"
