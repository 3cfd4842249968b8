"""What executors add: equal stages on Ray and in worker processes beside plain ones, and what an empty stage costs."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import children

STAGES, SECONDS = 64, 1.0  # equal stages, and what each takes on one core
WORKERS = 2


def measure(*, quick: bool, repeats: int) -> dict[str, Any]:
    """Both; the stages of all ways are the same, in turns."""
    num_stages, seconds, idle = (8, 0.05, 50) if quick else (STAGES, SECONDS, 10_000)
    rounds = children.call("busy", "rounds_of", {"seconds": seconds}, 1).value
    ways = {"one process": _plain, "two processes": _plain, "pool": _by_executor, "ray": _by_executor}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            took[name].append(way(name, num_stages, rounds))
    medians = {name: statistics.median(each) for name, each in took.items()}
    gain = {name: medians["one process"] / each for name, each in medians.items()}
    empty = {name: _by_executor(name, idle, 0) for name in ("one process, in turn", "pool")}
    return {
        "stages": num_stages,
        "seconds_each": seconds,
        "seconds": took,
        "over_one_process": gain,
        "share_of_two_processes": {name: gain[name] / gain["two processes"] for name in ("pool", "ray")},
        "empty_stages": idle,
        "ms_per_empty_stage": {name: 1e3 * each / idle for name, each in empty.items()},
    }


def compute(kind: str, store: str, first: int, last: int, rounds: int) -> float:
    """Seconds that the stages of these numbers take; starting workers counts, importing here and a cluster do not."""
    from benchmarks.busy import Busy, BusyStages, stages_of
    from outshine.engine.progress import Silent
    from outshine.engine.run.executors import LocalWorkers, RayWorkers, executor
    from outshine.engine.run.worker_process import WorkerJob
    from outshine.engine.runtime import Runtime
    from outshine.engine.store.store import Store

    local = LocalWorkers(workers=1 if kind == "plain" else WORKERS)
    workers = RayWorkers(workers=WORKERS) if kind == "ray" else local
    if kind == "ray":
        _start_ray()
    stages = tuple(Busy(n=n, rounds=rounds) for n in range(first, last))
    job = WorkerJob(stages_of, BusyStages(asked=stages))
    run = executor(workers, Store(store), Runtime(device="cpu", threads=1), Silent(), job)
    began = time.perf_counter()
    run.run(stages)
    return time.perf_counter() - began


def _start_ray() -> None:
    import ray

    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    paths = {"PYTHONPATH": os.environ.get("PYTHONPATH", "") + os.pathsep + str(children.ROOT)}
    ray.init(
        address="local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": paths}
    )


def _by_executor(name: str, num_stages: int, rounds: int) -> float:
    kind = {"pool": "local", "ray": "ray"}.get(name, "plain")
    with TemporaryDirectory() as store:
        given = {"kind": kind, "store": store, "first": 0, "last": num_stages, "rounds": rounds}
        return children.call("executors", "compute", given, 1).value


def _plain(name: str, num_stages: int, rounds: int) -> float:
    """One or two processes that know nothing of each other, each with its part of the stages; with their imports."""
    parts = 1 if name == "one process" else WORKERS
    program = (
        "import sys; from benchmarks.executors import compute; a = sys.argv; compute('plain', a[1], *map(int, a[2:]))"
    )
    with TemporaryDirectory() as folder:
        bounds = [num_stages * i // parts for i in range(parts + 1)]
        began = time.perf_counter()
        running = []
        for i in range(parts):
            given = [str(Path(folder) / str(i)), str(bounds[i]), str(bounds[i + 1]), str(rounds)]
            command = [sys.executable, "-c", program, *given]
            running.append(subprocess.Popen(command, cwd=children.ROOT, env=children.environment(1)))  # noqa: S603
        codes = [one.wait() for one in running]
        if any(codes):
            raise RuntimeError(f"a plain process failed: {codes}")
        return time.perf_counter() - began
