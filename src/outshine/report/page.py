"""One self-contained HTML page: the answer, what to know about the data, figures, tables, how to reproduce it."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from outshine.analysis.control_words import sentences as control_sentences
from outshine.analysis.controls import against
from outshine.audit.findings import worst_first
from outshine.core.errors import OutshineError
from outshine.core.messages import visible
from outshine.core.stage import in_order
from outshine.report import comparison, sheets
from outshine.report.figures import svg
from outshine.report.words import contender_name, pooled_sentence, verdict
from outshine.studies.parse import study_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outshine.analysis.results import Results
    from outshine.core.store import Store
    from outshine.execution.run import Finished
    from outshine.report.plates import Plate
    from outshine.stages.prepare import Prepare

BASELINE = "xent"
"""What the page compares with where a student was trained with it; else the study's first method."""


def render(finished: Finished, store: Store, plates: Sequence[Plate]) -> str:
    """The report of a finished study. All text of users and datasets is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("outshine.report"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(**_content(finished, store, plates))


def _content(finished: Finished, store: Store, plates: Sequence[Plate]) -> dict[str, Any]:
    results, resolution = finished.results, finished.resolution
    methods = results.summary[results.summary["purpose"] == "method"]
    first = methods.iloc[0]
    undefined = methods[~methods["defined"]]
    return {
        "study": resolution.study.name,
        "version": version("outshine"),
        "weak": first["weak"],
        "strong": first["strong"],
        "num_seeds": int(first["num_seeds"]),
        "answer": _answer(results, resolution.study.loss.kind),
        "pooled": [pooled_sentence(one) for one in results.pooled] if len(results.pooled) == 1 else [],
        "pooled_sheet": sheets.pooled_sheet(results.pooled) if len(results.pooled) > 1 else None,
        "results_sheet": sheets.results_sheet(methods),
        "undefined": [(row["dataset"], contender_name(row), row["reason"]) for _, row in undefined.iterrows()],
        "plates": [(plate, svg(plate.figure)) for plate in plates],
        "rounds_sheet": sheets.rounds_sheet(results.scores),
        "comparison": _comparison(results),
        "controls": _controls(results, resolution.study.loss.kind),
        "diagnostics_sheet": sheets.diagnostics_sheet(results.diagnostics),
        "datasets": [_dataset(prepare, finished, store) for prepare in resolution.prepares],
        "stages": _stages(finished, store),
        "notes": resolution.notes,
        "yaml": study_yaml(resolution.study),
    }


def _answer(results: Results, loss: str) -> str:
    """What the plain student recovers: vanilla with the study's loss, else the first method."""
    plain = [one for one in results.pooled if one.method == "vanilla" and one.loss == loss]
    return verdict((plain or results.pooled)[0])


def _comparison(results: Results) -> dict[str, Any] | None:
    """Every method against the baseline; None where there is one method only, a reason where no test can be made."""
    if len(results.pooled) < 2:
        return None
    trained = [one.loss for one in results.pooled if one.method == "vanilla"]
    baseline = BASELINE if BASELINE in trained else contender_name(results.pooled[0]._asdict())
    try:
        compared, on_pgr, notes = comparison.compare_both(results.scores, results.pgr, baseline)
    except OutshineError as error:
        return {"reason": str(error)}
    return {
        "reason": "",
        "conclusion": comparison.conclusion(compared),
        "sheets": comparison.comparison_sheets(compared),
        "sentences": comparison.comparison_sentences(compared, on_pgr),
        "noise": comparison.noise_sentences(compared),
        "notes": notes + comparison.comparison_notes(compared, on_pgr),
    }


def _controls(results: Results, loss: str) -> dict[str, Any] | None:
    """Controls and baselines, and what the choice of the update costs; None where the study has neither."""
    overall = sheets.beside_reference(against(results.scores).overall, loss)
    if overall.empty and results.trajectories.empty:
        return None
    return {
        "sheet": None if overall.empty else sheets.controls_sheet(overall),
        "sentences": control_sentences(overall),
        "selection": None if results.trajectories.empty else sheets.selection_sheet(results.trajectories),
    }


def _dataset(prepare: Prepare, finished: Finished, store: Store) -> dict[str, Any]:
    report, recipe = prepare.report(store), prepare.recipe
    findings = worst_first(finished.findings.get(prepare.name, []))
    return {
        "name": prepare.name,
        "title": recipe.title,
        "positive_means": recipe.positive_means,
        "source": recipe.source,
        "license": recipe.license,
        "note": recipe.note,
        "pinned": prepare.source,
        "splits": report["splits"],
        "notes": report["notes"],
        "findings": [finding for finding in findings if finding.severity != "passed"],
        "num_passed": sum(finding.severity == "passed" for finding in findings),
    }


def _stages(finished: Finished, store: Store) -> list[dict[str, Any]]:
    """Keys, seconds and notes of every stage."""
    asked = [stage for experiment in finished.experiments for stage in experiment.stages()]
    rows = []
    for stage in in_order(asked):
        made = store.done(stage.key)["made"]
        summary = getattr(stage, "summary", None)
        notes = summary(store)["notes"] if summary else []
        rows.append({"key": stage.key[:12], "label": stage.label, "seconds": f"{made['seconds']:.1f}", "notes": notes})
    return rows
