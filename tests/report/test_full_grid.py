"""The page of the post, its datasets, twelve methods and sixty sweeps, on made-up predictions: its size.

`make test` looks at two of the 25 datasets, `make test-all` at all of them.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from browsing import needs_browser, seen
from html_pages import Page
from made_up import resolved
from outshine.data.audit.findings import Finding
from outshine.engine.store.store import Store
from outshine.report.write import write_report, write_tables
from outshine.results.finished import FinishedStudy
from outshine.results.results import read_results
from outshine.w2s.stages.finetune import Supervised
from outshine.w2s.stages.predictor import Predictor
from outshine.w2s.study_file import read_study

pytestmark = pytest.mark.slow

MOST_BYTES = 3_000_000  # of the page of all 25 datasets
UPDATES = 470  # of a student: 5,000 rows, 3 epochs, batches of 32
CHARACTERS = 1500  # of a text: as long as a passage with its question
SWEEPS = [  # two layers, as the model has two blocks: as many probes as the post's four layers have
    {"kind": "probe", "probe": "knn", "grid": {"layer": ["1/2", "last"], "probe.k": list(range(1, 37, 2))}},
    {
        "kind": "probe",
        "probe": "logistic",
        "grid": {"layer": ["1/2", "last"], "probe.penalty": [10.0**power for power in range(-8, 4)]},
    },
]


class Written(NamedTuple):
    """The post's page, and what it is of."""

    page: Path
    finished: FinishedStudy
    post: dict[str, Any]
    num: int  # of datasets

    @property
    def html(self) -> str:
        return self.page.read_text(encoding="utf-8")


def a_gap(stage: Predictor, sign: np.ndarray) -> np.ndarray:
    """Students between supervisors and ceilings, so that there is a PGR to draw."""
    if isinstance(stage, Supervised):
        return (1.5 if stage.train_split == "strong_train" else 0.4) * sign
    return 0.8 * sign


def write_rows(path: Path) -> None:
    """Rows whose texts compress as little as prose does; half of them positive."""
    rng = random.Random(path.stem)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(400)]
    texts = (" ".join(rng.choices(words, k=CHARACTERS // 6)) for _ in range(300))
    rows = [{"text": f"{text}\nProposed answer: {rng.choice(words)}", "label": n % 2} for n, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module", params=[2, pytest.param(25, marks=pytest.mark.exhaustive)])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("grid")
    post = read_study("post")
    names = post["datasets"][-request.param :]
    for name in names:
        write_rows(folder / f"{name}.jsonl")
    raw = {
        **{name: post[name] for name in ("name", "loss", "seeds", "methods", "notes")},
        "datasets": [str(folder / f"{name}.jsonl") for name in names],
        "splits": {"n_train": 120, "n_val": 40, "n_test": 100},
        "sweeps": SWEEPS,
        "controls": True,
    }
    store = Store(folder / "store")
    resolution, experiments = resolved(store, raw, a_gap, UPDATES)
    findings = [
        Finding(
            f"check {number}", severity, "a sentence of usual length on what was found " * 2, examples=("x" * 200,) * 4
        )
        for number, severity in enumerate(("warning", "cue", "cue", "passed", "passed"))
    ]
    results = read_results("post", experiments, store)
    finished = FinishedStudy(resolution, experiments, results, dict.fromkeys(names, findings))
    page = folder / "out" / "report.html"
    page.parent.mkdir()
    write_report([finished], store, page)
    return Written(page, finished, post, len(names))


def test_it_is_the_whole_grid(written):
    results = written.finished.results
    assert len(written.post["datasets"]) == 25
    assert results.summary["dataset"].nunique() == written.num
    assert len(written.post["methods"]) == 12
    assert len(results.sweeps) == written.num * 60
    assert results.summary["defined"].mean() > 0.9
    page = Page(written.html)
    assert page.dangers == []
    rows = page.table("Test ROC AUC [").rows
    assert (
        len(rows) == written.num * 13
    )  # strong-to-strong training has two rounds of its own; round 0 is the vanilla student
    assert len(page.table("Gain over the supervisor").rows) == written.num
    assert len([table for table in page.tables if table.columns[0] == "split"]) == written.num
    assert written.html.count("<blockquote>") > written.num * 15


def test_it_has_at_most_three_megabytes(written):
    assert written.page.stat().st_size < MOST_BYTES * (written.num + 1) / 26  # what datasets share counts as one more


def test_every_figure_has_its_files(written):
    page = Page(written.html)
    names = {figure.removeprefix("figure-") for figure in page.figures}
    assert {path.stem for path in (written.page.parent / "figures").iterdir()} == names
    assert len(names) == 9


@needs_browser
@pytest.mark.parametrize("width", [390, 1440])
def test_it_is_no_wider_than_the_window(written, tmp_path, width):
    found = seen(
        written.html,
        """
        document.querySelectorAll("details").forEach(one => (one.open = true));
        await later();
        return [innerWidth, document.documentElement.scrollWidth, refused, fetched()];
        """,
        tmp_path,
        width,
    )
    assert found == [width, width, [], []]


def test_tables_for_a_paper(written, tmp_path):
    for form, name in (("md", "tables.md"), ("latex", "tables.tex")):
        write_tables([written.finished], tmp_path / name, form)
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text.count("twitter") == 14 + 1 + 4  # methods and rounds, gains, vanilla students along training
        assert "nan" not in text
