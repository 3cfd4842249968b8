"""Faults inside a process: a clock that leaps, memory that runs out, a loss that is NaN."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path

from faults.outcome import Outcome, finish, unlike
from faults.study import ROOT, Driver

SAME = 1e-3  # of an AUC, where batches were cut otherwise: results may differ by rounding


def injected(kind: str) -> dict[str, str]:
    """The environment of a driver with this fault."""
    paths = [str(ROOT / "faults" / "inject"), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return {"OUTSHINE_FAULT": kind, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def clock(folder: Path, reference: Mapping[str, str]) -> Outcome:
    """Python's clock leaps by up to a day at every look, in the driver and its workers."""
    ended = Driver(folder, "--workers", "2", environment=injected("clock")).end()
    problems = [] if ended.code == 0 else [f"ended with {ended.code}: {ended.said.strip().splitlines()[-1:]}"]
    problems += unlike(folder, reference)
    return Outcome("the clock leaps", 1, int(not problems), 0, "", tuple(problems))


def memory(folder: Path, finished: Path) -> Outcome:
    """A third of the forward passes run out of memory until the batches are small."""
    ended = Driver(folder, "--workers", "2", environment=injected("memory")).end()
    problems = [] if ended.code == 0 else [f"ended with {ended.code}: {ended.said.strip().splitlines()[-1:]}"]
    if not problems:
        ours, theirs = (_aucs(place / "out" / "scores.csv") for place in (folder, finished))
        if len(ours) != len(theirs) or any(abs(a - b) > SAME for a, b in zip(ours, theirs, strict=True)):
            problems.append("AUCs differ by more than rounding")
    return Outcome("out of memory in workers", 1, int(not problems), 0, "AUCs equal to .001", tuple(problems))


def nan(folder: Path, reference: Mapping[str, str]) -> Outcome:
    """A loss gives NaN: its students fail, all else is finished, and the next run computes what is missing."""
    ended = Driver(folder, "--workers", "2", environment=injected("nan")).end()
    problems = []
    if ended.code != 3 or "training diverged" not in ended.said:
        problems.append(f"ended with {ended.code}: {ended.said.strip().splitlines()[-1:]}")
    failed = len(list((folder / "store" / "failures").glob("*.json")))
    problems += finish(folder, reference, "--workers", "2")
    return Outcome("a loss is NaN", failed, 0 if problems else failed, failed, "", tuple(problems))


def _aucs(path: Path) -> list[float]:
    with path.open(encoding="utf-8", newline="") as file:
        return [float(row["auroc"]) for row in csv.DictReader(file) if row.get("auroc")]
