"""Canonical keys: one text for everything a result depends on, and its sha256."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic.fields import FieldInfo

from outshine.engine.settings import NotInKey, NotInKeyAtDefault, Plugin, Settings

KEY = re.compile(r"[0-9a-f]{64}")
_KEPT = 4096  # forms of settings that are kept; those of a study with as many losses still fit
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)
_forms: dict[int, tuple[Settings, dict[str, Any]]] = {}


def sha256(data: bytes | str) -> str:
    """The sha256 of bytes, or of a text in UTF-8, as 64 hex digits."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def in_key(field: FieldInfo) -> bool:
    """Whether a field is part of the key (it is unless marked with NotInKey)."""
    return not any(isinstance(mark, NotInKey) for mark in field.metadata)


@cache
def key_fields(model: type[Settings]) -> tuple[str, ...]:
    """The names of the fields that are part of the key. Kept: a plan asks for the keys of thousands of stages."""
    return tuple(name for name, field in model.model_fields.items() if in_key(field))


@cache
def _later_fields(model: type[Settings]) -> dict[str, Any]:
    """The fields that are part of the key only where they differ from their default, and the default's form."""
    fields = model.model_fields.items()
    return {
        name: canonical(field.get_default(call_default_factory=True))
        for name, field in fields
        if any(isinstance(mark, NotInKeyAtDefault) for mark in field.metadata)
    }


@cache
def _has_key(model: type[Settings]) -> bool:
    """Whether values of this type may have a `key`. Asking each value is slow where it has none."""
    return "key" in model.model_fields or hasattr(model, "key")


def canonical(value: Any) -> Any:
    """`value` as JSON types, the same for equal values in every process and on every machine. Not to be changed.

    Anything that has its own `key` (a stage) is written as that key. Raises TypeError for what has no
    canonical form (a path, a set, an object) and ValueError for NaN and infinities.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no canonical form")
        return value
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("only mappings with text keys have a canonical form")
        return {name: canonical(value[name]) for name in sorted(value)}
    if isinstance(value, Settings):
        key = getattr(value, "key", None) if _has_key(type(value)) else None
        return {"stage": key} if isinstance(key, str) else _form(value)
    raise TypeError(f"a {type(value).__name__} has no canonical form: {value!r}")


def _form(value: Settings) -> dict[str, Any]:
    """`canonical_fields`, kept by identity: thousands of stages hold one classifier, one dataset's texts, one loss.

    The value is kept with its form: as long as it lives, no other has its id.
    """
    kept = _forms.get(id(value))
    if kept is None:
        kept = (value, canonical_fields(value))
        if len(_forms) >= _KEPT:
            _forms.clear()
        _forms[id(value)] = kept
    return kept[1]


def canonical_fields(value: Settings) -> dict[str, Any]:
    """The fields of a settings value that belong to its key, defaults written out like any other value.

    A plugin's name and, from the second on, its VERSION belong to it too. Raises TypeError for a plugin
    without a name: two of them with equal fields would be taken for one.
    """
    later = _later_fields(type(value))
    forms = ((name, canonical(getattr(value, name))) for name in key_fields(type(value)))
    fields = {name: form for name, form in forms if name not in later or form != later[name]}
    if not isinstance(value, Plugin):
        return fields
    if not value.kind:
        raise TypeError(f"{type(value).__name__} has no name: register it, or give it a `kind` of its own")
    version = {"plugin_version": value.VERSION} if value.VERSION > 1 else {}  # the first moves no key
    return {"kind": value.kind, **version, **fields}


def digest(value: Any) -> str:
    """sha256 of the canonical JSON of `value`: 64 hex digits."""
    return digest_of_form(canonical(value))


def digest_of_form(form: Any) -> str:
    """`digest` of what is in canonical form already: walking through it again would take longer than the hash."""
    return sha256(_ENCODER.encode(form))
