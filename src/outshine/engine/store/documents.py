"""JSON documents beside the artefacts: what is running, what failed, which studies ran. Never a result."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from outshine.engine.checked_reading import parse_json
from outshine.engine.errors import StoreError

if TYPE_CHECKING:
    from outshine.engine.store.backend import Backend

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_END = ".json"


class Documents:
    """The documents of one kind in a store, by name. Each is written whole or not at all; the last writer wins."""

    def __init__(self, backend: Backend, kind: str) -> None:
        check_document_name(kind)
        self._backend = backend
        self._kind = kind

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Keep a document, in place of the one before."""
        self._backend.write(self._place(name), json.dumps(value, sort_keys=True).encode())

    def read(self, name: str) -> dict[str, Any] | None:
        """A document; None where there is none that can be read."""
        try:
            return parse_document(self._backend.read(self._place(name)))
        except (OSError, ValueError):
            return None

    def names(self) -> list[str]:
        """The names of all documents, also of those that cannot be read, sorted."""
        files = [place.rsplit("/", 1)[1] for place in self._backend.list(self._kind)]
        names = [file.removesuffix(_END) for file in files if file.endswith(_END)]
        return sorted(name for name in names if _NAME.fullmatch(name))

    def all(self) -> dict[str, dict[str, Any]]:
        """Every document that can be read, by name, in the order of the names. One listing, then many at once."""
        names = self.names()
        texts = self._backend.read_many([self._place(name) for name in names])
        documents = {name: parse_document(texts.get(self._place(name))) for name in names}
        return {name: document for name, document in documents.items() if document is not None}

    def remove(self, name: str) -> None:
        """Forget a document, if there is one."""
        self._backend.remove(self._place(name))

    def _place(self, name: str) -> str:
        check_document_name(name)
        return f"{self._kind}/{name}{_END}"


def parse_document(text: bytes | None) -> dict[str, Any] | None:
    """The document that a text is; None for one that is none."""
    try:
        document = parse_json(text) if text is not None else None
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def check_document_name(name: str) -> None:
    """Raises StoreError for a name that could lead out of the folder of documents."""
    if not _NAME.fullmatch(name):
        raise StoreError(f"'{name}' cannot name a document: letters, digits, '.', '_' and '-' are expected")
