"""What `score` can say."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from claim import Claim

import outshine
from outshine.data.task import MultiClass, tasks
from outshine.engine.errors import OutshineError
from outshine.report.score_section import sentences, tables
from outshine.stats.metrics import Metric
from outshine.stats.metrics.accuracy import Accuracy

MODULES: tuple[str, ...] = (
    "report/score_section.py",
    "results/score/measure.py",
    "results/score/align.py",
    "results/score/predictions.py",
    "results/score/eval_logs.py",
    "report/figures/score.py",
)

Say = Callable[[], list[str]]
MEANING = "it says what the numbers beside it are"
EFFECTS = {"weak": 0.4, "student": 1.0, "ceiling": 2.0}


def rows(seeds: int = 1, n: int = 240, **effects: float) -> pd.DataFrame:
    """Rows of two classes; a role's log-odds are that far from 0 on the right side."""
    rng, y = np.random.default_rng(73), np.arange(n) % 2
    parts = []
    for seed in range(seeds):
        told = {role: rng.normal(size=n) + effect * (2 * y - 1) for role, effect in {**EFFECTS, **effects}.items()}
        parts.append(pd.DataFrame({"id": range(n), "label": y, "seed": seed, **told}))
    return pd.concat(parts, ignore_index=True)


def said(*given: Any, **arguments: Any) -> list[str]:
    """All that is printed of predictions: tables, sentences, notes, reasons; or the error."""
    try:
        scored = outshine.score(*given, **arguments)
    except OutshineError as error:
        return [str(error)]
    cells = [
        text for one in tables(scored) for text in (one.title, *one.columns, *(c for row in one.rows for c in row))
    ]
    return [*cells, *sentences(scored), *scored.notes, *scored.summary["reason"].dropna().unique()]


def of(table: pd.DataFrame, **arguments: Any) -> Say:
    return partial(said, table, **arguments)


ONE, THREE = of(rows()), of(rows(3))
NO_CEILING, NO_WEAK = of(rows().drop(columns="ceiling")), of(rows().drop(columns="weak"))
LEVEL, BEHIND = of(rows(student=0.4)), of(rows(student=0.0))
NO_GAP = of(rows(ceiling=0.4))
TESTS = of(pd.concat([rows().assign(test="near"), rows(student=0.4).assign(test="far")]))
BOTH_TESTS = of(pd.concat([rows().assign(test="near"), rows(student=1.2).assign(test="far")]))
ONE_CLASS = of(pd.concat([rows().assign(test="near"), rows().assign(test="far", label=1)]))
CONTROL, GOOD_CONTROL = of(rows(**{"control:c": 0.0})), of(rows(**{"control:c": 2.0}))
DATASETS = of(pd.concat([rows().assign(dataset="one"), rows(student=0.9).assign(dataset="two")]))
NO_GAPS = of(pd.concat([rows(ceiling=0.4).assign(dataset="one"), rows(ceiling=0.3).assign(dataset="two")]))
EMPTY_LABELS = of(rows().assign(label=lambda table: table["label"].astype(object).where(table["id"] > 9)))
TIES = of(rows().assign(label=lambda table: table["label"].where(table["id"] > 9, 0.5)), pairs=True)
VAL = of(pd.concat([rows().assign(split=split) for split in ("test", "val")]))
SPLIT = of(rows().assign(split="test"))
BLANK = of(rows(2).assign(student=lambda table: table["student"].where(table["seed"] == 0)))
CLASSES = pd.DataFrame(
    np.random.default_rng(0).normal(size=(90, 9)), columns=[f"{r}_{k}" for r in EFFECTS for k in range(3)]
)
P_CLASSES = pd.DataFrame(np.full((90, 9), 0.2), columns=CLASSES.columns)


@cache
def seeds(weak: int, student: int) -> list[str]:
    table = rows(3)
    parts = {
        role: table[table["seed"] < num][["id", "seed", role]] for role, num in (("weak", weak), ("student", student))
    }
    return said(**parts, ceiling=table[["id", "seed", "ceiling"]], labels=rows()[["id", "label"]])


@cache
def harness(*, written: bool = False, filters: int = 1) -> list[str]:
    """Samples of lm-evaluation-harness, with log-likelihoods of choices or answers that were written."""
    lines = []
    for name in ("none", "strict")[:filters]:
        for number in range(40):
            responses = ["42"] if written else [[str(-1.0 - number % 3), "True"], [str(-1.0 - number % 5), "False"]]
            lines.append({"doc_id": number, "target": str(number % 2), "filtered_resps": responses, "filter": name})
            lines[-1] |= {"exact_match": float(number % 3 > 0)} if written else {}
    return _log("".join(json.dumps(line) + "\n" for line in lines), ".jsonl")


@cache
def files(*columns: str) -> list[str]:
    """A file of the supervisor and one of the student, with the label and these columns."""
    with tempfile.TemporaryDirectory() as folder:
        for role in ("weak", "student"):
            rows()[[*columns, "label", role]].to_csv(Path(folder) / f"{role}.csv", index=False)
        return said(**{role: Path(folder) / f"{role}.csv" for role in ("weak", "student")})


@cache
def inspect(*, status: str = "success", logprobs: bool = False) -> list[str]:
    samples = []
    for number in range(40):
        top = [{"token": letter, "logprob": -1.0 - (number + k) % 3} for k, letter in enumerate("AB")]
        output = {"choices": [{"logprobs": {"content": [{**top[0], "top_logprobs": top}]}}]} if logprobs else {}
        facts = {"id": number, "epoch": 1, "target": "AB"[number % 2], "choices": ["x", "y"], "output": output}
        samples.append({**facts, "scores": {"choice": {"value": "CI"[number % 3 > 0]}}})
    return _log(json.dumps({"status": status, "eval": {}, "samples": samples}), ".json")


