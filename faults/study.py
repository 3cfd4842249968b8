"""The small study that everything is done to, and the processes that run it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
LEASE = 3.0  # seconds to live of a lease: a dead holder is waited for
PATIENCE = 300.0  # seconds after which a run counts as hanging

STUDY: dict[str, Any] = {
    "name": "fault-test",
    "datasets": ["tiny-home", "tiny-pet"],
    "weak": "tiny/weak",
    "strong": "tiny/strong",
    "compute_dtype": "float32",
    "runtime": {"threads": 1, "checkpoint_seconds": 0.2},
    "training": {"epochs": 2, "eval_every": 2},
    "splits": {"n_train": 256, "n_val": 40, "n_test": 80},
    "seeds": [0, 1],
    "loss": "xent",
    "methods": [
        "vanilla",
        {"kind": "vanilla", "loss": "logconf"},
        {"kind": "strong_to_strong", "rounds": 1},
        {"kind": "probe", "probe": "logistic"},
    ],
}


class Ended(NamedTuple):
    """A process that ended."""

    code: int
    said: str  # its error stream


class Driver:
    """`outshine run` on a store, in a session of its own."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        before: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        study: Mapping[str, Any] | None = None,
        below_url: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        path = folder / "study.yaml"
        path.write_text(yaml.safe_dump(study or STUDY), encoding="utf-8")
        store = folder / "store"
        places = ["--store", store.as_uri() if below_url else str(store), "--out", str(folder / "out")]
        command = [sys.executable, "-m", "outshine", "run", str(path), "--allow-leaks", *places, *options]
        self._errors = (folder / "errors.txt").open("ab")
        self.process = subprocess.Popen(  # noqa: S603
            [*before, *command], stdout=subprocess.DEVNULL, stderr=self._errors, start_new_session=True,
            env={**os.environ, **surroundings(), **own_places(folder), **(environment or {})},
        )  # fmt: skip

    @property
    def session(self) -> int:
        """By which its processes are found."""
        return self.process.pid

    def end(self, patience: float = PATIENCE) -> Ended:
        """Wait for the end. Raises TimeoutExpired where it hangs."""
        try:
            code = self.process.wait(patience)
        finally:
            self._errors.close()
        return Ended(code, (self.folder / "errors.txt").read_text(encoding="utf-8", errors="replace"))


def outshine(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A command, to its end."""
    command = [sys.executable, "-m", "outshine", *arguments]
    own = {**os.environ, **surroundings(), **(environment or {})}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=own, cwd=ROOT)  # noqa: S603


def own_places(folder: Path) -> dict[str, str]:
    """Where a run in this folder keeps local copies, and how long its leases live."""
    return {"OUTSHINE_CACHE": str(folder / "copies"), "OUTSHINE_LEASE_SECONDS": str(LEASE)}


def surroundings() -> dict[str, str]:
    """One thread a process, this checkout, no hub."""
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "RAY_AUTH_MODE": "disabled",
        "TOKENIZERS_PARALLELISM": "false",
    }


def tables(folder: Path) -> dict[str, str]:
    """sha256 of each table that a run wrote."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("out/*.csv"))}


def committed(folder: Path) -> dict[str, str]:
    """sha256 of the record of each finished artefact, by key: a second computation would change it."""
    records = (folder / "store" / "artefacts").rglob("DONE.json")
    return {path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in records}


def under_way(folder: Path) -> set[str]:
    """Keys of the stages that are being written."""
    found = [*(folder / "store" / "tmp").glob("*-*"), *(folder / "copies").glob("*/tmp/*-*")]
    return {path.name.partition("-")[0] for path in found if len(path.name.partition("-")[0]) == 64}


def leftovers(folder: Path) -> list[str]:
    """What a finished study should not have left in its store."""
    places = ("tmp", "commits", "running", "failures", "work", "leases", "damaged")
    left = [path for place in places for path in (folder / "store" / place).glob("*")]
    left += [path for place in ("tmp", "work") for path in (folder / "copies").glob(f"*/{place}/*")]
    return [str(path.relative_to(folder)) for path in {*left, *unfinished(folder), *_unmarked(folder)}]


def unfinished(folder: Path) -> list[Path]:
    """Small files in a store that somebody was killed over. `gc` removes them when they are a day old.

    In a store below file:// they lie in `tmp`; in a folder that is where artefacts are written, which are folders.
    """
    store = folder / "store"
    return [path for path in (*store.rglob(".*"), *(store / "tmp").glob("*")) if path.is_file()]


def _unmarked(folder: Path) -> list[Path]:
    """Uploads in a store below a URL that are no artefact's."""
    marked = {json.loads(path.read_text())["upload"] for path in (folder / "store" / "artefacts").glob("*/DONE.json")}
    return [path for path in (folder / "store" / "files").glob("*/*") if path.name not in marked]


def processes(session: int) -> dict[int, str]:
    """Living processes of a session, by number: their command lines."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] not in "ZX":
                found[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
        except (OSError, IndexError):
            continue
    return found


def orphans(session: int, patience: float = 15.0) -> dict[int, str]:
    """Processes of a session whose driver has ended that live on, after some seconds to put things away."""
    until = time.monotonic() + patience
    while processes(session) and time.monotonic() < until:
        time.sleep(0.05)
    return processes(session)
