"""Probes and filters at several sizes: seconds, extra memory, and both beside straightforward implementations.

Each in a process of its own, in turns with what it is set beside; medians of several runs. Extra memory is what the
first run adds to the process's peak; ours is the first of all.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import children, straightforward
from benchmarks.straightforward import DROP, PENALTY, SPECTRA, K
from outshine.learn.filters.probe_disagreement import ProbeDisagreement
from outshine.learn.filters.topofilter import TopoFilter
from outshine.learn.probes.base import Labelled
from outshine.learn.probes.knn import KNN
from outshine.learn.probes.logistic import Logistic

SIZES = ((5_000, 384), (10_000, 384), (50_000, 384), (10_000, 4_096))
TOY_SIZES = ((400, 16), (200, 32))
MOST_DENSE, TOY_MOST_DENSE = 10_000, 300  # rows: at 50,000 a distance matrix takes 10 GB in float32, 20 in float64
FORMATS = ("float64", "float32")
NAMES = ("knn", "logistic", "topofilter", "probe_disagreement")


class Job(NamedTuple):
    """What one process measures."""

    name: str
    rows: int
    width: int
    spectrum: str  # of the features of logistic rows; the others' are clusters
    dense: bool  # whether it is set beside the straightforward way


class Contest(NamedTuple):
    """Both ways to the same end, and how their results compare, in words."""

    ours: Callable[[], Any]
    theirs: dict[str, Callable[[], Any]]  # by format
    compared: Callable[[Any, Any], str]


def jobs(quick: bool) -> list[Job]:
    """Every probe and filter at every size; logistic on all spectra at the last, as wide as a large model's states."""
    sizes, most = (TOY_SIZES, TOY_MOST_DENSE) if quick else (SIZES, MOST_DENSE)
    made = []
    for name in NAMES:
        for rows, width in sizes:
            if name != "logistic":
                made.append(Job(name, rows, width, "", rows <= most))
                continue
            spectra = SPECTRA if (rows, width) == sizes[-1] else SPECTRA[:1]
            made.extend(Job(name, rows, width, spectrum, True) for spectrum in spectra)  # L-BFGS needs no n × n matrix
    return made


def measure_all(quick: bool, threads: int, repeats: int) -> list[dict[str, Any]]:
    """All jobs, each in a process of its own."""
    given = [{**job._asdict(), "repeats": repeats} for job in jobs(quick)]
    return [children.call("probes_and_filters", "measure", job, threads).value for job in given]


def measure(name: str, rows: int, width: int, spectrum: str, dense: bool, repeats: int) -> dict[str, Any]:
    """One job: medians of seconds, extra memory of the first run, and the same of what it is set beside.

    `left_out`: why it is set beside nothing.
    """
    contest = _logistic(spectrum, rows, width) if name == "logistic" else _by_neighbours(name, rows, width)
    runs = {"ours": contest.ours, **(contest.theirs if dense else {})}
    results: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {which: [] for which in runs}
    extra: dict[str, float] = {}
    for _ in range(repeats):
        for which, run in runs.items():
            before = _from_here()
            began = time.perf_counter()
            results[which] = run()
            seconds[which].append(time.perf_counter() - began)
            extra.setdefault(which, children.peak_mb() - before)
    took = {which: statistics.median(each) for which, each in seconds.items()}
    beside = [
        {
            "format": which,
            "seconds": took[which],
            "extra_mb": extra[which],
            "ratio": took[which] / took["ours"],
            "compared": contest.compared(results["ours"], results[which]),
        }
        for which in runs
        if which != "ours"
    ]
    lacking = None if dense else f"distances would take {rows**2 * 8 / 1e9:.2g} GB in float64"
    mine = {"seconds": took["ours"], "extra_mb": extra["ours"], "beside": beside, "left_out": lacking}
    return {"name": name, "rows": rows, "width": width, "spectrum": spectrum, **mine}


def _by_neighbours(name: str, num_rows: int, width: int) -> Contest:
    rows = straightforward.clustered_rows(num_rows, width)
    theirs = {which: partial(getattr(straightforward, name), rows, getattr(torch, which)) for which in FORMATS}
    ours: dict[str, Callable[[], Tensor]] = {
        "knn": lambda: KNN(k=K).fit(rows).predict_own(rows).p,
        "topofilter": lambda: TopoFilter(k=K).keep(rows, DROP, rows).kept,
        "probe_disagreement": lambda: ProbeDisagreement(probe=KNN(k=K)).keep(rows, DROP, rows).kept,
    }
    return Contest(ours[name], theirs, _farthest if name == "knn" else _differing)


def _logistic(spectrum: str, num_rows: int, width: int) -> Contest:
    rows = straightforward.spectral_rows(spectrum, num_rows, width)
    theirs = {which: partial(straightforward.lbfgs, rows, getattr(np, which)) for which in FORMATS}
    return Contest(lambda: _fitted(rows), theirs, lambda mine, other: _worse(rows, mine, other))


def _fitted(rows: Labelled) -> np.ndarray:
    found = Logistic(penalty=PENALTY).fit(rows)
    return np.append(found.weight.numpy(), float(found.bias))


def _farthest(mine: Tensor, other: Tensor) -> str:
    return f"largest difference {(mine - other).abs().max().item():.1e}"


def _differing(mine: Tensor, other: Tensor) -> str:
    return "identical kept set" if torch.equal(mine, other) else f"{int((mine != other).sum())} rows differ"


def _worse(rows: Labelled, mine: np.ndarray, other: np.ndarray) -> str:
    exact = straightforward.objective(rows, np.float64)
    return f"its objective − ours {exact(other)[0] - exact(mine)[0]:+.1e}"


def _from_here() -> float:
    """Let the peak start from what is resident now, where the system can; MB that count as there before."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return children.peak_mb()
