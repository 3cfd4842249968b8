"""outshine at scale: a plan of many stages, the driver's share of stages that do nothing, and a finished run again."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from benchmarks import children
from outshine.engine.progress import Silent
from outshine.engine.runtime import Runtime
from outshine.engine.stage import Context, Stage
from outshine.engine.store.store import Store

if TYPE_CHECKING:
    from outshine.w2s.study import Study

PLANNED = (1_000, 10_000, 100_000)  # stages
DRIVEN = 10_000  # stages
QUICK_PLANNED, QUICK_DRIVEN = (100, 300), 40

METHODS: list[Any] = [  # with supervisor and ceiling 78 stages a seed on six datasets
    "vanilla",
    {"kind": "vanilla", "loss": "logconf"},
    "strong_to_strong",
    {"kind": "probe", "probe": "knn"},
    {"kind": "probe", "probe": "logistic", "layer": "last"},
    {"kind": "probe_to_strong", "probe": "knn"},
    {"kind": "filtered", "filter": "topofilter"},
    {"kind": "filtered", "filter": "knn", "drop": 0.25, "filter_val": True},
]


class Executor(Protocol):
    """What is measured: anything that computes stages and what they depend on."""

    def run(self, requested: Sequence[Stage]) -> None:
        """Compute what the store lacks."""
        ...


class Nothing(Stage):
    """A stage that writes one small file: all else that it takes is the driver's."""

    stage: ClassVar[str] = "nothing"

    number: int

    def run(self, context: Context) -> None:
        (context.folder / "number.txt").write_text(str(self.number), encoding="utf-8")


def _local(store: Store) -> Executor:
    from outshine.engine.run.local import LocalExecutor

    return LocalExecutor(store, Runtime(), Silent())


EXECUTORS: dict[str, Callable[[Store], Executor]] = {"local": _local}
"""How each executor is made for a store. One more entry here is one more row of the table."""


def measure(quick: bool, threads: int, repeats: int) -> dict[str, Any]:
    """Plans of each size and every executor, each turn in a process of its own; medians."""
    sizes, driven = (QUICK_PLANNED, QUICK_DRIVEN) if quick else (PLANNED, DRIVEN)
    return {
        "plans": [_turns("plan", {"stages": stages}, threads, repeats) for stages in sizes],
        "drivers": [_turns("drive", {"executor": name, "stages": driven}, threads, repeats) for name in EXECUTORS],
    }


def _turns(function: str, given: dict[str, Any], threads: int, repeats: int) -> dict[str, Any]:
    """What was asked and found: medians of seconds and of the process's largest resident size."""
    turns = [children.call("scale", function, given, threads) for _ in range(repeats)]
    found = {name: statistics.median(turn.value[name] for turn in turns) for name in turns[0].value}
    return {**given, **found, "peak_mb": statistics.median(turn.peak_mb for turn in turns)}


def plan(stages: int) -> dict[str, float]:
    """Seconds that the plan of a study of at least so many stages takes, after one that prepared its data."""
    from outshine.w2s.plan import plan_study

    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        one, two = (len(plan_study(study(seeds), store, Silent()).stages) for seeds in (1, 2))
        seeds = 1 + max(0, -(-(stages - one) // (two - one)))
        began = time.perf_counter()
        planned = plan_study(study(seeds), store, Silent())
        return {"seconds": time.perf_counter() - began, "stages": len(planned.stages)}


def study(num_seeds: int) -> Study:
    """Eight methods on the six embedded tasks, so many times."""
    from outshine.w2s.study_file import parse_study, read_study

    splits = {"n_train": 160, "n_val": 60, "n_test": 60}
    changed = {"seeds": list(range(num_seeds)), "methods": METHODS, "loss": "xent", "splits": splits}
    return parse_study(read_study("demo") | changed)


def drive(executor: str, stages: int) -> dict[str, float]:
    """Seconds of stages that do nothing on an empty store, and of the same once more in a driver of its own."""
    seconds = []
    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        EXECUTORS[executor](store).run([Nothing(number=-1)])  # imports, and the versions that are recorded
        for _ in range(2):
            driver, asked = EXECUTORS[executor](store), [Nothing(number=number) for number in range(stages)]
            began = time.perf_counter()
            driver.run(asked)
            seconds.append(time.perf_counter() - began)
        if len(store.keys()) != stages + 1:
            raise RuntimeError(f"{executor} left {len(store.keys()) - 1} of {stages} stages in the store")
    return {"seconds": seconds[0], "again_seconds": seconds[1]}
