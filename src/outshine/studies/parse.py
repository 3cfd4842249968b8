"""Studies from YAML files, presets and `path=value` settings; errors in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from outshine.core.errors import SettingsError, UnknownNameError
from outshine.core.files import user_path
from outshine.core.settings import explain
from outshine.studies.plain_yaml import read_yaml
from outshine.studies.study import DATA_FILES, Study

Raw = dict[str, Any]


def presets() -> list[str]:
    """Names of the studies that come with outshine."""
    folder = files("outshine.studies") / "presets"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_study(name: str) -> Raw:
    """The raw settings of a study file, or of a preset by its name."""
    if name in presets():
        text = (files("outshine.studies") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    elif name.endswith((".yaml", ".yml")):
        try:
            text = user_path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"study '{name}' cannot be read: {error}") from None
    else:
        raise UnknownNameError("study (a .yaml file is expected, or a preset)", name, presets())
    try:
        raw = read_yaml(text, f"study '{name}'")
    except yaml.YAMLError as error:
        raise SettingsError(f"study '{name}' is no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise SettingsError(f"study '{name}' holds no settings; a mapping such as `datasets: [sciq]` is expected")
    return raw


def with_settings(raw: Raw, assignments: Iterable[str]) -> Raw:
    """The raw study with `path=value` settings applied, such as `strong.learning_rate=1e-3` or `loss.alpha=.3`."""
    raw = dict(raw)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path.strip():
            raise SettingsError(f"--set {assignment}: path=value is expected, such as strong.learning_rate=1e-3")
        try:
            value = read_yaml(text, f"--set {assignment}")
        except yaml.YAMLError:
            value = text
        _assign(raw, path.strip().split("."), value, assignment)
    return raw


def parse_study(raw: Raw) -> Study:
    """The study that raw settings describe. Raises SettingsError (or UnknownNameError) in one line."""
    try:
        return Study(**raw)
    except ValidationError as error:
        raise explain(error, "study", known=setting_names(Study)) from None


def study_yaml(study: Study) -> str:
    """The study as YAML that `read_study` reads back to the same study."""
    return raw_yaml(study.model_dump(mode="json"))


def raw_yaml(raw: Raw) -> str:
    """Raw settings as YAML."""
    return yaml.safe_dump(raw, sort_keys=False, allow_unicode=True)


def _assign(raw: Raw, path: Sequence[str], value: Any, assignment: str) -> None:
    """Set one value in nested settings; a changed `kind` drops the settings of the old one."""
    place: Any = raw
    for depth, name in enumerate(path[:-1]):
        if isinstance(place, list):
            place = _list_item(place, name, assignment)
            continue
        inner = place.get(name)
        if inner is None and depth == 0:
            inner = _default_of(name)
        place[name] = _as_mapping(name, inner)
        place = place[name]
    last = path[-1]
    if isinstance(place, list):
        place[_index(place, last, assignment)] = value
    elif last == "kind" and place.get("kind") != value:
        place.clear()
        place["kind"] = value
    else:
        place[last] = value


def _as_mapping(name: str, value: Any) -> Any:
    """A short form (`weak: tiny/weak`, `loss: xent`) as the mapping that it stands for."""
    if isinstance(value, str) and value.endswith(DATA_FILES):
        return {"kind": "file", "path": value}
    if isinstance(value, str):
        return {"model": value} if name in ("weak", "strong") else {"kind": value}
    if isinstance(value, list | tuple):
        return [_raw(item) for item in value]
    return dict(value) if isinstance(value, dict) else {}


def _list_item(place: list[Any], name: str, assignment: str) -> Any:
    index = _index(place, name, assignment)
    place[index] = _as_mapping("", place[index])
    return place[index]


def _index(place: list[Any], name: str, assignment: str) -> int:
    if name.isascii() and name.isdigit() and len(name) < 10 and int(name) < len(place):
        return int(name)
    raise SettingsError(f"--set {assignment}: '{name}' is no position in a list of {len(place)}")


def _default_of(name: str) -> Any:
    """The default of a top-level setting, raw, so that a part of it can be changed."""
    field = Study.model_fields.get(name)
    if field is None:
        raise UnknownNameError("setting", name, Study.model_fields)
    return _raw(field.get_default(call_default_factory=True))


def _raw(value: Any) -> Any:
    """Settings as a study file would write them, what is left at its default left out."""
    if not isinstance(value, BaseModel):
        return value
    kind = getattr(value, "kind", None)
    return value.model_dump(mode="json", exclude_unset=True) | ({"kind": kind} if kind else {})


def setting_names(model: type[BaseModel]) -> set[str]:
    """All names of settings in a study, at any depth."""
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
