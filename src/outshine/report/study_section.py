"""The page's section on one study: the answer, figures, statistics, controls, data, how to reproduce it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from outshine.engine.errors import OutshineError
from outshine.report import compare_section, tables, text
from outshine.report.dataset_section import dataset_pages
from outshine.report.figures import svg
from outshine.report.headline_student import Reference, reference_of
from outshine.report.reproduction import reproduction
from outshine.results.controls import against
from outshine.results.controls_text import sentences as control_sentences
from outshine.results.training_notes import doubt, doubtful

if TYPE_CHECKING:
    from outshine.engine.store.store import Store
    from outshine.report.study_figures import StudyFigure
    from outshine.results.finished import Finished
    from outshine.results.results import Results

BASELINE = "xent"
"""What the page compares with, unless the study says so, where a student was trained with it; else its first method."""

_BAR = (-0.25, 1.25)  # PGRs that the drawn line reaches


class StudySection(NamedTuple):
    """A finished study and its figures."""

    finished: Finished
    figures: Sequence[StudyFigure]


def content(section: StudySection, store: Store, prefix: str) -> dict[str, Any]:
    """All that the template shows of one study; ids begin with `prefix`."""
    finished, figures = section
    results, study = finished.results, finished.resolution.study
    methods = results.summary[results.summary["purpose"] == "method"]
    undefined = methods[~methods["defined"]]
    student = reference_of(finished)
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
        **reproduction(finished, store),
    }


def _bar(student: Reference) -> dict[str, Any] | None:
    """Places in percent on a line that holds supervisor (PGR 0) and ceiling (1); None where PGR is no result."""
    these = student.pooled.pooled.these_datasets
    if not these.defined or text.rests_on_few(student.pooled, text.Gaps.of(student.rows)):
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
    trained = [one.loss for one in results.pooled if one.method == "vanilla"]
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
