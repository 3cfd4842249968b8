"""STORE.json below a URL: the version of the format, and the proof that the storage refuses a second creation."""

from __future__ import annotations

import json
import uuid

from outshine.core.errors import StoreError
from outshine.core.objects import Objects
from outshine.core.reading import parse_json
from outshine.core.records import FORMAT, check_format

_NAME = "STORE.json"


def prepare_format(objects: Objects) -> None:
    """Have the object of the format. Raises StoreError for storage that overwrites what it was told to create."""
    if objects.read(_NAME) is None:
        objects.create(_NAME, _text())
    if objects.create(_NAME, _text()):
        raise StoreError(
            f"the store {objects.where}: its server overwrites what it was told to create (no If-None-Match), so that "
            "two could write one key; use a server that supports conditional writes, or a folder"
        )


def check_store(objects: Objects) -> None:
    """Raises StoreError for a store of a newer version, and for what is no store."""
    text = objects.read(_NAME)
    if text is None:
        return
    try:
        check_format(parse_json(text), objects.where)
    except ValueError as error:
        raise StoreError(f"{_NAME} of {objects.where} cannot be read ({error}); is it a store?") from None


def _text() -> bytes:
    """Other than any other process's, so that one can tell its own from what was there."""
    return json.dumps({"format": FORMAT, "made": uuid.uuid4().hex}).encode()
