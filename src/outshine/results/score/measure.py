"""Predictions made anywhere, measured as a study's are: values, PGRs, gaps, and paired comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from outshine.data.label_spellings import Words
from outshine.data.schema import families
from outshine.data.task import tasks
from outshine.engine.errors import DataError, OutshineError, SettingsError, UnknownNameError
from outshine.results.score.align import Aligned, AlignedRows, Meaning, align, controls, over_seeds, supervision
from outshine.results.score.eval_logs import read_log
from outshine.results.score.predictions import (
    CONTROL,
    Columns,
    Model,
    Predicted,
    Source,
    numbered_seeds,
    read_labels,
    read_model,
    read_tables,
)
from outshine.results.scored_rows import PGR_FACTS, Outcome, ScoredRows, compare_rows, interval_facts, pgr_facts
from outshine.stats.intervals import Interval, difference_interval
from outshine.stats.metrics import Metric, metrics
from outshine.stats.pgr import ROLES, PooledPGR, pooled_pgr

_WHOSE = ("dataset", "test", "purpose", "method", "metric")
_GAPS = {"student_minus_weak": ("student", "weak"), "ceiling_minus_weak": ("ceiling", "weak")}
SUMMARY_COLUMNS = (
    *(*_WHOSE, "num_seeds", "n", "num_groups"),
    *(f"{role}{end}" for role in ROLES for end in ("_value", "_low", "_high")),
    *PGR_FACTS,
    *(f"{gap}{end}" for gap in _GAPS for end in ("_low", "_high")),
)
SEED_COLUMNS = (*_WHOSE, "seed", *(f"{role}_value" for role in ROLES), *PGR_FACTS)
COMPARISON_COLUMNS = (
    *("dataset", "test", "purpose", "method", "than", "metric", "num_seeds", "n", "num_groups"),
    *("difference", "difference_low", "difference_high"),
)
_SATURATING = ("auroc", "macro_auroc")


class PooledScore(NamedTuple):
    """The PGR of one method on one test set, pooled over the datasets that are not saturated.

    Attributes:
        test: Name of the test set.
        method: Name of the method; empty where there is one.
        metric: Name of the metric.
        pooled: The pooled PGR with its intervals.
    """

    test: str
    method: str
    metric: str
    pooled: PooledPGR


class ScoreResults(NamedTuple):
    """What predictions that were made anywhere are worth, as pandas frames with one row a result.

    The columns are explained in docs/score.md. Intervals are at 95 %. The column `purpose` tells methods and controls
    apart; a control stands in the student's place.

    Attributes:
        summary: Values and PGR over all seeds, one row a dataset, test set, method or control, and metric.
        seeds: The same for each seed, without intervals but that of the PGR, which is conditional on its models.
        comparisons: Controls less their student, and methods less the baseline, paired on the same rows.
        pooled: The PGR over datasets, one record a test set, method and metric. Empty where there is one dataset.
        outcome: What labels and values look like: `binary`, `multiclass` or `pairwise`.
        values: What the values of each model were taken for.
        notes: Sentences on what was left out or taken for granted.
    """

    summary: pd.DataFrame
    seeds: pd.DataFrame
    comparisons: pd.DataFrame
    pooled: list[PooledScore]
    outcome: str
    values: dict[str, str]
    notes: list[str]

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the frames by name, as `--out` writes them to files.

        Returns:
            Name -> frame.
        """
        return {"summary": self.summary, "seeds": self.seeds, "comparisons": self.comparisons}


class ScoreSources(NamedTuple):
    """Where predictions lie.

    Attributes:
        tables: Tables of several models, wide or long.
        weak: Files of the supervisor's predictions, one a seed; `ceiling` likewise.
        students: Files of students' predictions by the name of their method, "" where there is one.
        ceiling: See `weak`.
        controls: Files of controls' predictions by the name of the control.
        labels: A table of the truth.
    """

    tables: Sequence[Source] = ()
    weak: Sequence[Source] = ()
    students: Mapping[str, Sequence[Source]] = {}
    ceiling: Sequence[Source] = ()
    controls: Mapping[str, Sequence[Source]] = {}
    labels: Source | None = None


class ScoreSettings(NamedTuple):
    """How predictions are read and measured.

    Attributes:
        metrics: Names of metrics, or metrics; none: the usual one of such labels.
        values: See `Meaning.values`; `pairs` and `classes` likewise.
        pairs: See `values`.
        classes: See `values`.
        columns: Names of columns that are not called as usual.
        words: Which labels are class 1, class 0 and none.
        baseline: The method that others are compared with; "": the first.
    """

    metrics: Sequence[Any] = ()
    values: str = "auto"
    pairs: bool = False
    classes: tuple[str, ...] = ()
    columns: Columns = Columns()
    words: Words = Words()
    baseline: str = ""


