"""Details of one dataset: sample texts, training curves, rows on which student and supervisor differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from outshine.data.splits import preview, shown_texts
from outshine.results.diagnostics import Disagreements, disagreements
from outshine.results.names import Contender
from outshine.results.read.artefacts import Reader, method_facts
from outshine.w2s.expand import Experiment
from outshine.w2s.stages.finetune import Finetune
from outshine.w2s.stages.labels import LabelTable
from outshine.w2s.stages.prepare import Prepare

SAMPLES = 10
CURVE_COLUMNS = ("role", "seed", "step", "loss", "val_auroc", "chosen")


class DatasetDetails(NamedTuple):
    """One dataset in detail, with one of its students.

    `samples`: id, split, label, text of the first rows by id, the classes in turn. `curves`: CURVE_COLUMNS, an update
    a row, of what was fine-tuned (roles weak, student, ceiling). `differ`: on test, probabilities averaged over seeds;
    its rows have a column `text`. None where the weak labels do not cover test.
    """

    samples: pd.DataFrame
    curves: pd.DataFrame
    differ: Disagreements | None


def read_dataset_details(
    prepare: Prepare, experiments: Sequence[Experiment], student: Contender, reader: Reader, most: int = SAMPLES
) -> DatasetDetails:
    """The details of a prepared dataset; `student`: which method's; `most`: rows to show where the two differ."""
    by_seed = {
        run.seed: (run, number)
        for run in experiments
        if run.prepare.key == prepare.key and run.purpose == "method"
        for number in range(len(run.students))
        if Contender.of(method_facts(run, number)) == student
    }
    runs = list(by_seed.values())
    prepared = prepare.read(reader.store)
    differ = _differ(runs, reader, most)
    if differ is not None:
        texts = shown_texts(prepared.texts.set_index("id"))
        differ = differ._replace(rows=differ.rows.assign(text=texts.loc[differ.rows.index]))
    return DatasetDetails(preview(prepared, SAMPLES), _curves(runs, reader), differ)


def _differ(runs: Sequence[tuple[Experiment, int]], reader: Reader, most: int) -> Disagreements | None:
    rows = reader.rows(runs[0][0])
    test = rows[rows["split"] == "test"]
    weak = _mean([reader.weak_probabilities(run).reindex(test.index) for run, _ in runs]).to_numpy()
    student = _mean([reader.probabilities(run.students[number]).loc[test.index] for run, number in runs]).to_numpy()
    if np.isnan(weak).any():
        return None
    task, columns = runs[0][0].texts.task, {}
    for name, p in (("weak", weak), ("student", student)):
        columns |= {f"p_{name}": p} if p.ndim == 1 else {name: task.classes(p), f"p_{name}": p.max(axis=1)}
    return disagreements(pd.DataFrame({"y": test["y"], **columns}), most)


def _mean(several: Sequence[LabelTable]) -> LabelTable:
    return sum(several[1:], start=several[0]) / len(several)


def _curves(runs: Sequence[tuple[Experiment, int]], reader: Reader) -> pd.DataFrame:
    parts = [
        stage.read_curve(reader.store).assign(role=role, seed=run.seed)
        for run, number in runs
        for role, stage in _finetuned(run, number)
    ]
    frame = pd.concat(parts, ignore_index=True)
    return frame[list(CURVE_COLUMNS)]


def _finetuned(run: Experiment, number: int) -> Iterator[tuple[str, Finetune]]:
    """Supervisor, student and ceiling, as far as they were fine-tuned here."""
    roles = {"weak": run.labels, "student": run.students[number], "ceiling": run.ceiling}
    for role, stage in roles.items():
        if isinstance(stage, Finetune):
            yield role, stage
