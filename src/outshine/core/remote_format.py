"""STORE.json below a URL: the version of the format, and the proof that the storage refuses a second creation."""

from __future__ import annotations

import json
import uuid

from outshine.core.errors import StoreError
from outshine.core.objects import Objects
from outshine.core.records import FORMAT, newer_format

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


def check_format(objects: Objects) -> None:
    """Raises StoreError for a store of a newer version, and for what is no store."""
    text = objects.read(_NAME)
    try:
        found = json.loads(text)["format"] if text is not None else FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{_NAME} of {objects.where} cannot be read ({error}); is it a store?") from None
    if not isinstance(found, int) or found > FORMAT:
        raise newer_format(objects.where, found)


def _text() -> bytes:
    """Other than any other process's, so that one can tell its own from what was there."""
    return json.dumps({"format": FORMAT, "made": uuid.uuid4().hex}).encode()
