"""outshine's speed and memory beside the usual way, its throughput, fixed costs and growth, probes, filters and scale.

    python -m benchmarks.bench [--quick] [--only pipeline,throughput,…] [--threads 2] [--repeats 3]

Everything runs in processes started from here, one at a time, with pinned threads; what is compared runs in turns,
and medians are taken. Writes `benchmarks/results.json` and prints a table. Parts that were measured there before, on
the same machine with the same versions, stay.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import children, costs, executors, material, pipeline, probes_and_filters, scale, table

PARTS = ("pipeline", "throughput", "costs", "growth", "probes", "executors", "scale")


def main() -> None:
    """Read the options, measure, write, print."""
    given = _options().parse_args()
    results = earlier(given.out, {"quick": given.quick, "machine": machine(given.threads)})
    for part in given.only.split(","):
        results[part] = _measured(part, given)
        given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")  # what is done is kept
    print(table.markdown(results))  # noqa: T201


def earlier(out: Path, setting: dict[str, Any]) -> dict[str, Any]:
    """The parts that were measured before in the same setting, which stay until they are measured again."""
    if not out.is_file():
        return setting
    found = json.loads(out.read_text(encoding="utf-8"))
    return found if setting.items() <= found.items() else setting


def machine(threads: int) -> dict[str, Any]:
    """Where it was measured."""
    packages = {name: version(name) for name in ("torch", "transformers", "peft")}
    return {"processor": _processor(), "cores": os.cpu_count(), "threads": threads, **packages}


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="toy sizes, one repeat: does it all run?")
    parser.add_argument("--only", default=",".join(PARTS), help="some of: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each (%(default)s)")
    parser.add_argument("--rows-scale", type=float, default=1.0, help="shrink all splits of the pipeline in proportion")
    parser.add_argument("--students", type=int, choices=(2, 3, 4), default=4, help="of the larger study (%(default)s)")
    parser.add_argument("--eval-batch", type=int, default=1, help="texts of an evaluation batch of the usual way")
    parser.add_argument(
        "--usual-updates", type=int, default=8, help="updates of the usual way's turns on a part; 0: all turns whole"
    )
    parser.add_argument("--part-only", action="store_true", help="no whole turn of the usual way: no AUCs of it")
    parser.add_argument("--compute-dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--out", type=Path, default=children.ROOT / "benchmarks" / "results.json")
    return parser


def _measured(part: str, given: argparse.Namespace) -> Any:
    repeats = 1 if given.quick else given.repeats
    if part == "pipeline":
        return _pipeline(given, repeats)
    if part == "costs":
        return costs.measure(given.threads, repeats)
    if part == "probes":
        return probes_and_filters.measure_all(given.quick, given.threads, repeats)
    if part == "executors":
        return executors.measure(quick=given.quick, repeats=repeats)
    if part == "scale":
        return scale.measure(given.quick, given.threads, repeats)
    shared = {"repeats": repeats, "compute_dtype": given.compute_dtype}
    if part == "growth":
        return children.call("growth", "measure", {"quick": given.quick, **shared}, given.threads).value
    if part == "throughput":
        shapes = [material.TOY_STUDENT] if given.quick else [material.STUDENT, material.LARGER]
        rows = 64 if given.quick else 256
        jobs = [{"shape": list(s), "rows": rows, "members": m, **shared} for s in shapes for m in (1, 4)]
        return [children.call("throughput", "measure", job, given.threads).value for job in jobs]
    raise SystemExit(f"unknown part '{part}'; known: {', '.join(PARTS)}")


def _pipeline(given: argparse.Namespace, repeats: int) -> dict[str, Any]:
    size = pipeline.Size().scaled(given.rows_scale)
    if given.quick:
        size = pipeline.Size(n_train=160, n_val=40, n_test=80, epochs=2, eval_every=3, tiny=True)
    choices = pipeline.Choices(
        threads=given.threads,
        repeats=repeats,
        students=given.students,
        eval_batch=given.eval_batch,
        usual_updates=0 if given.quick else given.usual_updates,
        whole_first=not given.part_only,
        compute_dtype=given.compute_dtype,
    )
    with TemporaryDirectory() as folder:
        return pipeline.compare(Path(folder), size, choices)


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
