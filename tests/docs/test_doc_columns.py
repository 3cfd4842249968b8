"""Every column of every frame is on the pages."""

from __future__ import annotations

import pytest
from doc_pages import ROOT

from outshine.results.controls import CONTROL_COLUMNS
from outshine.results.diagnostics import DIAGNOSTIC_COLUMNS
from outshine.results.other_tests import TEST_COLUMNS
from outshine.results.read.scores import SCORE_COLUMNS
from outshine.results.read.sweeps import SWEEP_COLUMNS
from outshine.results.read.training import FILTER_COLUMNS
from outshine.results.read.unfinished import FAILED_COLUMNS
from outshine.results.results import METRIC_COLUMNS, PGR_COLUMNS, SUMMARY_COLUMNS, Results
from outshine.results.training_notes import TRAINING_COLUMNS
from outshine.results.trajectories import TRAJECTORY_COLUMNS
from outshine.selection.regret import POOLED_COLUMNS, REGRET_COLUMNS

TABLES = {
    "scores": SCORE_COLUMNS,
    "pgr": PGR_COLUMNS,
    "summary": SUMMARY_COLUMNS,
    "metrics": METRIC_COLUMNS,
    "tests": TEST_COLUMNS,
    "diagnostics": DIAGNOSTIC_COLUMNS,
    "filters": FILTER_COLUMNS,
    "sweeps": SWEEP_COLUMNS,
    "trajectories": TRAJECTORY_COLUMNS,
    "training": TRAINING_COLUMNS,
    "failed": FAILED_COLUMNS,
    "controls": CONTROL_COLUMNS,
    "regret": REGRET_COLUMNS,
    "regret_pooled": POOLED_COLUMNS,
}


def test_there_is_no_other_table() -> None:
    assert set(Results._fields) - {"pooled"} <= set(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_explained(table: str) -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert f"\n| `{table}` |" in text
    assert [name for name in TABLES[table] if f"`{name}`" not in text] == []


def test_the_frames_of_a_model_are_explained() -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    for name in ("id", "split", "log_odds", "p", "text", "group", "cut_start", "cut_end"):
        assert f"`{name}`" in text, name
