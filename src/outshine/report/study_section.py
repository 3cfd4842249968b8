"""The page's section on one study: the answer, figures, statistics, controls, data, how to reproduce it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from outshine.engine.errors import OutshineError
from outshine.engine.stage import in_order
from outshine.report import compare_section, tables, text
from outshine.report.dataset_section import dataset_pages
from outshine.report.figures import series, svg
from outshine.results.controls import against
from outshine.results.controls_text import sentences as control_sentences
from outshine.results.names import Contender
from outshine.results.other_tests import disagreements_of_tests
from outshine.results.training_notes import doubt, doubtful
from outshine.w2s.study_file import study_yaml

if TYPE_CHECKING:
    import pandas as pd

    from outshine.engine.store.store import Store
    from outshine.report.study_figures import StudyFigure
    from outshine.results.finished import FinishedStudy
    from outshine.results.results import MethodPGR, Results

BASELINE = "xent"
"""What the page compares with, unless the study says so, where a student was trained with it; else its first method."""

_BAR = (-0.25, 1.25)  # PGRs that the drawn line reaches
_KEY_DIGITS = 12  # shown of a key; `outshine show` takes as many


class HeadlineStudent(NamedTuple):
    """The student that the headline is about: vanilla with the study's loss, else the first method.

    `rows`: its rows of the summary, a dataset a row. `pooled`: its PGR over datasets.
    """

    contender: Contender
    rows: pd.DataFrame
    pooled: MethodPGR


def headline_of(finished: FinishedStudy) -> HeadlineStudent:
    """The headline student of a finished study."""
    results = finished.results
    methods = results.summary[results.summary["purpose"] == "method"]
    student = series.reference_contender(methods, finished.resolution.study.loss.kind)
    (pooled,) = [method for method in results.pooled if Contender.of(method._asdict()) == student]
    own = methods[[Contender.of(row) == student for row in methods.to_dict("records")]]
    return HeadlineStudent(student, own.drop_duplicates("dataset"), pooled)


class StudySection(NamedTuple):
    """A finished study and its figures."""

    finished: FinishedStudy
    figures: Sequence[StudyFigure]


def content(section: StudySection, store: Store, prefix: str) -> dict[str, Any]:
    """All that the template shows of one study; ids begin with `prefix`."""
    finished, figures = section
    results, study = finished.results, finished.resolution.study
    methods = results.summary[results.summary["purpose"] == "method"]
    undefined = methods[~methods["defined"]]
    student = headline_of(finished)
    notes = results.training_notes
    untrained = doubtful(notes, student.contender, ("student", "ceiling"))
    first = student.rows.iloc[0]
    return {
        "prefix": prefix,
        "study": study.name,
        "weak": first["weak"],
        "strong": first["strong"],
        "num_seeds": int(first["num_seeds"]),
        "question": text.question(first["weak"], first["strong"]),
        "answer": text.verdict(student.pooled, student.rows, untrained),
        "uncertainty": text.uncertainty(student.pooled, student.rows),
        "doubt": doubt(notes, student.contender, student.rows["dataset"].tolist()),
        "training_notes": [note.text for note in notes],
        "reference": student,
        "name": text.contender_name(student.contender.facts()),
        "bar": _bar(student),
        "pooled": [text.pooled_sentence(student.pooled, student.rows)] if len(results.pooled) == 1 else [],
        "pooled_table": tables.pooled_table(results.pooled, methods) if len(results.pooled) > 1 else None,
        "gains": tables.gains(methods, study.loss.kind) if len(results.pooled) > 1 else None,
        "results_table": tables.results_table(methods),
        "tests_table": tables.tests_table(results.tests) if len(results.tests) else None,
        "test_sentences": disagreements_of_tests(results.tests),
        "metrics_table": tables.metrics_table(results.metrics) if len(results.metrics) else None,
        "failed_table": tables.failed_table(results.failed) if len(results.failed) else None,
        "undefined": [(row["dataset"], text.contender_name(row), row["reason"]) for _, row in undefined.iterrows()],
        "figures": [(figure, svg(figure.figure, prefix)) for figure in figures],
        "rounds_table": tables.rounds_table(results.scores),
        "comparison": comparison_of(results, study.better_than),
        "controls": controls_of(results, study.loss.kind),
        "diagnostics_table": tables.diagnostics_table(results.diagnostics),
        "datasets": dataset_pages(finished, student, store, prefix),
        "notes": finished.resolution.notes,
        **_reproduction(finished, store),
    }


def _bar(student: HeadlineStudent) -> dict[str, Any] | None:
    """Places in percent on a line that holds supervisor (PGR 0) and ceiling (1); None where PGR is no result."""
    these = student.pooled.pooled.these_datasets
    if not these.defined or text.rests_on_few(student.pooled, text.GapCounts.of(student.rows)):
        return None
    low, high = _BAR

    def place(value: float) -> float:
        return round(100 * (min(max(value, low), high) - low) / (high - low), 1)

    return {
        "pgr": text.interval_text(these),
        "weak": place(0.0),
        "ceiling": place(1.0),
        "student": place(these.value),
        "low": place(these.low),
        "width": round(place(these.high) - place(these.low), 1),
        "beyond": not low <= these.value <= high,
    }


def comparison_of(results: Results, declared: str | None) -> dict[str, Any] | None:
    """Every method against the baseline; None where there is one method only, a reason where no test can be made.

    `declared`: the study's `better_than`, which is then the baseline.
    """
    if len(results.pooled) < 2:
        return None
    trained = [method.loss for method in results.pooled if method.method == "vanilla"]
    baseline = BASELINE if BASELINE in trained else text.contender_name(results.pooled[0]._asdict())
    if declared is not None:
        baseline = declared
    try:
        compared, on_pgr, notes = compare_section.compare_both(
            results.scores, results.pgr, baseline, declared=[declared]
        )
    except OutshineError as error:
        return {"reason": str(error)}
    return {
        "reason": "",
        "conclusion": compare_section.conclusion(compared),
        "tables": compare_section.comparison_tables(compared),
        "sentences": compare_section.comparison_sentences(compared, on_pgr),
        "noise": compare_section.noise_sentences(compared),
        "notes": notes + compare_section.comparison_notes(compared, on_pgr),
    }


def controls_of(results: Results, loss: str) -> dict[str, Any] | None:
    """Controls and baselines, and what the choice of the update costs; None where the study has neither."""
    overall = tables.beside_reference(against(results.scores, summary=results.summary).overall, loss)
    if overall.empty and results.trajectories.empty:
        return None
    return {
        "table": None if overall.empty else tables.controls_table(overall),
        "sentences": control_sentences(overall),
        "selection": None if results.trajectories.empty else tables.selection_table(results.trajectories),
    }


def _reproduction(finished: FinishedStudy, store: Store) -> dict[str, Any]:
    """How to reproduce a study: its file, models and data by revision, versions, and the key of every stage."""
    stages = in_order([stage for experiment in finished.experiments for stage in experiment.stages()])
    records = [store.done(stage.key)["made"] for stage in stages]
    rows = []
    for stage, made in zip(stages, records, strict=True):
        summary = getattr(stage, "summary", None)
        notes = summary(store)["notes"] if summary else []
        rows.append([stage.key[:_KEY_DIGITS], stage.label, f"{made['seconds']:.1f}", "; ".join(notes)])
    return {
        "yaml": study_yaml(finished.resolution.study),
        "sources": _sources(finished),
        "versions": _versions(records),
        "stages": tables.TextTable("", ["key", "stage", "seconds", "notes"], rows, right=["seconds"]),
        "seconds": sum(made["seconds"] for made in records),
    }


def _sources(finished: FinishedStudy) -> tables.TextTable:
    resolution = finished.resolution
    models = [
        ("weak supervisor", resolution.weak),
        ("strong student and ceiling", resolution.strong),
        *(("model of a method", model) for model in resolution.of_methods.values()),
    ]
    rows = [[role, model.spec.name, model.spec.model.identity] for role, model in models if model is not None]
    rows += [["dataset", prepare.name, prepare.source] for prepare in resolution.prepares]
    return tables.TextTable("", ["what", "name", "revision"], rows)


def _versions(records: Sequence[dict[str, Any]]) -> str:
    """`outshine 0.1.0, Python 3.11.7, torch 2.13.0+cpu, …`; several versions of one where stages differ in it."""
    numbers: dict[str, set[str]] = {}
    for made in records:
        for name, number in {"Python": made.get("python"), **made.get("packages", {})}.items():
            numbers.setdefault(name, set()).add(str(number or "unknown"))
    first = ["outshine", "Python"]
    names = [*first, *sorted(numbers.keys() - set(first))]
    return ", ".join(f"{name} {' and '.join(sorted(numbers[name]))}" for name in names)
