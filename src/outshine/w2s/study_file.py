"""Studies from YAML files, presets and `path=value` settings; errors in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from outshine.data.schema import recipes
from outshine.data.user_datasets import ARRAYS_KIND, FILE_KIND, HUB_KIND, OWN_KINDS, PAIRS_KIND, own_source
from outshine.data.user_tables import file_format
from outshine.engine.errors import SettingsError, UnknownNameError
from outshine.engine.files import user_path
from outshine.engine.messages import visible
from outshine.learn.spec import is_array_name
from outshine.w2s.study import Study

Raw = dict[str, Any]

MOST_CHARACTERS = 1_000_000
MOST_DEPTH = 50  # lists and mappings within each other
MOST_NODES = 100_000  # values, those behind an alias counted each time: nine aliases of nine aliases … grow without end
LARGEST_NUMBER = 2**63 - 1

_INTEGER = "tag:yaml.org,2002:int"
_NAMES = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
_LONGEST_NUMBER = 80  # characters, as 0b… needs them


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
    "classes": "classes",
}
"""What the options that describe a table are called among the settings of a dataset."""


def with_columns(raw: Raw, columns: dict[str, str]) -> Raw:
    """Lay columns and labels' values over the files and hub datasets of a raw study. `columns`: by option.

    Raises SettingsError where it has none: the columns of a recipe are known.
    """
    if not columns:
        return raw
    datasets = raw.get("datasets", ())
    made = [_own(dataset) for dataset in (datasets if isinstance(datasets, list | tuple) else [datasets])]
    settings = {COLUMN_SETTINGS[option]: value for option, value in columns.items() if option != "pair"}
    if datasets and not any(isinstance(dataset, dict) and dataset.get("kind") in OWN_KINDS for dataset in made):
        options = " and ".join(f"--{option}" for option in columns)
        raise SettingsError(
            f"{options} describe a file of your own or a hub dataset without a recipe, named as owner/name; "
            f"{', '.join(map(str, datasets))} has its own"
        )
    laid = [
        _described(dataset, columns, settings)
        if isinstance(dataset, dict) and dataset.get("kind") in OWN_KINDS
        else dataset
        for dataset in made
    ]
    return {**raw, "datasets": [_named_in_full(dataset) for dataset in laid]}


def _described(dataset: Raw, columns: dict[str, str], settings: Raw) -> Raw:
    """A file or hub dataset with what options say of it; with two columns of texts it is one of pairs."""
    if "pair" not in columns and dataset["kind"] != PAIRS_KIND:
        return {**dataset, **settings}
    if dataset["kind"] == HUB_KIND:
        raise SettingsError("--pair is for files; download the pairs of a hub dataset and name the file")
    pair = [name.strip() for name in columns.get("pair", "").split(",")] if "pair" in columns else []
    if pair and (len(pair) != 2 or not all(pair)):
        raise SettingsError(f"--pair {columns['pair']}: two columns are expected, such as --pair a,b")
    foreign = [option for option in columns if option not in ("pair", "text", *_OF_PAIRS)]
    if foreign:
        raise SettingsError(
            f"--{foreign[0]} is not for pairs, whose label says which of the two texts is the better one"
        )
    described = {**dataset, "kind": PAIRS_KIND}
    if pair:
        described |= {"a_column": pair[0], "b_column": pair[1]}
        if [name.lower() for name in pair] == ["chosen", "rejected"]:
            described["label_column"] = None  # the first is always the better one
    if "text" in columns:
        described["prompt_column"] = columns["text"]
    return described | {COLUMN_SETTINGS[option]: columns[option] for option in _OF_PAIRS if option in columns}


_OF_PAIRS = ("label", "group", "id")


def _own(dataset: Any) -> Any:
    """A file or hub dataset in its short form as the settings that it stands for."""
    if isinstance(dataset, str) and dataset not in recipes.names():
        return own_source(dataset) or dataset
    return dataset


def _named_in_full(dataset: Any) -> Any:
    """Raise SettingsError for a hub dataset of which a column is still unknown."""
    if isinstance(dataset, dict) and dataset.get("kind") == HUB_KIND:
        lacking = [option for option in ("text", "label") if COLUMN_SETTINGS[option] not in dataset]
        if lacking:
            options = " and ".join(f"--{option} COLUMN" for option in lacking)
            raise SettingsError(f"of the hub dataset {dataset.get('repo')} say which column it is, too: {options}")
    return dataset


def parse_study(raw: Raw) -> Study:
    """The study that raw settings describe. Raises SettingsError (or UnknownNameError) in one line."""
    return Study(**_for_arrays(raw))


def _for_arrays(raw: Raw) -> Raw:
    """Take files of a study on arrays of features for tables of labels: `--weak a.npy --strong b.npy`."""
    models = [raw.get("weak"), raw.get("strong")]
    names = [model.get("model") if isinstance(model, dict) else model for model in models]
    if not any(isinstance(name, str) and is_array_name(name) for name in names):
        return raw
    datasets = raw.get("datasets", ())
    several = datasets if isinstance(datasets, list | tuple) else [datasets]
    made = [_own(dataset) for dataset in several]
    return {
        **raw,
        "datasets": [
            {**dataset, "kind": ARRAYS_KIND}
            if isinstance(dataset, dict) and dataset.get("kind") == FILE_KIND
            else dataset
            for dataset in made
        ],
    }


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


def read_yaml(text: str, where: str) -> Any:
    """The value of a YAML text; `where` begins what is said of a fault.

    Raises yaml.YAMLError for what is no YAML, and SettingsError for what is none that a study could need: a name given
    twice, a name that is no text, a value that holds itself, control characters, numbers of more than 64 bits, or more
    of anything than the bounds above.
    """
    if len(text) > MOST_CHARACTERS:
        raise SettingsError(f"{where}: {len(text):,} characters; at most {MOST_CHARACTERS:,} are read")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, where)
        return loader.construct_document(node)
    except RecursionError:
        raise SettingsError(f"{where}: nested too deep; at most {MOST_DEPTH} levels are read") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # the loader's own, of dates and numbers
        raise SettingsError(f"{where}: a value is not what it looks like ({error}); quote it, or mend it") from None
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """Goes no deeper than what is read: each token of a deeper text would take longer than the one before."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self._depth > MOST_DEPTH + 1:  # those of one more are counted below
            raise RecursionError
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def _check(root: yaml.Node, where: str) -> None:
    """Refuse before anything is built: what an alias stands for is one node here, however often it is named."""
    sizes: dict[int, int] = {}
    above: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in above:
            raise SettingsError(f"{where}: a value holds itself (line {node.start_mark.line + 1})")
        if id(node) not in sizes:
            above.add(id(node))
            if len(above) > MOST_DEPTH:
                raise SettingsError(f"{where}: nested too deep; at most {MOST_DEPTH} levels are read")
            sizes[id(node)] = 1 + sum(map(size, _parts(node, where)))
            above.discard(id(node))
        return sizes[id(node)]

    if size(root) > MOST_NODES:
        raise SettingsError(f"{where}: stands for more than {MOST_NODES:,} values; write a smaller study")


def _parts(node: yaml.Node, where: str) -> list[yaml.Node]:
    line = f"line {node.start_mark.line + 1}"
    if isinstance(node, yaml.ScalarNode):
        if visible(node.value) != node.value:
            raise SettingsError(f"{where}: a text holds a character that does not show ({line}); write it without")
        if node.tag == _INTEGER and not _is_small(node):
            raise SettingsError(f"{where}: a number is too large ({line}); at most {LARGEST_NUMBER:,} can be used")
        return []
    if isinstance(node, yaml.MappingNode):
        names = [name.value for name, _ in node.value if name.tag in _NAMES]
        if len(names) < len(node.value):
            raise SettingsError(f"{where}: a setting's name is no text ({line}); write it in quotes")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SettingsError(f"{where}: '{twice[0]}' is given twice ({line}); leave one of them out")
        return [part for pair in node.value for part in pair]
    return list(node.value)


def _is_small(node: yaml.ScalarNode) -> bool:
    if len(node.value) > _LONGEST_NUMBER:
        return False
    return abs(yaml.SafeLoader("").construct_yaml_int(node)) <= LARGEST_NUMBER
