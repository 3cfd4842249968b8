"""Settings: frozen values that refuse unknown fields, and errors in them told in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

from outshine.engine.errors import SettingsError


class Settings(BaseModel):
    """A frozen value with typed fields. Two equal settings are interchangeable everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class Plugin(Settings):
    """Settings that a registry knows under a name. The name is part of the value: it is written as `kind`.

    `VERSION` is bumped by hand when the plugin gives other results for the same settings: it is then part of the
    key of every stage that holds the plugin, and old results are not reused.
    """

    VERSION: ClassVar[int] = 1
    kind: ClassVar[str] = ""

    @model_serializer(mode="wrap")
    def _with_kind(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"kind": self.kind, **handler(self)}


class NotInKey:
    """Marks a field that says where something lies, not what it is: `path: Annotated[str, NotInKey()]`."""


class NotInKeyAtDefault:
    """Marks a field that came later: at its default the key is what it was without the field.

    What the default does must then stay what was done before there was the field.
    """


def explain(error: ValidationError, where: str = "", known: Iterable[str] = ()) -> SettingsError:
    """Turn pydantic's report into one line that names the field, what was given and what was expected.

    `known`: names of settings from which the nearest is offered for a misspelt one.
    """
    lines = []
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"])
        value = item.get("input")
        if item["type"] == "extra_forbidden":
            close = difflib.get_close_matches(str(item["loc"][-1]), list(known), n=1)
            lines.append(f"unknown setting '{path}'" + (f"; did you mean '{close[0]}'?" if close else ""))
        elif item["type"] == "missing":
            lines.append(f"'{path}' is missing")
        else:
            lines.append(f"'{path}': {item['msg']} (given: {value!r})")
    return SettingsError((f"{where}: " if where else "") + "; ".join(lines))


def setting_names(model: type[BaseModel]) -> set[str]:
    """All names of settings, at any depth."""
    names: set[str] = set()
    pending: list[type[BaseModel]] = [model]
    while pending:
        for name, field in pending.pop().model_fields.items():
            if name not in names:
                names.add(name)
                pending += [part for part in _models_in(field.annotation) if issubclass(part, BaseModel)]
    return names


def _models_in(annotation: Any) -> Iterable[type]:
    if isinstance(annotation, type):
        return [annotation]
    parts = [_models_in(part) for part in getattr(annotation, "__args__", ())]
    return [model for part in parts for model in part]
