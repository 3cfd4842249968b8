"""Settings: frozen values that refuse unknown fields, and errors in them told in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

from outshine.engine.errors import SettingsError

_MOST_PLACES = 3  # at which a setting stands that a message names


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

    `known`: settings, each with its path (`strong.tuning.rank`), of which the nearest is offered for a misspelt one, or
    the places at which there is one of that name.
    """
    lines = []
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"])
        value = item.get("input")
        if item["type"] == "extra_forbidden":
            near = _nearest(path, list(known))
            lines.append(f"unknown setting '{path}'" + (f"; did you mean {' or '.join(near)}?" if near else ""))
        elif item["type"] == "missing":
            lines.append(f"'{path}' is missing")
        else:
            lines.append(f"'{path}': {item['msg']} (given: {value!r})")
    return SettingsError((f"{where}: " if where else "") + "; ".join(lines))


def _nearest(path: str, known: Sequence[str]) -> list[str]:
    """Return the name nearest to that of an unknown setting, or the paths of that name where it stands elsewhere."""
    parent, _, name = path.rpartition(".")
    places = [one.rpartition(".") for one in known]
    close = difflib.get_close_matches(name, [last for _, _, last in places], n=1)
    if not close or any(where == parent for where, _, last in places if last == close[0]):
        return [f"'{found}'" for found in close]
    elsewhere = [one for one, (_, _, last) in zip(known, places, strict=True) if last == close[0]]
    near = [one for one in elsewhere if one.partition(".")[0] == path.partition(".")[0]]
    return [f"'{one}'" for one in (near or elsewhere)[:_MOST_PLACES]]


def setting_paths(model: type[BaseModel], parent: str = "") -> list[str]:
    """Return all settings by their paths, `strong.tuning.rank`, those of a model after those beside it."""
    paths = [f"{parent}{name}" for name in model.model_fields]
    for name, field in model.model_fields.items():
        for part in _models_in(field.annotation):
            if issubclass(part, BaseModel) and part is not model:
                paths += setting_paths(part, f"{parent}{name}.")
    return list(dict.fromkeys(paths))


def _models_in(annotation: Any) -> Iterable[type]:
    if isinstance(annotation, type):
        return [annotation]
    parts = [_models_in(part) for part in getattr(annotation, "__args__", ())]
    return [model for part in parts for model in part]
