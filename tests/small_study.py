"""A study with everything a page can show, on tiny models: run once for all tests, never to be changed by one."""

from __future__ import annotations

import os
import pickle
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

import outshine
from outshine.results.results import Results
from outshine.w2s.study_file import parse_study

TINY: dict[str, Any] = {
    "weak": "tiny/weak",
    "strong": "tiny/strong",
    "compute_dtype": "float32",
    "runtime": {"threads": 1},
    "training": {"epochs": 1, "eval_every": 1},
    "splits": {"n_train": 128, "n_val": 40, "n_test": 80},
}
EVERYTHING: dict[str, Any] = {
    **TINY,
    "name": "everything",
    "datasets": ["tiny-home", "tiny-pet", "tiny-food"],
    "seeds": [0, 1],
    "loss": "logconf",
    "methods": [
        {"kind": "vanilla", "loss": "xent"},
        {"kind": "vanilla", "loss": "logconf"},
        {"kind": "vanilla", "loss": "entropy"},
        {"kind": "vanilla", "loss": "window"},
        {"kind": "strong_to_strong", "rounds": 1},
        {"kind": "probe", "probe": {"kind": "knn", "k": 20}},
        {"kind": "probe", "probe": "logistic"},
        {"kind": "probe_to_strong", "probe": "logistic"},
        {"kind": "filtered", "filter": {"kind": "topofilter", "k": 20}},
        {"kind": "filtered", "filter": {"kind": "knn", "k": 20}},
    ],
    "sweeps": [
        {"kind": "probe", "probe": "knn", "grid": {"layer": ["1/2", "last"], "probe.k": [5, 20, 50]}},
        {"kind": "probe", "probe": "logistic", "grid": {"layer": ["1/2", "last"], "probe.penalty": [0.01, 1.0]}},
    ],
    "controls": True,
}


class Ran(NamedTuple):
    """A study that ran: its folder of tables and page, its store, and what `outshine.run` returned."""

    out: Path
    store: Path
    results: Results

    @property
    def page(self) -> str:
        """The text of its report."""
        return (self.out / "report.html").read_text(encoding="utf-8")


@cache
def small_study(base: Path) -> Ran:
    """The finished study, in a folder that all processes of a test run share."""
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    out, store, results = (shared / f"small-study{end}" for end in ("", "-store", ".pickle"))
    with FileLock(shared / "small-study.lock"):
        if not results.exists():
            results.write_bytes(pickle.dumps(outshine.run(parse_study(EVERYTHING), store=store, out=out)))
    return Ran(out, store, pickle.loads(results.read_bytes()))
