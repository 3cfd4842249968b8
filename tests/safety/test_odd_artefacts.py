"""Artefacts of another shape, whose hashes are right: a stranger's store can hold them. One line, or they do not matter."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import outshine
from calling import caller
from outshine.engine.store.records import seal
from outshine.w2s.study_file import parse_study
from small_study import TINY

STUDY = {
    **TINY,
    "name": "odd",
    "datasets": ["tiny-home"],
    "methods": [
        {"kind": "vanilla", "loss": "xent"},
        {"kind": "probe", "probe": {"kind": "knn", "k": 5}},
        {"kind": "filtered", "filter": {"kind": "topofilter", "k": 5}},
    ],
    "trajectories": True,
    "splits": {"n_train": 64, "n_val": 20, "n_test": 40},
}
DOCUMENTS: dict[str, Callable[[Any], Any]] = {
    "null": lambda found: None,
    "notes of numbers": lambda found: {**found, "notes": [1, None]} if isinstance(found, dict) else [{"check": 1}],
    "texts for numbers": lambda found: (
        {name: str(value) for name, value in found.items()}
        if isinstance(found, dict)
        else [{**one, "severity": "odd"} for one in found]
    ),
    "other splits": lambda found: {**found, "splits": {"test": 3}} if isinstance(found, dict) else [{}],
}
TABLES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "half of the rows": lambda table: table.iloc[: len(table) // 2],
    "other columns": lambda table: table.rename(columns=lambda name: f"{name}_"),
    "numbers as texts": lambda table: table.astype(str),
    "rows twice": lambda table: pd.concat([table, table], ignore_index=True),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    store = tmp_path_factory.mktemp("odd") / "store"
    outshine.run(parse_study(STUDY), store=store)
    return store


def files(suffix: str) -> list[str]:
    """Stage and file of everything that such a study keeps; checked below to be all."""
    tables = {
        "prepare": ["texts.parquet", "truth.parquet"],
        "supervised": ["predictions.parquet", "curve.parquet"],
        "student": ["predictions.parquet", "curve.parquet"],
        "probing": ["predictions.parquet"],
        "keep": ["keep.parquet"],
        "activations": ["ids.parquet"],
        "trajectory": ["trajectory.parquet", "trajectory_val.parquet"],
    }
    documents = {  # classifier.json is for whoever loads the model: tests/models
        "prepare": ["report.json"],
        "audit": ["findings.json"],
        **{stage: ["summary.json"] for stage in ("supervised", "student", "probing", "keep", "activations")},
    }
    chosen = tables if suffix == ".parquet" else documents
    return [f"{stage} {name}" for stage, names in chosen.items() for name in names]


def cases() -> list:
    """Every second of all pairs, as on a chessboard: each file with half of the changes. `make test-all` tries the rest."""
    pairs = [
        (one, change, (row + column) % 2)
        for suffix, changes in ((".json", DOCUMENTS), (".parquet", TABLES))
        for row, one in enumerate(files(suffix))
        for column, change in enumerate(changes)
    ]
    return [pytest.param(one, change, marks=[pytest.mark.exhaustive] * black) for one, change, black in pairs]


@pytest.mark.slow
@pytest.mark.parametrize(("which", "change"), cases())
def test_a_report_of_odd_artefacts_is_refused_in_one_line_or_not_harmed(
    whole, which, change, tmp_path, monkeypatch, capsys
):
    store = Path(shutil.copytree(whole, tmp_path / "store"))
    stage, name = which.split()
    changed = 0
    for done in sorted(store.glob("artefacts/*/*/DONE.json")) or sorted(store.rglob("DONE.json")):
        record = json.loads(done.read_text())
        file = done.parent / name
        if record["stage"] == stage and file.is_file():
            _rewrite(file, change)
            kept = {key: value for key, value in record.items() if key not in ("format", "key", "files", "sha256")}
            done.unlink()
            seal(record["key"], done.parent, kept)
            changed += 1
    assert changed
    monkeypatch.setenv("COLUMNS", "400")
    done = caller(monkeypatch, capsys)("report", "odd", "--store", str(store), "--out", str(tmp_path / "page"))
    assert done.code in (0, 2), done.err
    assert "Traceback" not in done.err
    assert done.code == 0 or len(done.err.strip().splitlines()) == 1


def _rewrite(file: Path, change: str) -> None:
    if file.suffix == ".json":
        file.write_text(json.dumps(DOCUMENTS[change](json.loads(file.read_text()))))
    else:
        TABLES[change](pd.read_parquet(file)).to_parquet(file, index=False)


def test_the_files_are_those_that_the_study_has(whole):
    found = {
        f"{json.loads(done.read_text())['stage']} {file.name}"
        for done in whole.rglob("DONE.json")
        for file in done.parent.iterdir()
        if file.suffix in (".json", ".parquet")
        and file.name not in ("DONE.json", "adapter_config.json", "classifier.json")
    }
    assert found == {*files(".json"), *files(".parquet")}
