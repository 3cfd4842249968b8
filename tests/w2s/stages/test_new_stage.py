"""A kind of stage that no list here knows: defined in this file, it is planned, computed, listed, shown and told of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
from pydantic import SerializeAsAny

from calling import Run, caller
from outshine.engine.progress import Silent
from outshine.engine.stage import Context, Cost
from outshine.engine.store.index import Query
from outshine.engine.store.store import Store
from outshine.learn.losses import losses
from outshine.w2s.cost import seconds_of
from outshine.w2s.lab import Lab, Wiring
from outshine.w2s.methods import methods
from outshine.w2s.methods.base import Method
from outshine.w2s.plan import plan_study
from outshine.w2s.stages.predictor import PREDICTED_SPLITS, PREDICTIONS, SUMMARY, Predictor
from outshine.w2s.study_file import parse_study

if TYPE_CHECKING:
    from outshine.w2s.cost import Estimator

STUDY = {
    "name": "blended",
    "datasets": ["tiny-home"],
    "weak": "tiny/weak",
    "strong": "tiny/strong",
    "loss": "xent",
    "compute_dtype": "float32",
    "splits": {"n_train": 160, "n_val": 60, "n_test": 60},
    "training": {"epochs": 1},
    "runtime": {"threads": 1},
    "methods": ["vanilla", "blend"],
}


class Blend(Predictor):
    """The mean of what two students predict."""

    stage: ClassVar[str] = "blend"
    quick: ClassVar[bool] = True

    first: SerializeAsAny[Predictor]
    second: SerializeAsAny[Predictor]

    @property
    def label(self) -> str:
        return f"blend of two students on {self.texts.origin.name}"

    @property
    def plan_row(self) -> tuple[int, str]:
        return 8, "blends"

    def cost(self, estimator: Estimator) -> Cost:
        return Cost(estimator.rows(self.texts.origin, PREDICTED_SPLITS))

    def run(self, context: Context) -> None:
        parts = [source.predictions(context.store).set_index("id") for source in (self.first, self.second)]
        mean = parts[0].assign(
            p=(parts[0]["p"] + parts[1]["p"]) / 2, log_odds=(parts[0]["log_odds"] + parts[1]["log_odds"]) / 2
        )
        mean.reset_index().to_parquet(context.folder / PREDICTIONS, index=False)
        (context.folder / SUMMARY).write_text(json.dumps({"notes": []}), encoding="utf-8")


class BlendMethod(Method):
    """Two students, blended."""

    kind: ClassVar[str] = "blend"
    title: ClassVar[str] = "the mean of what two students predict"

    def wire(self, lab: Lab) -> Wiring:
        first, second = (lab.student(lab.weak_labels, losses.parse(name)) for name in ("xent", "logconf"))
        return lab.wiring(Blend(texts=first.texts, first=first, second=second))


@pytest.fixture
def outshine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, in an empty folder with a store of its own, where the method is registered."""
    methods.names()
    monkeypatch.setitem(methods._classes, "blend", BlendMethod)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUTSHINE_STORE", str(tmp_path / "store"))
    (tmp_path / "study.yaml").write_text(json.dumps(STUDY))
    return caller(monkeypatch, capsys)


@pytest.mark.slow
def test_it_is_planned_computed_listed_shown_and_watched(outshine: Run, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    plan = plan_study(parse_study(STUDY), store, Silent())
    kinds = [kind.kind for kind in plan.kinds]
    assert kinds[kinds.index("students") + 1] == "blends"
    (row,) = (stage for stage in plan.stages if stage.kind == "blends")
    assert (row.label, row.cached, row.trains, row.rows) == ("blend of two students on tiny-home", False, False, 200)

    ran = outshine("run", "study.yaml", "--out", "out")
    assert ran.code == 0, ran.err
    assert "blend" in ran.out
    (entry,) = store.listing(Query(stage="blend")).entries
    assert "blends" in outshine("plan", "study.yaml").out
    assert "blend of two students on tiny-home" in outshine("ls", "--kind", "blend").out
    shown = outshine("show", entry.key[:12])
    assert shown.code == 0, shown.err
    assert "blend of two students on tiny-home" in shown.out
    watched = outshine("watch", "blended", "--line")
    assert watched.out.startswith(f"blended: {len(plan.stages)} of {len(plan.stages)} stages done")


def test_how_long_it_takes_is_asked_of_its_class() -> None:
    assert seconds_of("key", "blend", {}, {}, None) == 0.0
    assert seconds_of("key", "student", {"other": 1.0}, {}, 1.0) is None
    assert seconds_of("key", "of a package that is not here", {}, {}, 1.0) is None
    assert seconds_of("key", "of a package that is not here", {"other": 1.0}, {}, 1.0) == 0.0
