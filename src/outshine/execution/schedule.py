"""Which unit is computed next: those whose inputs are there, near what a worker has in memory, none that cannot be."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from outshine.execution.cohorts import Unit


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
                for key in (one.key for one in stage.inputs() if one.key in self._place):
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
        found = [reader for key in failed for reader in self._readers.get(key, ())]
        while found:
            key = found.pop()
            if key not in self._left_out:
                self._left_out.add(key)
                found += self._readers.get(key, ())

    def _is_ready(self, i: int) -> None:
        heapq.heappush(self._ready.setdefault(base_of(self._units[i]), []), i)


def base_of(unit: Unit) -> str | None:
    """The base model that a unit needs in memory; None: it needs none."""
    return next((stage.base_model for stage in unit if stage.base_model is not None), None)
