"""Grids: one entry of a study's methods that stands for many, a method for each combination of settings."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from outshine.core.errors import SettingsError

GRID = "grid"


def expand_grids(methods: Any) -> Any:
    """Raw methods with every `grid` multiplied out; what is no list of mappings is left to later checks.

    `{kind: probe, probe: {kind: knn}, grid: {probe.k: [1, 5], layer: [1/4, last]}}` becomes four methods, the last
    setting varying fastest. Raises SettingsError for a grid that holds no values, or names a setting of what has none.
    """
    if isinstance(methods, Mapping):
        methods = [methods]
    if not isinstance(methods, Sequence) or isinstance(methods, str):
        return methods
    return [one for method in methods for one in _expand(method)]


def _expand(method: Any) -> list[Any]:
    if not isinstance(method, Mapping) or GRID not in method:
        return [method]
    grid = method[GRID]
    if not isinstance(grid, Mapping) or not all(
        isinstance(values, list | tuple) and values for values in grid.values()
    ):
        raise SettingsError(
            f"grid: {grid!r} is no mapping of settings to lists of values, such as {{probe.k: [1, 5], layer: [1/2]}}"
        )
    base = {name: value for name, value in method.items() if name != GRID}
    return [_with(base, zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _with(base: dict[str, Any], settings: Any) -> dict[str, Any]:
    """A copy of a method with dotted settings laid over it."""
    made = copy.deepcopy(base)
    for path, value in settings:
        *parents, last = str(path).split(".")
        place = made
        for name in parents:
            inner = place.get(name, {})
            place[name] = {"kind": inner} if isinstance(inner, str) else inner
            place = place[name]
            if not isinstance(place, dict):
                raise SettingsError(f"grid: '{path}' leads into '{name}', which is {inner!r} and has no settings")
        place[last] = copy.deepcopy(value)
    return made