def _log(text: str, ending: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"log{ending}"
        path.write_text(text)
        return said(student=path)


class Ordered(MultiClass):
    """Classes that have an order."""

    kind = "ordered"
    outcome = "ordered"
    special_case_of = ("multiclass",)


class Steps(Accuracy):
    """A metric of classes that have an order."""

    kind = "steps"
    outcomes = ("ordered",)


@cache
def by_metric(metric: Metric) -> list[str]:
    """Three classes, measured by a metric, where a package knows a task of classes that have an order."""
    tasks.names()
    with patch.dict(tasks._classes, {Ordered.kind: Ordered}):
        return said(CLASSES.assign(id=range(90), label=[0, 1, 2] * 30), metric=[metric])


CLAIMS = [
    Claim(
        "the labels were taken for {} ones, which '{}' measures",
        partial(by_metric, Steps()),
        partial(by_metric, Accuracy()),
    ),
    Claim("one seed: test rows only, these trained models", ONE, THREE),
    Claim("test rows and seeds", THREE, ONE),
    Claim("On the test rows [95 % interval] ({})", ONE, None, MEANING),
    Claim("Paired on the same rows [95 % interval]", CONTROL, None, MEANING),
    Claim("Pooled PGR, Σ (student − weak) / Σ (ceiling − weak)", DATASETS, None, MEANING),
    Claim("with these trained models", ONE, THREE),
    Claim("{} nothing can be measured: {}.", ONE_CLASS, BOTH_TESTS),
    Claim("{} {} has {}; {}, so that no gain is known.", NO_WEAK, NO_CEILING),
    Claim("{}; there is no PGR: {}.", NO_GAP, ONE),
    Claim("{} and recovers {} of the gap to the ceiling (95 % interval {} to {}).", ONE, LEVEL),
    Claim("student_minus_weak_low", partial(str.split, "student_minus_weak_low"), None, "the name of a column"),
    Claim("student_minus_weak_high", partial(str.split, "student_minus_weak_high"), None, "the name of a column"),
    Claim("cannot be told from", LEVEL, ONE),
    Claim("Over {}, {}, {}: the pooled PGR of {} is undefined, {}.", NO_GAPS, DATASETS),
    Claim("Over {}, {}, {}: the pooled PGR of {} is {}.", DATASETS, ONE),
    Claim(
        "In {} the gain of {}{} is shown on {} and not on {}; that alone does not show that the gains differ.",
        TESTS,
        BOTH_TESTS,
    ),
    Claim("In {} on {} {} is not shown to be better than its control {} ({} − {} {}).", GOOD_CONTROL, CONTROL),
    Claim("{} is not defined on {}", ONE_CLASS, BOTH_TESTS),
    Claim("no supervisor's predictions are given", NO_WEAK, ONE),
    Claim(
        "no ceiling's predictions are given, so that there is a gain over the supervisor and no share of a gap",
        NO_CEILING,
        ONE,
    ),
    Claim(
        "those of a row do not add up to 1",
        of(P_CLASSES.assign(id=range(90), label=0), values="probability"),
        of(CLASSES.assign(id=range(90), label=[0, 1, 2] * 30)),
    ),
    Claim("the values of {} were taken for {} (--values says otherwise)", ONE, partial(harness, written=True)),
    Claim(
        "; the labels are {}: name them in the order of the values, --classes …",
        of(CLASSES.assign(id=range(90), label=["a", "b", "c"] * 30)),
        of(CLASSES.assign(id=range(90), label=[0, 1, 2] * 30)),
    ),
    Claim("without ids row n of '{}' was taken for row n of '{}', and so on", files, partial(files, "id")),
    Claim("{} of {} left out, without a label", EMPTY_LABELS, ONE),
    Claim(
        "no row of {} is of class {}: means over classes are over the others",
        of(CLASSES.assign(id=range(90), label=[0, 1] * 45)),
        of(CLASSES.assign(id=range(90), label=[0, 1, 2] * 30)),
    ),
    Claim("{} of {} left out, whose label is a tie", TIES, of(rows(), pairs=True)),
    Claim("{} on {} has one seed and is taken as the same for all {}", partial(seeds, 1, 3), partial(seeds, 3, 3)),
    Claim("{} on {}: seed {} left out, which other models do not have", partial(seeds, 2, 3), partial(seeds, 3, 3)),
    Claim("{} of {} left out: what models were trained or chosen on", VAL, SPLIT),
    Claim(
        "wide: columns weak, student, ceiling; long: a column role; a file a model: --weak, --student, --ceiling",
        of(rows().drop(columns="student")),
        ONE,
    ),
    Claim("{} has no value on {}: left out there", BLANK, THREE),
    Claim("{}: of the filters {} the first was taken", partial(harness, filters=2), harness),
    Claim(
        "{}: no log-likelihoods of choices in '{}'; only whether answers are right",
        partial(harness, written=True),
        harness,
    ),
    Claim("{}: the evaluation in '{}' ended with '{}'", partial(inspect, status="cancelled"), inspect),
    Claim(
        "{}: no log-probabilities of all choices in '{}'; only whether answers are right",
        inspect,
        partial(inspect, logprobs=True),
    ),
]
