"""Tables of artefacts, each read once, and the columns that name their experiment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pandas as pd

from outshine.data.task import ONE_NUMBER, Task
from outshine.engine.errors import StoreError
from outshine.engine.store.store import Store
from outshine.learn.losses.base import Loss
from outshine.stats.metrics import Metric, metrics
from outshine.w2s.expand import Experiment
from outshine.w2s.method_identity import identify
from outshine.w2s.methods.vanilla import Vanilla
from outshine.w2s.stages.control import ControlStudent
from outshine.w2s.stages.finetune import Student
from outshine.w2s.stages.labels import LabelTable
from outshine.w2s.stages.predictor import Predictor, predicted_splits


def frame(rows: list[dict[str, Any]], study: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Rows as a table with exactly these columns, in this order."""
    return pd.DataFrame([{"study": study, **row} for row in rows], columns=list(columns))


def run_facts(run: Experiment) -> dict[str, Any]:
    """Dataset, models and split of an experiment."""
    return {
        "dataset": run.prepare.name,
        "weak": run.study_weak,
        "strong": run.ceiling.classifier.name,
        "data_seed": run.prepare.splits.data_seed,
    }


def method_facts(run: Experiment, number: int) -> dict[str, Any]:
    """The method of an experiment and the round, as the columns of a table say them.

    A round that is not the last and is nothing but the student on the weak labels, as round 0 of strong-to-strong
    training, is told for what it is: the vanilla student. Otherwise it would pass for one more method.
    """
    student = run.students[number]
    loss = _loss_of(student)
    method = run.method
    if number + 1 < len(run.students) and _is_vanilla(run, student):
        method, number = Vanilla(loss=loss), 0
    identity = identify(method, loss)
    return {
        "purpose": run.purpose,
        "method": method.kind,
        "variant": identity.words,
        "round": number,
        "loss": loss.kind if loss else "",
        "method_id": identity.method_id,
        "settings": identity.settings,
    }


class StudentColumns(NamedTuple):
    """A student of an experiment and what the columns of a table say of it, the seed among them."""

    run: Experiment
    number: int
    student: Predictor
    facts: dict[str, Any]


def students(experiments: Iterable[Experiment]) -> Iterator[StudentColumns]:
    """Yield the students of experiments, each once: the vanilla student of several methods is one student."""
    seen = set()
    for run in experiments:
        for number, student in enumerate(run.students):
            facts = {**run_facts(run), **method_facts(run, number), "seed": run.seed}
            identity = (run.prepare.key, *(facts[name] for name in ("purpose", "method_id", "round", "seed")))
            if identity not in seen:
                seen.add(identity)
                yield StudentColumns(run, number, student, facts)


def _is_vanilla(run: Experiment, student: Predictor) -> bool:
    """Whether a student is the strong model trained on all rows with the weak labels as they are."""
    return (
        not run.has_own_labels
        and isinstance(student, Student)
        and student.keep is None
        and student.labels == run.labels
        and student.classifier == run.ceiling.classifier
        and student.learning_rate == run.ceiling.learning_rate
    )


def _loss_of(stage: Predictor) -> Loss | None:
    return stage.loss if isinstance(stage, Student | ControlStudent) else None


def ranking_metric(task: Task) -> Metric:
    """What the columns named AUROC hold: the AUROC, or of several classes what the task is told by, their mean one."""
    return metrics.parse("auroc" if task.works_with(ONE_NUMBER) else task.metric)


class Reader:
    """Tables of a store, each read once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._tables: dict[str, Any] = {}

    def rows(self, run: Experiment) -> pd.DataFrame:
        """id (index), split, group, y of the rows that are scored; y is the class as metrics take it."""
        return self._once(
            f"rows {run.texts.digest} {run.truth.digest}",
            lambda: run.texts.read(self.store).set_index("id")[["split", "group"]].assign(y=self._classes(run)),
        )

    def _classes(self, run: Experiment) -> pd.Series:
        """The true class of each row."""
        truth = run.truth.read_labels(self.store)
        return pd.Series(run.texts.task.classes(truth.to_numpy()), index=truth.index)

    def scores(self, stage: Predictor) -> LabelTable:
        """What ranks a stage's predictions, by row id: log-odds, or a column of each class."""
        return stage.texts.task.scores_in(self.predictions(stage))

    def probabilities(self, stage: Predictor) -> LabelTable:
        """P(y = 1) by a stage, or the probability of each class, by row id."""
        return stage.texts.task.labels_in(self.predictions(stage))

    def predictions(self, stage: Predictor) -> pd.DataFrame:
        """id (index), split, and the task's scores and labels: of a binary one log_odds and p.

        Raises StoreError where a row that it was to predict is missing.
        """
        return self._once(stage.key, lambda: self._complete(stage, stage.predictions(self.store).set_index("id")))

    def _complete(self, stage: Predictor, predictions: pd.DataFrame) -> pd.DataFrame:
        texts = self._once(f"texts {stage.texts.digest}", lambda: stage.texts.read(self.store))
        predicted_ids = texts.loc[texts["split"].isin(predicted_splits(texts["split"])), "id"]
        if missing := int((~predicted_ids.isin(predictions.index)).sum()):
            raise StoreError(
                f"artefact {stage.key[:16]} lacks the predictions of {missing} of {len(predicted_ids)} rows"
            )
        return predictions

    def weak_scores(self, run: Experiment) -> LabelTable:
        """What ranks the weak labels: the supervisor's scores, or some made of labels that no single model makes."""
        if isinstance(run.labels, Predictor):
            return self.scores(run.labels)
        return run.texts.task.weak_scores(self.weak_probabilities(run))

    def weak_probabilities(self, run: Experiment) -> LabelTable:
        """P(y = 1) by the supervisor, or of other weak labels, or the probability of each class, by row id."""
        labels = run.labels
        return self.probabilities(labels) if isinstance(labels, Predictor) else labels.read_labels(self.store)

    def _once(self, name: str, read: Callable[[], Any]) -> Any:
        if name not in self._tables:
            self._tables[name] = read()
        return self._tables[name]
