"""Sweeps: how a method's test AUROC depends on a setting and on the layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from outshine.engine.settings import Plugin
from outshine.results.names import METHOD_COLUMNS
from outshine.results.read.artefacts import frame, method_facts, run_facts
from outshine.w2s.expand import Experiment
from outshine.w2s.stages.predictor import Predictor
from outshine.w2s.stages.probing import Probing

SWEEP_COLUMNS = (
    *METHOD_COLUMNS,
    *("seed", "probe", "layer", "layer_name", "setting_name", "setting", "auroc", "weak_auroc", "difference", "key"),
)

Settings = dict[str, Any]


def read_sweeps(study: str, experiments: Sequence[Experiment], scores: pd.DataFrame) -> pd.DataFrame:
    """Read one row per swept method, dataset and seed, from the test rows of `scores`.

    `difference`: test AUROC less that of the weak labels. `setting`: the one number that varies among the sweep's
    methods of that kind beside the layer (`setting_name`: its dotted name), NaN where none or several do.
    """
    sweeps = [run for run in experiments if run.purpose == "sweep"]
    if not sweeps:
        return frame([], study, SWEEP_COLUMNS)
    swept = _swept(sweeps)
    test = scores[scores["split"] == "test"]
    aurocs: dict[tuple[Any, ...], float] = {
        (*(row[name] for name in ("dataset", "data_seed", "seed", "role", "key")), _whose(row)): row["auroc"]
        for row in test.to_dict("records")
    }
    rows = []
    for run in sweeps:
        numbers = _numbers(run.method)
        name = swept[_sort(run.method)]
        for number, student in enumerate(run.students):
            run_key = (run.prepare.name, run.prepare.splits.data_seed, run.seed)
            own = aurocs[(*run_key, "student", student.key, "")]
            whose = method_facts(run, len(run.students) - 1)["method_id"] if run.has_own_labels else ""
            made_by = run.labels.key if isinstance(run.labels, Predictor) else ""
            weak = aurocs.get((*run_key, "weak", made_by, whose), float("nan"))
            rows.append(
                {
                    **run_facts(run),
                    **method_facts(run, number),
                    "seed": run.seed,
                    "setting_name": name,
                    "setting": numbers.get(name, float("nan")),
                    **_where(run, student),
                    "auroc": own,
                    "weak_auroc": weak,
                    "difference": own - weak,
                    "key": student.key,
                }
            )
    return frame(rows, study, SWEEP_COLUMNS)


def _whose(row: dict[Any, Any]) -> str:
    """The method that weak labels are of; a student is told by its key alone."""
    return row["method_id"] if row["role"] == "weak" else ""


def _where(run: Experiment, student: Any) -> Settings:
    """Return probe and layer of a probing, and nothing of other methods."""
    if not isinstance(student, Probing):
        return {"probe": "", "layer": float("nan"), "layer_name": ""}
    blocks = student.activations.layer
    named = getattr(run.method, "layer", blocks)
    name = f"{named} (layer {blocks})" if isinstance(named, str) else f"layer {blocks}"
    return {"probe": student.probe.kind, "layer": blocks, "layer_name": name}


def _swept(sweeps: Sequence[Experiment]) -> dict[tuple[str, ...], str]:
    """Return, by sort of method, the dotted name of the one number that varies, or an empty name."""
    values: dict[tuple[str, ...], dict[str, set[float]]] = {}
    for run in sweeps:
        by_setting = values.setdefault(_sort(run.method), {})
        for name, number in _numbers(run.method).items():
            by_setting.setdefault(name, set()).add(number)
    varying = {sort: [name for name, seen in numbers.items() if len(seen) > 1] for sort, numbers in values.items()}
    return {sort: names[0] if len(names) == 1 else "" for sort, names in varying.items()}


def _sort(method: Plugin) -> tuple[str, ...]:
    """The kinds of a method and of the plugins in its fields."""
    inner = [getattr(method, name) for name in type(method).model_fields]
    return (method.kind, *(value.kind for value in inner if isinstance(value, Plugin)))


def _numbers(method: Plugin) -> dict[str, float]:
    """The numbers among a method's settings, by dotted name; the layer is told apart elsewhere."""
    return {name: value for name, value in _leaves(method, "") if name != "layer"}


def _leaves(plugin: Plugin, prefix: str) -> Iterator[tuple[str, float]]:
    for name in type(plugin).model_fields:
        value = getattr(plugin, name)
        if isinstance(value, Plugin):
            yield from _leaves(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + name, float(value)
