"""How often `compare` claims what is not so, and whether it finds its own noise floor, through the real function.

    PYTHONPATH=tests python tests/stats/compare_simulations.py

makes the tables of docs/statistics.md. Tables of scores are drawn from fixed seeds; what is counted are the sentences.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from outshine.results.compare import ComparisonResult, compare
from outshine.results.compare_text import verdict
from study_tables import against_xent, scores


class Studies:
    """Tables of scores of one size, drawn anew for each study: methods against xent, one seed a dataset."""

    def __init__(self, num_methods: int, num_datasets: int) -> None:
        zeros = [0.0] * num_datasets
        names = [f"loss{number:02}" for number in range(num_methods)]
        rows = [row for name in names for row in against_xent(zeros, loss=name)[num_datasets:]]
        table = scores(against_xent(zeros)[:num_datasets] + rows)
        text = table.select_dtypes(exclude="number").columns
        # plain objects: pandas' own texts take most of the time
        self.table = table[table["split"] == "test"].reset_index(drop=True).astype(dict.fromkeys(text, object))
        students = self.table[self.table["role"] == "student"]
        self.places = students.pivot_table(
            index="loss", columns="dataset", values="auroc", aggfunc=lambda one: one.index[0]
        )
        self.names = names

    def compared(self, differences: np.ndarray, declared: Sequence[str | None] = ()) -> ComparisonResult:
        """The comparison where methods differ from xent by `differences` [methods, datasets]."""
        table: pd.DataFrame = self.table.copy()
        for name, own in zip(self.names, differences, strict=True):
            table.loc[self.places.loc[name].to_numpy(dtype=int), "auroc"] = 0.8 + own
        return compare(table, baseline="xent", declared=declared)


def claims(found: ComparisonResult) -> list[str]:
    """What `compare` says of each method: `helps`, `hurts` or nothing."""
    told = [verdict(found, one.method) for one in found.methods]
    return [next((verb for verb in ("helps", "hurts") if f"the evidence that it {verb}" in says), "") for says in told]


@cache
def false_claims(num_methods: int, num_datasets: int, num_runs: int, *, declared: bool = False) -> float:
    """Share of studies in which `compare` says of any method that it helps or hurts, where none does.

    All methods share the baseline, whose share in the variance of a difference is a half.
    """
    rng, studies = np.random.default_rng([41, num_methods, num_datasets]), Studies(num_methods, num_datasets)
    wrong = 0
    for _ in range(num_runs):
        d = rng.normal(0, 0.02, (num_methods, num_datasets)) - rng.normal(0, 0.02, num_datasets)
        wrong += any(claims(studies.compared(d, ["xent"] if declared else [None])))
    return wrong / num_runs


class FloorPower(NamedTuple):
    """A printed noise floor, in standard deviations, and the share of studies that find a difference as large."""

    floor: float
    power: float


def floor_power(num_datasets: int, num_methods: int, num_runs: int, *, declared: bool = False) -> FloorPower:
    """Take the floor from a table whose standard deviation is .02, then draw studies with that true difference.

    Of several methods one has the difference; the others differ by nothing from the baseline.
    """
    rng, studies = np.random.default_rng([43, num_methods, num_datasets]), Studies(num_methods, num_datasets)
    given = ["xent"] if declared else [None]
    d = rng.normal(size=(num_methods, num_datasets))
    d = 0.02 * (d - d.mean(axis=1, keepdims=True)) / d.std(axis=1, ddof=1, keepdims=True)
    floor = studies.compared(d, given).methods[0].noise.detectable
    if np.isinf(floor):
        return FloorPower(floor, 0.0)
    effect = np.zeros((num_methods, 1))
    effect[0] = floor
    draws = effect + rng.normal(0, 0.02, (num_runs, num_methods, num_datasets))
    return FloorPower(
        floor / 0.02, float(np.mean([claims(studies.compared(one, given))[0] == "helps" for one in draws]))
    )


def write_tables(write: Callable[[str], object]) -> None:
    """False claims, then the power at the printed floor. 3,000 studies of one method, 1,000 of eleven."""
    write("| datasets | 1 method | 11 methods | 1 method, direction declared |\n|---|---|---|---|\n")
    for num in (4, 6, 10, 21):
        found = (false_claims(1, num, 3_000), false_claims(11, num, 1_000), false_claims(1, num, 3_000, declared=True))
        write(f"| {num} | " + " | ".join(f"{x:.3f}" for x in found) + " |\n")
    write("\n| datasets | methods | sides | floor in standard deviations | power |\n|---|---|---|---|---|\n")
    for num_methods, declared, sizes in (
        (1, False, (5, 6, 10, 21, 40)),
        (1, True, (4, 5, 6, 10, 21)),
        (11, False, (8, 10, 21)),
    ):
        for num in sizes:
            floor, power = floor_power(num, num_methods, 3_000 if num_methods == 1 else 1_000, declared=declared)
            shown = "cannot be found | |" if np.isinf(floor) else f"{floor:.3f} | {power:.3f} |"
            write(f"| {num} | {num_methods} | {'one' if declared else 'two'} | {shown}\n")


if __name__ == "__main__":
    write_tables(sys.stdout.write)