def score(sources: ScoreSources, settings: ScoreSettings) -> ScoreResults:
    """Read predictions, bring them to the same rows and measure them.

    Raises DataError for predictions or labels that cannot be used, SettingsError for a metric that cannot measure them,
    UnknownNameError for a metric or baseline that there is not.
    """
    notes: list[str] = []
    predicted = _read(sources, settings.columns, notes)
    meaning = Meaning(settings.values, settings.pairs, settings.classes, settings.words)
    aligned = align(predicted, meaning, notes)
    chosen = _metrics(settings.metrics, aligned, notes)
    summary: list[dict[str, Any]] = []
    seeds: list[dict[str, Any]] = []
    comparisons: list[dict[str, Any]] = []
    pooling: dict[tuple[str, str, str], list[tuple[str, Outcome]]] = {}
    for test in aligned.tests:
        methods = [model for model in test.scores if model.role == "student"]
        if not methods:
            raise DataError(f"there are no predictions of a student on {test.dataset} {test.test}".rstrip())
        for metric in chosen:
            for student in methods:
                for model in [student, *controls(test, student.method)]:
                    result = _measure(test, model, student.method, metric, aligned, notes)
                    summary.append(result.summary)
                    seeds += result.seeds
                    if model is student and result.outcome is not None:
                        pooling.setdefault((test.test, student.method, metric.kind), []).append(
                            (test.dataset, result.outcome)
                        )
            comparisons += _comparisons(test, methods, settings.baseline, metric, notes)
    if all(row["n"] == 0 for row in summary):
        raise DataError(summary[0]["reason"])
    return ScoreResults(
        summary=pd.DataFrame(summary, columns=list(SUMMARY_COLUMNS)),
        seeds=pd.DataFrame(seeds, columns=list(SEED_COLUMNS)),
        comparisons=pd.DataFrame(comparisons, columns=list(COMPARISON_COLUMNS)),
        pooled=_pooled(pooling),
        outcome=aligned.outcome,
        values=aligned.kinds,
        notes=list(dict.fromkeys(notes)),
    )


# --- reading ------------------------------------------------------------------------------------------------------


def _read(sources: ScoreSources, columns: Columns, notes: list[str]) -> list[Predicted]:
    predicted = read_tables(sources.tables, columns, notes)
    by_model: dict[Model, tuple[str, Sequence[Source]]] = {
        Model("weak"): ("--weak", sources.weak),
        Model("ceiling"): ("--ceiling", sources.ceiling),
    }
    by_model |= {Model("student", "", name): ("--student", files) for name, files in sources.students.items()}
    by_model |= {Model(CONTROL, name): ("--control", files) for name, files in sources.controls.items()}
    for model, (option, files) in by_model.items():
        predicted += numbered_seeds((_one_model(source, model, columns, notes) for source in files), option)
    if sources.labels is not None:
        predicted += read_labels(sources.labels, columns, notes)
    return predicted


def _one_model(source: Source, model: Model, columns: Columns, notes: list[str]) -> list[Predicted]:
    log = None if isinstance(source, pd.DataFrame) else read_log(source, model, notes)
    return read_model(source, model, columns, notes) if log is None else log


def _metrics(asked: Sequence[Any], aligned: Aligned, notes: list[str]) -> list[Metric]:
    chosen = [metrics.parse(one) for one in asked] or [metrics.parse(aligned.metric)]
    for metric in chosen:
        if aligned.only is not None and metric.kind not in aligned.only:
            only = ", ".join(aligned.only)
            raise SettingsError(
                f"'{metric.kind}' needs scores, and these logs only tell right from wrong; choose {only}"
            )
        if aligned.outcome in metric.outcomes:
            continue
        if special := _special_case(metric, aligned.outcome):
            notes.append(f"the labels were taken for {special} ones, which '{metric.kind}' measures")
        else:
            able = [name for name, other in metrics if aligned.outcome in other.outcomes]
            raise SettingsError(
                f"'{metric.kind}' measures {' and '.join(metric.outcomes)} labels, and these are {aligned.outcome}; "
                f"choose among {', '.join(able)}"
            )
    return list({metric.kind: metric for metric in chosen}.values())


def _special_case(metric: Metric, outcome: str) -> str | None:
    """An outcome that the metric measures and that is a special case of this one, which a table cannot tell it from."""
    return next(
        (task.outcome for _, task in tasks if task.outcome in metric.outcomes and outcome in task.special_case_of), None
    )


