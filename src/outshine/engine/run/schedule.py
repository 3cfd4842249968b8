"""Which stages are computed in one pass, and in which order."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from outshine.engine.stage import Stage

Unit = tuple[Stage, ...]  # a stage alone, or several of one batch group


def units(stages: Sequence[Stage], most: int) -> list[Unit]:
    """Return the stages in an order of computation; those that can share passes come together, at most `most` of them.

    Depends on the stages and their order alone. Stages stand together where they are of one batch group and equally
    deep in such stages (a student's student comes after its teacher); a ceiling, which nothing waits for, joins
    the students.
    """
    together = _together(stages, most)
    place = {stage.key: i for i, unit in enumerate(together) for stage in unit}
    readers: list[set[int]] = [set() for _ in together]
    waits = [0] * len(together)
    for i, unit in enumerate(together):
        for j in {place[source.key] for stage in unit for source in stage.inputs() if source.key in place}:
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
    """Count how many grouped stages deep each stage lies; one that nothing reads, alone in its wave, goes to the next.

    `stages`: inputs before what reads them. No stage depends on another of its group and wave.
    """
    waves: dict[str, int] = {}
    read: set[str] = set()
    by_group: dict[str, dict[int, list[str]]] = {}
    for stage in stages:
        inputs = [source.key for source in stage.inputs() if source.key in waves]
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


class Schedule:
    """The units of a run between waiting and finished.

    A stage that fails takes all that need it along, directly or not; the rest of their units goes on.
    """

    def __init__(self, units: Sequence[Unit]) -> None:
        self._units = list(units)
        self._place = {stage.key: i for i, unit in enumerate(self._units) for stage in unit}
        self._readers: dict[str, list[str]] = {}  # of a stage: those that read it
        self._waits: list[set[int]] = [set() for _ in self._units]  # units that one waits for
        self._followers: list[set[int]] = [set() for _ in self._units]
        for i, unit in enumerate(self._units):
            for stage in unit:
                for key in (source.key for source in stage.inputs() if source.key in self._place):
                    self._readers.setdefault(key, []).append(stage.key)
                    self._waits[i].add(self._place[key])
                    self._followers[self._place[key]].add(i)
        self._ready: dict[str | None, list[int]] = {}  # numbers of units, a heap for each base
        self._left_out: set[str] = set()
        self.num_left = len(self._units)  # units that are not finished
        for i, waits in enumerate(self._waits):
            if not waits:
                self._is_ready(i)

    @property
    def has_ready(self) -> bool:
        """Whether `take` would give one."""
        return any(self._ready.values())

    @property
    def num_left_out(self) -> int:
        """Stages that were not computed because one that they need failed."""
        return len(self._left_out)

    def take(self, base: str | None = None) -> Unit | None:
        """The first ready unit on this base model, else the first of all; None where all wait for what is under way."""
        near = self._ready.get(base) if base else None
        if not near:
            near = min((heap for heap in self._ready.values() if heap), key=lambda heap: heap[0], default=None)
        if near is None:
            return None
        return tuple(stage for stage in self._units[heapq.heappop(near)] if stage.key not in self._left_out)

    def give_back(self, unit: Unit) -> None:
        """The unit was taken and not computed."""
        self._is_ready(self._place[unit[0].key])

    def finish(self, unit: Unit, failed: Iterable[str] = ()) -> None:
        """The unit is through; stages of these keys failed."""
        self._leave_out(failed)
        finished = [self._place[unit[0].key]]
        while finished:
            i = finished.pop()
            self.num_left -= 1
            for j in self._followers[i]:
                self._waits[j].discard(i)
                if self._waits[j]:
                    continue
                if all(stage.key in self._left_out for stage in self._units[j]):
                    finished.append(j)
                else:
                    self._is_ready(j)

    def _leave_out(self, failed: Iterable[str]) -> None:
        readers = [reader for key in failed for reader in self._readers.get(key, ())]
        while readers:
            key = readers.pop()
            if key not in self._left_out:
                self._left_out.add(key)
                readers += self._readers.get(key, ())

    def _is_ready(self, i: int) -> None:
        heapq.heappush(self._ready.setdefault(base_of(self._units[i]), []), i)


def base_of(unit: Unit) -> str | None:
    """The base model that a unit needs in memory; None: it needs none."""
    return next((stage.base_model for stage in unit if stage.base_model is not None), None)
