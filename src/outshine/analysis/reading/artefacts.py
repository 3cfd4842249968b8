"""Tables of artefacts, each read once; what a row of any table says about its experiment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from outshine.analysis.variant import variant
from outshine.core.store import Store
from outshine.losses.base import Loss
from outshine.stages.control import ControlStudent
from outshine.stages.finetune import Student
from outshine.stages.labels import FileLabels
from outshine.stages.predictor import Predictor
from outshine.studies.expand import Experiment


def frame(rows: list[dict[str, Any]], study: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Rows as a table with exactly these columns, in this order."""
    return pd.DataFrame([{"study": study, **row} for row in rows], columns=list(columns))


def run_facts(run: Experiment) -> dict[str, Any]:
    """Dataset, models and split of an experiment."""
    if run.weak is not None:
        weak = run.weak.classifier.name
    else:
        weak = Path(run.labels.path).name if isinstance(run.labels, FileLabels) else "labels"
    return {
        "dataset": run.prepare.name,
        "weak": weak,
        "strong": run.ceiling.classifier.name,
        "data_seed": run.prepare.splits.data_seed,
    }


def method_facts(run: Experiment, number: int) -> dict[str, Any]:
    """The method of an experiment, with what is not its default, and the round."""
    loss = _loss_of(run.students[number])
    return {
        "purpose": run.purpose,
        "method": run.method.kind,
        "variant": variant(run.method, loss),
        "round": number,
        "loss": loss.kind if loss else "",
    }


def _loss_of(stage: Predictor) -> Loss | None:
    return stage.loss if isinstance(stage, Student | ControlStudent) else None


class Reader:
    """Tables of a store, each read once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._tables: dict[str, Any] = {}

    def rows(self, run: Experiment) -> pd.DataFrame:
        """id (index), split, group, y of the rows that are scored."""
        return self._once(
            f"rows {run.texts.digest} {run.truth.digest}",
            lambda: (
                run.texts.read(self.store)
                .set_index("id")[["split", "group"]]
                .assign(y=run.truth.read_labels(self.store))
            ),
        )

    def predictions(self, stage: Predictor) -> pd.DataFrame:
        """id (index), split, log_odds, p."""
        return self._once(stage.key, lambda: stage.predictions(self.store).set_index("id"))

    def weak_scores(self, run: Experiment) -> pd.Series:
        """What ranks the weak labels: the supervisor's log-odds, or p − ½ of a file."""
        if run.weak is not None:
            return self.predictions(run.weak)["log_odds"]
        return run.labels.read_labels(self.store) - 0.5

    def weak_probabilities(self, run: Experiment) -> pd.Series:
        """P(y = 1) by the supervisor, or of a file, by row id."""
        return self.predictions(run.weak)["p"] if run.weak is not None else run.labels.read_labels(self.store)

    def _once(self, name: str, read: Callable[[], Any]) -> Any:
        if name not in self._tables:
            self._tables[name] = read()
        return self._tables[name]
