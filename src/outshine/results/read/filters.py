"""What filters removed: one row a filter, dataset and seed."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from outshine.results.names import METHOD_COLUMNS
from outshine.results.read.artefacts import Reader, frame, students
from outshine.w2s.expand import Experiment
from outshine.w2s.stages.finetune import Student

FILTER_COLUMNS = (
    *METHOD_COLUMNS,
    *("seed", "split", "rows", "dropped", "dropped_fraction", "removed_by_components", "quota", "key"),
)


def read_filters(study: str, experiments: Iterable[Experiment], reader: Reader) -> pd.DataFrame:
    """Rows and dropped rows of each filtered split; `removed_by_components`: the fraction that TopoFilter's first step
    (TopoCC) removed, NaN for other filters; `quota`: the fraction that was asked for."""
    rows = []
    for _, _, student, facts in students(experiments):
        if not isinstance(student, Student) or student.keep is None:
            continue
        for split, found in student.keep.summary(reader.store).items():
            if isinstance(found, dict):
                share = {"dropped_fraction": found["dropped"] / found["rows"], "quota": student.keep.drop}
                rows.append({**facts, "split": split, **found, **share, "key": student.keep.key})
    return frame(rows, study, FILTER_COLUMNS)
