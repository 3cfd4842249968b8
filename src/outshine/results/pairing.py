"""Paired differences between methods and a baseline: one number a dataset and method, seeds averaged first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from outshine.data.schema import families
from outshine.engine.errors import DataError, UnknownNameError
from outshine.results.names import Contender, contenders, find_baseline, labels
from outshine.stats.pgr import SATURATED_ABOVE, is_saturated

METRICS = ("auroc", "pgr")
SATURATED = f"saturated (supervisor and ceiling both above {SATURATED_ABOVE})"

_DECIMALS = 12
"""AUCs are subtracted and averaged with errors near 1e-16: equal differences are equal again after rounding."""

_AND = " + "
"""Between the names of datasets of one family."""

Rows = Sequence[Mapping[Any, Any]]


class PairingKey(NamedTuple):
    """What a method and the baseline must share to be paired: the dataset, its split, the training seed."""

    dataset: str
    data_seed: int
    seed: int

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> PairingKey:
        """The run that a row of `scores` or `pgr` is about."""
        return cls(str(row["dataset"]), int(row["data_seed"]), int(row["seed"]))


class RunDifference(NamedTuple):
    """Method less baseline on one dataset: the mean, and each run's; runs that could not be paired are counted.

    `members`: the datasets of one family that it stands for; none where it is one dataset.
    """

    dataset: str
    method: str
    difference: float
    per_run: dict[PairingKey, float]
    num_left_out: int
    members: tuple[str, ...] = ()


class LeftOutRun(NamedTuple):
    """A dataset on which a method has no difference from the baseline, and why."""

    dataset: str
    method: str
    reason: str


class PairedRuns(NamedTuple):
    """Every method against the baseline on every dataset: a difference, or the reason why there is none.

    `gaps`: dataset -> ceiling − weak supervisor in test AUROC, mean over runs, NaN where it is not known.
    """

    baseline: str
    metric: str
    methods: tuple[str, ...]
    differences: tuple[RunDifference, ...]
    left_out: tuple[LeftOutRun, ...]
    gaps: dict[str, float]

    def of(self, method: str) -> list[RunDifference]:
        """Return the differences of one method."""
        return [difference for difference in self.differences if difference.method == method]


class _Value(NamedTuple):
    """The metric of one run, or NaN and why it has none."""

    value: float
    reason: str


def pair(scores: pd.DataFrame, pgr: pd.DataFrame | None, baseline: str, metric: str = "auroc") -> PairedRuns:
    """Pair every method with the baseline on the same dataset, split and seed.

    `scores`, `pgr`: as `outshine.results.results` makes them, of one pair of models; controls and sweeps are left out.
    `metric`: `auroc`, the student's test AUROC, or `pgr`, for which seeds with an undefined PGR are left out and
    counted. Saturated datasets are left out of both. Datasets of one family are one dataset, the mean of theirs.
    Raises UnknownNameError for an unknown metric or baseline, DataError where `pgr` is needed and not there, for two
    pairs of models, and for two different results of the same run.
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    if metric == "pgr" and pgr is None:
        raise DataError("a comparison of PGRs needs the table pgr.parquet beside scores.parquet, and there is none")
    test: Rows = [row for row in scores.to_dict("records") if row["split"] == "test"]
    check_one_pair_of_models(test)
    check_one_result_a_run(test)
    students = [row for row in test if row["role"] == "student" and row["purpose"] == "method"]
    known = contenders(students)
    named = labels([contender for contender, first in known.items() if contender == first])
    base = find_baseline(baseline, known, named)
    others = [contender for contender in named if contender != base]
    if not others:
        raise DataError(f"the baseline {named[base]} is the only method in the scores; run another one beside it")
    values = _aurocs(students) if pgr is None or metric == "auroc" else _pgrs(pgr.to_dict("records"))
    weak, ceiling = _means(test, "weak"), _means(test, "ceiling")
    datasets = list(dict.fromkeys(str(row["dataset"]) for row in test))
    outcomes = [
        LeftOutRun(dataset, named[contender], SATURATED)
        if is_saturated(weak.get(dataset, math.nan), ceiling.get(dataset, math.nan))
        else _difference(dataset, (named[contender], values.get(contender, {})), (named[base], values.get(base, {})))
        for contender in others
        for dataset in datasets
    ]
    gaps = {name: ceiling.get(name, math.nan) - weak.get(name, math.nan) for name in datasets}
    differences = [outcome for outcome in outcomes if isinstance(outcome, RunDifference)]
    joined = [
        joint
        for contender in others
        for joint in _by_family([each for each in differences if each.method == named[contender]])
    ]
    return PairedRuns(
        baseline=named[base],
        metric=metric,
        methods=tuple(named[contender] for contender in others),
        differences=tuple(joined),
        left_out=tuple(outcome for outcome in outcomes if isinstance(outcome, LeftOutRun)),
        gaps=gaps
        | {joint.dataset: float(np.mean([gaps[name] for name in joint.members])) for joint in joined if joint.members},
    )


