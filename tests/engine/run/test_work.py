"""How much work is in which stage: its proportions are those of rows, tokens and parameters; nothing is told by halves."""

from __future__ import annotations

import pytest

from outshine.engine.errors import ModelError
from outshine.engine.progress import Silent
from outshine.engine.store.recorded_studies import recorded_studies
from outshine.engine.store.store import Store
from outshine.results.finished import run_study
from outshine.w2s.cost import PER_TOKEN, work_of
from outshine.w2s.study_file import parse_study

STUDY = {
    "name": "work",
    "datasets": "tiny-home",
    "weak": "tiny/weak",
    "strong": "tiny/strong",
    "methods": ["vanilla", "probe"],
    "splits": {"n_train": 64, "n_val": 16, "n_test": 32},
    "training": {"epochs": 2},
    "compute_dtype": "float32",
    "runtime": {"threads": 1},
}


class Told(Silent):
    """Keeps what it is told of all the work."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[tuple[float, float, float]] = []

    def overall(self, done: float, next_stage: float, total: float) -> None:
        self.parts.append((done, next_stage, total))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory):
    store, told = Store(tmp_path_factory.mktemp("work") / "store"), Told()
    finished = run_study(parse_study(STUDY), store, told, allow_leaks=True)
    return store, told, finished


def test_a_listener_is_told_of_all_work_stage_by_stage(ran):
    store, told, _ = ran
    (recorded,) = recorded_studies(store)
    assert {recorded.kinds[key] for key in recorded.work} == {"supervised", "student", "activations"}
    assert recorded.kinds.keys() == recorded.keys
    total = sum(recorded.work.values())
    done = 0.0
    for through, own, of in told.parts:
        assert (through, of) == (pytest.approx(done), pytest.approx(total))
        done += own
    assert done == pytest.approx(total)


def test_work_is_that_of_rows_tokens_and_parameters(ran):
    """Supervisor and ceiling see as many rows of the same texts as long: their work differs by their size alone."""
    store, _, finished = ran
    (recorded,) = recorded_studies(store)
    run = finished.experiments[0]
    weak, ceiling = recorded.work[run.labels.key], recorded.work[run.ceiling.key]
    blocks = {"tiny/weak": 26_752, "tiny/strong": 131_328}  # parameters, counted on the models
    # 32 rows trained twice at 4 N a token; 16 of val twice and 32 + 16 + 32 predicted at 2 N
    steps, trained, predicted = -(-2 * 32 // finished.resolution.study.training.batch_size), 2 * 32, 16 + 80
    assert steps <= finished.resolution.study.training.eval_every  # one validation
    per_row = {
        name: 4 * num * trained + 2 * num * predicted + PER_TOKEN * (trained + predicted)
        for name, num in blocks.items()
    }
    assert ceiling / weak == pytest.approx(per_row["tiny/strong"] / per_row["tiny/weak"], rel=0.02)


def test_nothing_is_told_where_a_size_is_not_known_or_nothing_is_to_do(ran, monkeypatch, tmp_path):
    store, _, finished = ran
    resolution = finished.resolution
    models = (resolution.weak, resolution.strong)
    asked = [stage for run in finished.experiments for stage in run.stages()]
    assert work_of(asked, models, store) == {}  # all is there
    monkeypatch.setattr(store, "lacking", lambda keys: list(keys))
    assert len(work_of(asked, models, store)) == 4

    def unknown(spec):
        raise ModelError("no such structure")

    monkeypatch.setattr("outshine.learn.structure.shape_of", unknown)
    assert work_of(asked, models, store) == {}
