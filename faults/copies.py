"""Flipped bits where no artefact is: in checkpoints of runs that were killed, and in local copies."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from faults.disks import flip_bit
from faults.outcome import Outcome, finish, lost, unlike
from faults.study import LEASE, STUDY, Driver, committed, outshine, tables, under_way

TOLD = "the checkpoint is damaged"
LONG = {**STUDY, "runtime": {**STUDY["runtime"], "checkpoint_seconds": 0.01, "cohort": 1}}  # as many as can be


def checkpoints(folder: Path, reference: Mapping[str, str], num_kills: int, rng: random.Random) -> Outcome:
    """Killed as soon as there is a checkpoint, in which a bit is flipped: it is told and not gone on from."""
    killed = told = redone = studies = 0
    problems: list[str] = []
    start = partial(Driver, study=LONG)
    while killed < num_kills:
        studies += 1
        place = folder / str(studies)
        while killed < num_kills:
            driver = start(place)
            found = _a_checkpoint(driver, place)
            if found is None:
                break
            time.sleep(rng.uniform(0, 0.3))
            redone, before = redone + len(under_way(place)), committed(place)
            with suppress(ProcessLookupError):
                os.killpg(driver.session, signal.SIGKILL)
            driver.end()
            killed += 1
            for path in (place / "store" / "work").glob("*/checkpoint.safetensors"):
                flip_bit(path, rng)
            problems += lost(before, place)
        problems += finish(place, reference, start=start)
        told += (place / "errors.txt").read_text(encoding="utf-8", errors="replace").count(TOLD)
    remark = f"{studies} studies; {told} times told that training starts anew"
    return Outcome(
        "flipped bits in checkpoints, after SIGKILL", killed, killed - len(problems), redone, remark, tuple(problems)
    )


def _a_checkpoint(driver: Driver, place: Path) -> Path | None:
    """The first that this run writes; None where it ends before."""
    before = time.time()
    while driver.process.poll() is None:
        for path in (place / "store" / "work").glob("*/checkpoint.safetensors"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime > before:
                    return path
        time.sleep(0.01)
    driver.end()
    return None


def local(folder: Path, reference: Mapping[str, str], num_files: int, rng: random.Random) -> Outcome:
    """Local copies of a store below a URL: `verify` finds each, and no table is made of one, mended or not."""
    problems = [] if Driver(folder, below_url=True).end().code == 0 else ["the first run failed"]
    copies = sorted(path for path in (folder / "copies").glob("*/artefacts/*/*/**/*") if _is_full(path))
    by_artefact = {path.relative_to(folder / "copies").parts[3]: path for path in rng.sample(copies, len(copies))}
    chosen = [*by_artefact.values()][:num_files]  # one of each: a record that changed takes the artefact's copies along
    for path in chosen:
        flip_bit(path, rng)
    store, own = (folder / "store").as_uri(), {"OUTSHINE_CACHE": str(folder / "copies")}
    own["OUTSHINE_LEASE_SECONDS"] = str(LEASE)
    told = outshine("verify", "--store", store, environment=own)
    found = told.stdout.count("the local copy of")
    records = sum(path.name == "DONE.json" for path in chosen)  # fetched anew as soon as they are read
    ended = Driver(folder, below_url=True).end()
    if ended.code != 0 or found + records < len(chosen):
        problems.append(
            f"verify found {found}, and {records} records, of {len(chosen)}; the run ended with {ended.code}"
        )
    problems += unlike(folder, reference)
    outshine("verify", "--mend", "--store", store, environment=own)
    again = outshine("verify", "--store", store, environment=own)
    if again.returncode != 0 or tables(folder) != dict(reference):
        problems.append(f"verify afterwards: {again.stdout.strip().splitlines()[:3]}")
    return Outcome("flipped bits in local copies", len(chosen), 0 if problems else len(chosen), 0, "", tuple(problems))


def _is_full(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
