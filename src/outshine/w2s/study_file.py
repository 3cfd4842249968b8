"""Studies from YAML files, presets and `path=value` settings; errors in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from outshine.data.schema import recipes
from outshine.data.user_datasets import HUB_KIND, OWN_KINDS, own_source
from outshine.data.user_tables import file_format
from outshine.engine.errors import SettingsError, UnknownNameError
from outshine.engine.files import user_path
from outshine.w2s.plain_yaml import read_yaml
from outshine.w2s.study import Study

Raw = dict[str, Any]


def presets() -> list[str]:
    """Names of the studies that come with outshine."""
    folder = files("outshine.w2s") / "presets"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_study(name: str) -> Raw:
    """The raw settings of a study file, or of a preset by its name."""
    if name in presets():
        text = (files("outshine.w2s") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
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


COLUMN_SETTINGS = {
    "text": "text_column",
    "label": "label_column",
    "group": "group_column",
    "id": "id_column",
    "positive": "positive",
    "negative": "negative",
    "missing": "missing",
}
"""What the options that describe a table are called among the settings of a dataset."""


def with_columns(raw: Raw, given: dict[str, str]) -> Raw:
    """The raw study with columns and labels' values laid over its files and hub datasets. `given`: by option.

    Raises SettingsError where it has none: the columns of a recipe are known.
    """
    if not given:
        return raw
    datasets = raw.get("datasets", ())
    made = [_own(one) for one in (datasets if isinstance(datasets, list | tuple) else [datasets])]
    settings = {COLUMN_SETTINGS[option]: value for option, value in given.items()}
    if datasets and not any(isinstance(one, dict) and one.get("kind") in OWN_KINDS for one in made):
        asked = " and ".join(f"--{option}" for option in given)
        raise SettingsError(
            f"{asked} describe a file of your own or a hub dataset without a recipe, named as owner/name; "
            f"{', '.join(map(str, datasets))} has its own"
        )
    laid = [{**one, **settings} if isinstance(one, dict) and one.get("kind") in OWN_KINDS else one for one in made]
    return {**raw, "datasets": [_named_in_full(one) for one in laid]}


def _own(dataset: Any) -> Any:
    """A file or hub dataset in its short form as the settings that it stands for."""
    if isinstance(dataset, str) and dataset not in recipes.names():
        return own_source(dataset) or dataset
    return dataset


def _named_in_full(dataset: Any) -> Any:
    """Raises SettingsError for a hub dataset of which a column is still unknown."""
    if isinstance(dataset, dict) and dataset.get("kind") == HUB_KIND:
        lacking = [option for option in ("text", "label") if COLUMN_SETTINGS[option] not in dataset]
        if lacking:
            asked = " and ".join(f"--{option} COLUMN" for option in lacking)
            raise SettingsError(f"of the hub dataset {dataset.get('repo')} say which column it is, too: {asked}")
    return dataset


def parse_study(raw: Raw) -> Study:
    """The study that raw settings describe. Raises SettingsError (or UnknownNameError) in one line."""
    return Study(**raw)


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
    if isinstance(value, str) and file_format(value) is not None:
        return {"kind": "file", "path": value}
    if isinstance(value, str) and name == "" and value not in recipes.names() and (own := own_source(value)):
        return own
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
