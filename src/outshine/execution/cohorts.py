"""Which stages are computed in one pass, and in which order."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from itertools import pairwise

from outshine.core.stage import Stage

Unit = tuple[Stage, ...]  # a stage alone, or several of one batch group


def units(stages: Sequence[Stage], most: int) -> list[Unit]:
    """The stages in an order of computation, those that can share passes together, at most `most` of them.

    Depends on the stages and their order alone. Stages stand together where they are of one batch group and equally
    deep in such stages (a student's student comes after its teacher); a ceiling, which nothing waits for, joins
    the students.
    """
    together = _together(stages, most)
    place = {stage.key: i for i, unit in enumerate(together) for stage in unit}
    readers: list[set[int]] = [set() for _ in together]
    waits = [0] * len(together)
    for i, unit in enumerate(together):
        for j in {place[one.key] for stage in unit for one in stage.inputs() if one.key in place}:
            readers[j].add(i)
            waits[i] += 1
    ready = [i for i, count in enumerate(waits) if not count]
    ordered = []
    while ready:  # the first in the given order of those whose inputs are there
        i = heapq.heappop(ready)
        ordered.append(together[i])
        for j in readers[i]:
            waits[j] -= 1
            if not waits[j]:
                heapq.heappush(ready, j)
    return ordered


def _together(stages: Sequence[Stage], most: int) -> list[Unit]:
    """Units in the order of their first stages."""
    groups_of = {stage.key: stage.batch_group_key for stage in stages}
    waves = _waves(stages, groups_of)
    groups: dict[tuple, list[Stage]] = {}
    for stage in stages:
        group_key = groups_of[stage.key]
        alone = group_key is None or most == 1
        groups.setdefault((stage.key,) if alone else (group_key, waves[stage.key]), []).append(stage)
    return [tuple(group[i : i + most]) for group in groups.values() for i in range(0, len(group), most)]


def _waves(stages: Sequence[Stage], groups_of: Mapping[str, str | None]) -> dict[str, int]:
    """How many grouped stages deep each stage lies; one that nothing reads, alone in its wave, goes to the next.

    `stages`: inputs before what reads them. No stage depends on another of its group and wave.
    """
    waves: dict[str, int] = {}
    read: set[str] = set()
    by_group: dict[str, dict[int, list[str]]] = {}
    for stage in stages:
        inputs = [one.key for one in stage.inputs() if one.key in waves]
        read.update(inputs)
        group_key = groups_of[stage.key]
        waves[stage.key] = max((waves[key] for key in inputs), default=0) + (group_key is not None)
        if group_key is not None:
            by_group.setdefault(group_key, {}).setdefault(waves[stage.key], []).append(stage.key)
    for by_wave in by_group.values():
        ascending = sorted(by_wave)
        for wave, later in pairwise(ascending):
            if len(by_wave[wave]) == 1 and by_wave[wave][0] not in read:
                waves[by_wave[wave][0]] = later
    return waves
