"""A function run in a fresh process with pinned threads, so that its peak memory and its imports are its own.

python -m benchmarks.children <module> <function> <threads>     (one JSON value in, one out; see `call`)
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Measured(NamedTuple):
    """What a function returned, its wall time with the imports it makes, and its process's largest resident size."""

    value: Any
    seconds: float
    peak_mb: float


def call(module: str, function: str, given: dict[str, Any], threads: int) -> Measured:
    """`function(**given)` of `benchmarks.<module>` in a process of its own; arguments and result pass as JSON.

    Raises RuntimeError with the end of the process's error output where it fails.
    """
    with TemporaryDirectory() as folder:
        into, out = Path(folder) / "given.json", Path(folder) / "measured.json"
        into.write_text(json.dumps(given), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.children", module, function, str(threads), str(into), str(out)]
        ended = subprocess.run(  # noqa: S603
            command, cwd=ROOT, env=environment(threads), capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise RuntimeError(f"{module}.{function} failed: {ended.stderr[-2000:]}")
        return Measured(**json.loads(out.read_text(encoding="utf-8")))


def environment(threads: int) -> dict[str, str]:
    """This process's environment with every pool of threads pinned and this checkout importable."""
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        **dict.fromkeys(_POOLS, str(threads)),
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


def peak_mb() -> float:
    """Largest resident size of this process so far, in MB.

    On Linux from /proc: `ru_maxrss` survives exec, so that a child would be charged for its parent.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def _main() -> None:
    module, function, threads, into, out = sys.argv[1:]
    given = json.loads(Path(into).read_text(encoding="utf-8"))
    run = getattr(import_module(f"benchmarks.{module}"), function)
    began = time.perf_counter()
    value = _pinned(run, int(threads), given)
    seconds = time.perf_counter() - began
    Path(out).write_text(json.dumps(Measured(value, seconds, peak_mb())._asdict()), encoding="utf-8")


def _pinned(run: Any, threads: int, given: dict[str, Any]) -> Any:
    import torch

    torch.set_num_threads(threads)
    return run(**given)


if __name__ == "__main__":
    _main()
