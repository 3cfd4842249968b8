"""Small JSON documents beside the artefacts of a store on shared or remote storage."""

from __future__ import annotations

import json
from typing import Any

from outshine.core.documents import Documents, check_document_name, is_document_name, parse_document
from outshine.core.objects import Objects


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