def _by_family(differences: Sequence[RunDifference]) -> list[RunDifference]:
    """Join the differences of one method on datasets that are made of the same rows: these are not independent."""
    by_name = {difference.dataset: difference for difference in differences}
    return [_joint([by_name[name] for name in names]) for names in families(by_name).values()]


def _joint(members: Sequence[RunDifference]) -> RunDifference:
    """Take the mean over the members of a family, by run and on the whole."""
    if len(members) == 1:
        return members[0]
    name = _AND.join(member.dataset for member in members)
    by_run: dict[PairingKey, list[float]] = {}
    for member in members:
        for run, value in member.per_run.items():
            by_run.setdefault(run._replace(dataset=name), []).append(value)
    mean = round(float(np.mean([member.difference for member in members])), _DECIMALS)
    per_run = {run: round(float(np.mean(values)), _DECIMALS) for run, values in by_run.items()}
    num_left_out, names = sum(member.num_left_out for member in members), tuple(member.dataset for member in members)
    return RunDifference(name, members[0].method, mean, per_run, num_left_out, names)


def _difference(
    dataset: str, method: tuple[str, dict[PairingKey, _Value]], baseline: tuple[str, dict[PairingKey, _Value]]
) -> RunDifference | LeftOutRun:
    """The difference on one dataset over the runs that both have with a known value."""
    (name, own), (base_name, base) = (
        (name, {run: value for run, value in values.items() if run.dataset == dataset})
        for name, values in (method, baseline)
    )
    for lacking in [label for label, values in ((name, own), (base_name, base)) if not values]:
        return LeftOutRun(dataset, name, f"no result of {lacking}")
    shared = [run for run in own if run in base]
    if not shared:
        return LeftOutRun(dataset, name, f"{name} and {base_name} have no seed in common")
    differences = {run: round(own[run].value - base[run].value, _DECIMALS) for run in shared}
    usable = {run: value for run, value in differences.items() if not math.isnan(value)}
    if not usable:
        first = own[shared[0]] if math.isnan(own[shared[0]].value) else base[shared[0]]
        return LeftOutRun(dataset, name, first.reason)
    mean = round(float(np.mean(list(usable.values()))), _DECIMALS)
    return RunDifference(dataset, name, mean, usable, len({*own, *base}) - len(usable))


def check_one_pair_of_models(test: Rows) -> None:
    """Refuse several pairs of models; only files of weak labels may be named differently from dataset to dataset."""
    pairs = dict.fromkeys((row["weak"], row["strong"]) for row in test)
    by_dataset = {(row["dataset"], row["weak"], row["strong"]) for row in test}
    if len({strong for _, strong in pairs}) > 1 or len(by_dataset) > len({row["dataset"] for row in test}):
        supervisions = "; ".join(f"{weak} supervises {strong}" for weak, strong in pairs)
        raise DataError(f"the scores are of several pairs of models ({supervisions}); compare one pair at a time")


def check_one_result_a_run(test: Rows) -> None:
    """Refuse two results of the same run: differences would not be due to the method alone."""
    keys: dict[tuple[PairingKey, Contender, str], str] = {}
    for row in test:
        run, contender, role = PairingKey.of(row), Contender.of(row), str(row["role"])
        if role == "weak" and row["method"]:  # of a method's own supervisors: their students' keys tell them apart
            continue
        first = keys.setdefault((run, contender, role), row["key"])
        if first != row["key"]:
            name = " ".join(contender.words) if role == "student" else role
            raise DataError(
                f"two different results for {run.dataset}, seed {run.seed}, {name} (keys {first[:12]} and "
                f"{row['key'][:12]}): these runs differ in more than the method; compare runs of the same settings"
            )


def _means(test: Rows, role: str) -> dict[str, float]:
    """Mean test AUROC of the study's supervisor or ceiling by dataset over its runs, each counted once."""
    by_run = {PairingKey.of(row): float(row["auroc"]) for row in test if row["role"] == role and not row["method"]}
    datasets = dict.fromkeys(run.dataset for run in by_run)
    return {name: float(np.mean([by_run[run] for run in by_run if run.dataset == name])) for name in datasets}


def _aurocs(students: Rows) -> dict[Contender, dict[PairingKey, _Value]]:
    aurocs: dict[Contender, dict[PairingKey, _Value]] = {}
    for row in students:
        value = _Value(float(row["auroc"]), "the student's AUROC is unknown")
        aurocs.setdefault(Contender.of(row), {})[PairingKey.of(row)] = value
    return aurocs


def _pgrs(rows: Rows) -> dict[Contender, dict[PairingKey, _Value]]:
    pgrs: dict[Contender, dict[PairingKey, _Value]] = {}
    for row in rows:
        value = float(row["pgr"]) if row["defined"] else math.nan
        pgrs.setdefault(Contender.of(row), {})[PairingKey.of(row)] = _Value(value, f"PGR undefined: {row['reason']}")
    return pgrs
