"""The command in a process of its own, with the environment and the spy that a test wants."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import outshine

SOURCES = Path(outshine.__file__).parents[1]


class Ended(NamedTuple):
    """A process that ended: its code and what it printed, as bytes."""

    code: int
    out: bytes
    err: bytes


def command(*arguments: str, cwd: Path, **environment: str) -> Ended:
    """`outshine …` as a shell starts it, from the sources that are tested."""
    return python("-m", "outshine", *arguments, cwd=cwd, **environment)


def python(*arguments: str, cwd: Path, **environment: str) -> Ended:
    """Python with a clean environment, a home below `cwd` and one thread."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "OUTSHINE_", "PYTHON"))}
    own = {"PYTHONPATH": str(SOURCES), "HOME": str(cwd / "home"), "HF_HOME": str(cwd / "hf"), "OMP_NUM_THREADS": "1"}
    if "PYTHONPATH" in environment:
        environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], str(SOURCES)])
    ended = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env={**kept, **own, **environment}, capture_output=True, timeout=300
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)
