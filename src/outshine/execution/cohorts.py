"""Which stages are computed in one pass, and in which order."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from itertools import pairwise

from outshine.core.stage import Stage
from outshine.stages.finetune import Finetune

Unit = tuple[Stage, ...]  # a stage alone, or a cohort: fine-tunings of equal company


def units(stages: Sequence[Stage], most: int) -> list[Unit]:
    """The stages in an order of computation, those that can share passes together, at most `most` of them.

    Depends on the stages and their order alone. Stages stand together where they are of equal company and equally
    deep in fine-tunings (a student's student comes after its teacher); a ceiling, which nothing waits for, joins
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
    companies = {stage.key: stage.company if isinstance(stage, Finetune) else None for stage in stages}
    waves = _waves(stages, companies)
    groups: dict[tuple, list[Stage]] = {}
    for stage in stages:
        company = companies[stage.key]
        alone = company is None or most == 1
        groups.setdefault((stage.key,) if alone else (company, waves[stage.key]), []).append(stage)
    return [tuple(group[i : i + most]) for group in groups.values() for i in range(0, len(group), most)]


def _waves(stages: Sequence[Stage], companies: Mapping[str, str | None]) -> dict[str, int]:
    """How many fine-tunings deep each stage lies; one that nothing reads, alone in its wave, goes to the next.

    `stages`: inputs before what reads them. No stage depends on another of its company and wave.
    """
    waves: dict[str, int] = {}
    read: set[str] = set()
    by_company: dict[str, dict[int, list[str]]] = {}
    for stage in stages:
        inputs = [one.key for one in stage.inputs() if one.key in waves]
        read.update(inputs)
        company = companies[stage.key]
        waves[stage.key] = max((waves[key] for key in inputs), default=0) + (company is not None)
        if company is not None:
            by_company.setdefault(company, {}).setdefault(waves[stage.key], []).append(stage.key)
    for by_wave in by_company.values():
        ascending = sorted(by_wave)
        for wave, later in pairwise(ascending):
            if len(by_wave[wave]) == 1 and by_wave[wave][0] not in read:
                waves[by_wave[wave][0]] = later
    return waves
