"""The command in a process of its own, with the environment and the spy that a test wants."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import outshine

SOURCES = Path(outshine.__file__).parents[1]


# What takes longest is importing torch. The codes of the commands are written to a file.
SEVERAL = """
import json, sys
from pathlib import Path
from outshine.cli.main import main

codes = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["outshine", *arguments]
    try:
        main()
    except SystemExit as stop:
        codes.append(stop.code or 0)
Path("codes.json").write_text(json.dumps(codes))
"""


class Ended(NamedTuple):
    """A process that ended: its code and what it printed, as bytes."""

    code: int
    out: bytes
    err: bytes


def command(*arguments: str, cwd: Path, **environment: str) -> Ended:
    """`outshine …` as a shell starts it, from the sources that are tested."""
    return python("-m", "outshine", *arguments, cwd=cwd, **environment)


def several(*commands: tuple[str, ...], cwd: Path, **environment: str) -> tuple[list[int], Ended]:
    """One process that runs commands one after the other: their codes, and all that they printed."""
    ended = python("-c", SEVERAL, json.dumps(commands), cwd=cwd, **environment)
    assert ended.code == 0, ended.err.decode()
    return json.loads((cwd / "codes.json").read_text()), ended


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
