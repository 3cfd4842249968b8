"""A study of which stages failed: its tables, page and words are those of what is finished, and name the rest."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pandas as pd
import pytest
from rich.console import Console

import outshine
from outshine.cli.run import print_results, results_document
from outshine.engine.progress import Silent
from outshine.engine.run.failures import Failure, StagesFailedError
from outshine.engine.store.store import Store
from outshine.report.figures import svg_png
from outshine.report.latex_and_markdown import tables_text
from outshine.report.write import write_outputs
from outshine.results.finished import FinishedStudy, StudyFailedError, _of_the_rest, run_study
from outshine.results.read.unfinished import FAILED_COLUMNS
from outshine.w2s.compute_study import ComputedStudy
from outshine.w2s.expand import Experiment
from outshine.w2s.study_file import parse_study

STUDY = {
    "name": "half",
    "datasets": ["tiny-home", "tiny-pet"],
    "weak": "tiny/weak",
    "strong": "tiny/strong",
    "methods": ["vanilla", "probe", {"kind": "vanilla", "loss": "xent"}],
    "controls": [{"kind": "control", "labels": "shuffled"}],
    "trajectories": True,
    "seeds": [0, 1],
    "splits": {"n_train": 64, "n_val": 16, "n_test": 32},
    "training": {"epochs": 1},
    "compute_dtype": "float32",
    "runtime": {"threads": 1},
}


NO_DRAWING = {"svg": "<svg></svg>", "png": b"no drawing"}  # figures are made, and not drawn: that takes seconds


class World(NamedTuple):
    """The whole study, finished."""

    finished: FinishedStudy
    store: Store


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    store = Store(tmp_path_factory.mktemp("half") / "store")
    return World(run_study(parse_study(STUDY), store, Silent(), allow_leaks=True), store)


def without(world: World, lost: Callable[[Experiment], Any], monkeypatch: pytest.MonkeyPatch) -> FinishedStudy | None:
    """The study as if the stages that `lost` gives of an experiment had failed."""
    finished, store = world
    stages = {one.key: one for run in finished.experiments if (one := lost(run)) is not None}
    assert stages
    error = StagesFailedError([Failure(key, one.label, "no luck today") for key, one in stages.items()])
    lacking = store.lacking
    monkeypatch.setattr(store, "lacking", lambda keys: [*lacking(keys), *(key for key in keys if key in stages)])
    computed = ComputedStudy(finished.resolution, finished.experiments, finished.findings, error)
    found = _of_the_rest(computed, store, error)
    monkeypatch.undo()
    return found


def is_method(run: Experiment, kind: str, loss: str = "") -> bool:
    return run.purpose == "method" and run.method.kind == kind and (not loss or loss in run.method.model_dump_json())


CASES: dict[str, tuple[Callable[[Experiment], Any], int, int]] = {  # what fails; rows of `summary`, of `failed`
    "a method": (lambda run: run.students[-1] if is_method(run, "probe") else None, 8 - 2, 4),
    "a method on one dataset": (
        lambda run: run.students[-1] if is_method(run, "probe") and run.prepare.name == "tiny-pet" else None, 8 - 1, 2,
    ),
    "one seed": (lambda run: run.students[-1] if is_method(run, "probe") and run.seed == 1 else None, 8 - 2, 4),
    "the reference": (
        lambda run: run.students[-1] if is_method(run, "vanilla") and "xent" not in run.method.model_dump_json() else None,
        8 - 2, 4,
    ),
    "a dataset": (lambda run: run.labels if run.prepare.name == "tiny-pet" else None, 8 - 4, 8),
    "the controls": (lambda run: run.students[-1] if run.purpose == "control" else None, 8 - 2, 4),
    "all but the probe": (lambda run: run.students[-1] if run.method.kind != "probe" else None, 8 - 6, 12),
    "trajectories": (lambda run: run.trajectories[0] if is_method(run, "vanilla", "xent") else None, 8, 4),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_what_is_finished_is_shown_and_the_rest_named(case, world, monkeypatch, tmp_path):
    lost, num_summary, num_failed = CASES[case]
    found = without(world, lost, monkeypatch)
    assert found is not None
    results, whole = found.results, world.finished.results
    assert list(results.failed.columns) == list(FAILED_COLUMNS)
    assert (len(results.summary), len(results.failed)) == (num_summary, num_failed)
    named = ["dataset", "purpose", "method_id"]
    kept = whole.summary.merge(results.summary[named])[list(whole.summary.columns)]
    pd.testing.assert_frame_equal(results.summary, kept)  # of what is there every number is that of the whole study
    if case != "trajectories":
        missing = {tuple(row) for row in results.failed[named].to_numpy()}
        assert not missing & {tuple(row) for row in results.summary[named].to_numpy()}
    with patch.object(svg_png, "_save", lambda figure, buffer, **options: buffer.write(NO_DRAWING[options["format"]])):
        write_outputs(found, world.store, tmp_path)
    page, tables = (tmp_path / "report.html").read_text(encoding="utf-8"), tables_text([found], "md")
    screen = Console(file=(printed := io.StringIO()), width=200)
    print_results(results, "logconf", screen)
    for text in (page, tables, printed.getvalue()):
        assert "Not finished, and in no other table" in text
        assert "no luck today" in text
    assert len(results_document(found)["failed"]) == num_failed
    assert len(pd.read_csv(tmp_path / "failed.csv")) == num_failed


@pytest.mark.slow
def test_the_next_run_takes_the_list_away(world, monkeypatch, tmp_path):
    write_outputs(without(world, CASES["a method"][0], monkeypatch), world.store, tmp_path)
    assert (tmp_path / "failed.csv").is_file()
    stale = [tmp_path / f"{name}.csv" for name in (*world.finished.results.tables(), "controls")]
    for path in stale:
        path.write_text("of an earlier run\n", encoding="utf-8")
    write_outputs(world.finished, world.store, tmp_path)
    assert not list(tmp_path.glob("failed.*"))
    assert not [path for path in stale if path.exists() and "earlier" in path.read_text(encoding="utf-8")]
    assert "Not finished" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_nothing_is_shown_where_no_method_is_finished(world, monkeypatch):
    assert without(world, lambda run: run.ceiling, monkeypatch) is None
    assert without(world, lambda run: run.students[-1] if run.purpose == "method" else None, monkeypatch) is None


TOO_MANY_NEIGHBOURS = {"kind": "probe", "probe": {"kind": "knn", "k": 50}}


def test_from_python_the_error_has_the_results(tmp_path):
    study = {**STUDY, "datasets": ["tiny-home"], "seeds": [0], "controls": [], "trajectories": False}
    study["methods"] = ["vanilla", TOO_MANY_NEIGHBOURS]
    with pytest.raises(StudyFailedError) as raised:
        outshine.run(parse_study(study), store=tmp_path / "store", out=tmp_path / "out", allow_leaks=True)
    results = raised.value.results
    assert results is not None
    assert results.summary["method"].tolist() == ["vanilla"]
    assert results.failed["method"].tolist() == ["probe"]
    assert "k = 50 neighbours need more than 50 rows" in results.failed["reason"][0]
    written = {path.name for path in Path(tmp_path / "out").iterdir()}
    assert {"scores.csv", "summary.csv", "failed.csv", "report.html", "study.yaml"} <= written
