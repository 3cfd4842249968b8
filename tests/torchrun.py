"""Starting a few processes that compute together, as a user does on a machine with several GPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
SECONDS = 120  # a hang is a failure


def torchrun(folder: Path, *arguments: str, restarts: int = 0) -> subprocess.CompletedProcess[str]:
    """Two processes on this machine's CPU, in `folder`; `arguments`: a file, or -m and a module, and what follows."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(TESTS), str(TESTS / "learn" / "training"), *(path for path in sys.path if path)]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", str(restarts)]
    return subprocess.run(
        [sys.executable, *launch, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def said(ran: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines in which outshine says why it ended."""
    return [line for line in ran.stderr.splitlines() if line.startswith("outshine: ")]