# --- measuring ----------------------------------------------------------------------------------------------------


class _Measured(NamedTuple):
    """A student, or a control in its place, on one test set. `outcome` None: the metric is not defined there."""

    summary: dict[str, Any]
    seeds: list[dict[str, Any]]
    outcome: Outcome | None


def _measure(
    test: AlignedRows, model: Model, method: str, metric: Metric, aligned: Aligned, notes: list[str]
) -> _Measured:
    by_role = {**supervision(test, method), "student": model}
    roles = tuple(role for role in ROLES if role in by_role)
    seeds, scores = over_seeds(test, [by_role[role] for role in roles], notes)
    is_control = model.role == CONTROL
    whose = {
        "dataset": test.dataset,
        "test": test.test,
        "purpose": CONTROL if is_control else "method",
        "method": " ".join(part for part in (model.name, method) if part),
        "metric": metric.kind,
    }
    rows = ScoredRows(test.y, test.groups, scores, roles)
    try:
        outcome = compare_rows(rows, metric, _why_no_pgr(roles))
    except OutshineError as error:
        where = " ".join(part for part in (test.dataset, test.test) if part)
        reason = f"{where}: {error}"
        notes.append(f"{metric.kind} is not defined on {reason}")
        nothing = {**whose, "num_seeds": len(seeds), "n": 0, "num_groups": 0, "defined": False, "reason": reason}
        return _Measured({**nothing, "saturated": False}, [], None)
    saturated = metric.kind in _SATURATING and metric.kind == aligned.metric and outcome.saturated
    facts = {**interval_facts(outcome.intervals, "_value"), **pgr_facts(outcome.pgr), "saturated": saturated}
    for name, (role, less) in _GAPS.items():
        gap = outcome.difference(role, less)
        facts |= {f"{name}_low": gap.low, f"{name}_high": gap.high}
    per_seed = [
        {
            **whose,
            "seed": seed,
            "saturated": saturated,
            **pgr_facts(outcome.per_seed[number]),
            **{f"{role}_value": value for role, value in zip(roles, outcome.values.per_seed[number], strict=True)},
        }
        for number, seed in enumerate(seeds)
    ]
    return _Measured({**whose, "num_seeds": len(seeds), **outcome.sizes, **facts}, per_seed, outcome)


def _why_no_pgr(roles: Sequence[str]) -> str:
    if "weak" not in roles:
        return "no supervisor's predictions are given"
    return "no ceiling's predictions are given, so that there is a gain over the supervisor and no share of a gap"


def _comparisons(
    test: AlignedRows, methods: Sequence[Model], baseline: str, metric: Metric, notes: list[str]
) -> list[dict[str, Any]]:
    """Each control less its student, and each method less the baseline."""
    pairs = [
        (control, student, CONTROL, control.name, student.method or "student")
        for student in methods
        for control in controls(test, student.method)
    ]
    if len(methods) > 1:
        base = methods[0] if not baseline else next((one for one in methods if one.method == baseline), None)
        if base is None:
            raise UnknownNameError("baseline", baseline, [one.method for one in methods])
        pairs += [(one, base, "method", one.method, base.method) for one in methods if one is not base]
    rows = []
    for first, second, purpose, name, than in pairs:
        seeds, scores = over_seeds(test, [first, second], notes)
        try:
            values = metric.combine_seeds(test.y, scores, test.groups)
        except OutshineError:  # the summary says why
            continue
        difference: Interval = difference_interval(values.estimate, [1.0, -1.0])
        whose = {"dataset": test.dataset, "test": test.test, "purpose": purpose, "method": name, "than": than}
        sizes = {"num_seeds": len(seeds), "n": values.num_rows, "num_groups": values.num_groups}
        limits = {"difference_low": difference.low, "difference_high": difference.high}
        rows.append({**whose, "metric": metric.kind, **sizes, "difference": difference.value, **limits})
    return rows


def _pooled(by_method: Mapping[tuple[str, str, str], list[tuple[str, Outcome]]]) -> list[PooledScore]:
    """Over the datasets, where there are two or more, of each method, test set and metric; none that is saturated."""
    found = []
    for (test, method, metric), several in by_method.items():
        if len(several) < 2:
            continue
        family = {name: own for own, names in families(dataset for dataset, _ in several).items() for name in names}
        kept = [
            (outcome.estimate, family[dataset])
            for dataset, outcome in several
            if outcome.estimate is not None and not (metric in _SATURATING and outcome.saturated)
        ]
        pooled = pooled_pgr([estimate for estimate, _ in kept], families=[name for _, name in kept])
        found.append(PooledScore(test, method, metric, pooled))
    return found
