"""A small study on tiny models with rows of its own, run once, and a tracker that keeps what it is given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tracked_study import MARK, STUDY

import outshine
from outshine.results.results import Results
from outshine.share import trackers
from outshine.share.tracked_runs import TrackedRun
from outshine.w2s.study_file import parse_study


class Ran(NamedTuple):
    """A study that ran without any tracker."""

    raw: dict
    store: Path
    results: Results


class Keeping:
    """A tracker that remembers."""

    def __init__(self) -> None:
        self.runs: list[TrackedRun] = []

    def write(self, run: TrackedRun) -> None:
        self.runs.append(run)


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("tracked")
    rows = [{"text": f"{MARK} {'sleeps' if n % 2 else 'eats'} on day {n}", "label": n % 2} for n in range(160)]
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    raw = {**STUDY, "datasets": [str(folder / "mine.jsonl")]}
    results = outshine.run(parse_study(raw), store=folder / "store", allow_leaks=True)
    return Ran(raw, folder / "store", results)


@pytest.fixture(autouse=True)
def _undrawn(undrawn: None) -> None:
    """No test here looks at a figure."""


@pytest.fixture
def keeping(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Keeping]:
    """`keeping("memory")` makes a tracker of that name."""

    def make(name: str) -> Keeping:
        tracker = Keeping()
        monkeypatch.setitem(trackers.TRACKERS, name, lambda folder: tracker)
        return tracker

    return make


@pytest.fixture
def a_run() -> TrackedRun:
    """Two updates, the second of them validated, and final values."""
    points = [
        (1, {"train/loss": 0.75, "train/learning_rate": 0.001}),
        (2, {"train/loss": 0.5, "train/learning_rate": 0.0005, "val/auroc_on_given_labels": 0.625}),
    ]
    config = {"dataset": "sciq", "seed": 0, "learning_rate": 0.001, "method": None, "balanced": True}
    return TrackedRun("ab" * 32, "sciq vanilla xent seed 0 abababab", "small", config, points, {"test/auroc": 0.875})
