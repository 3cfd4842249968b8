"""What outshine costs where nothing is computed: a finished study run again, a plan, the command's start-up."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import children

_COMMAND = "import sys; from outshine.cli.main import main; sys.argv[0] = 'outshine'; main()"


def measure(threads: int, repeats: int) -> dict[str, Any]:
    """Medians in seconds, in turns."""
    with TemporaryDirectory() as folder:
        store, empty = str(Path(folder) / "store"), str(Path(folder) / "empty")
        first = children.call("costs", "run_study", {"store": store}, threads).value
        turns: dict[str, list[float]] = {"again": [], "again_with_imports": [], "plan": [], "help": []}
        for _ in range(repeats):
            again = children.call("costs", "run_study", {"store": store}, threads)
            turns["again"].append(again.value["second_seconds"])
            turns["again_with_imports"].append(again.value["first_seconds"])
            turns["plan"].append(command(["plan", "post", "--offline", "--store", empty], threads))
            turns["help"].append(command(["--help"], threads))
    return {
        "stages": first["stages"],
        "study_seconds": first["first_seconds"],
        **{f"{name}_seconds": statistics.median(seconds) for name, seconds in turns.items()},
    }


def run_study(store: str) -> dict[str, Any]:
    """A study on the embedded models run twice in this process: what the first and the second run took."""
    from outshine.engine.store.store import Store

    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        import outshine
        from outshine.w2s.study_file import parse_study

        study = {
            "datasets": ["tiny-home"],
            "weak": "tiny/weak",
            "strong": "tiny/strong",
            "methods": [{"kind": "vanilla", "loss": loss} for loss in ("xent", "logconf")],
            "splits": {"n_train": 128, "n_val": 40, "n_test": 80},
            "training": {"epochs": 1},
            "compute_dtype": "float32",
        }
        outshine.run(parse_study(study), store=store)
        seconds.append(time.perf_counter() - began)
    return {"first_seconds": seconds[0], "second_seconds": seconds[1], "stages": len(Store(Path(store)).keys())}


def command(arguments: list[str], threads: int) -> float:
    """Wall time of an `outshine` command."""
    began = time.perf_counter()
    subprocess.run(  # noqa: S603
        [sys.executable, "-c", _COMMAND, *arguments],
        env=children.environment(threads),
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - began
