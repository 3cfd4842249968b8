"""A bounded YAML reader for studies: plain mappings, lists, texts and numbers."""

from __future__ import annotations

from typing import Any

import yaml

from outshine.engine.errors import SettingsError
from outshine.engine.messages import visible

MOST_CHARACTERS = 1_000_000
MOST_DEPTH = 50  # lists and mappings within each other
MOST_NODES = 100_000  # values, those behind an alias counted each time: nine aliases of nine aliases … grow without end
LARGEST_NUMBER = 2**63 - 1

_INTEGER = "tag:yaml.org,2002:int"
_NAMES = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
_LONGEST_NUMBER = 80  # characters, as 0b… needs them


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
