"""The demo on the GPU shows the README's table, each number within the interval that the README gives it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from device_under_test import DEVICE, IS_REHEARSAL, on_device

from outshine.cli.find_study import StudyOptions, build_study
from outshine.engine.store.store import Store
from outshine.results.finished import run_study

pytestmark = [*on_device, pytest.mark.slow]

README = Path(__file__).resolve().parents[2] / "README.md"
CELL = re.compile(r"(-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\]")
COLUMNS = ("weak_auroc", "student_auroc", "ceiling_auroc", "pgr")
SEEDS = "0" if IS_REHEARSAL else "0,1,2"  # one: a third of the time


def test_the_demo_shows_the_readmes_table(tmp_path) -> None:
    table = README.read_text(encoding="utf-8").partition("<!-- demo-table -->")[2].partition("\nPooled")[0]
    rows = {line.split("|")[1].strip(): CELL.findall(line) for line in table.splitlines()[3:] if line}
    assert len(rows) == 6
    study = build_study(StudyOptions("demo", seed=SEEDS, settings=[f"runtime.device={DEVICE.type}"]))
    summary = run_study(study, Store(tmp_path)).results.summary.set_index("dataset")
    outside = [
        f"{name}: {column} {found:.3f} is not in [{low}, {high}]"
        for name, cells in rows.items()
        for column, (_, low, high) in zip(COLUMNS, cells, strict=True)
        if not float(low) <= (found := summary.loc[name, column]) <= float(high)
    ]
    assert not outside
