"""Tables and sentences that `run` prints when a study is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outshine.cli.output import report_table
from outshine.report.tables import (
    beside_reference,
    controls_table,
    failed_table,
    metrics_table,
    pooled_table,
    results_table,
)
from outshine.report.text import pooled_sentence

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from outshine.results.finished import Finished
    from outshine.results.results import Results

MOST_NOTES = 20  # on training; all of them are on the page
MOST_ROWS = 40  # of the results' table on a terminal; all of them are in summary.csv and on the page


def print_results(results: Results, loss: str, screen: Console) -> None:
    """Dataset × weak, student, ceiling AUROC ± interval, PGR; then pooled PGRs, controls, and what to mind of training.

    `loss`: the study's.
    """
    methods = results.summary[results.summary["purpose"] == "method"]
    undefined = methods[~methods["defined"]].drop_duplicates(["dataset", "reason"])  # most methods share one reason
    if len(methods) <= MOST_ROWS:
        screen.print(report_table(results_table(methods)))
    if len(results.pooled) > 1:
        screen.print(report_table(pooled_table(results.pooled, methods)))
    else:
        screen.print(pooled_sentence(results.pooled[0], methods), markup=False)
    if len(methods) > MOST_ROWS:
        count = int((~methods["defined"]).sum())
        screen.print(f"{len(methods)} datasets × methods, {count} with undefined PGR: see summary.csv")
    else:
        for _, row in undefined.iterrows():
            screen.print(f"{row['dataset']}: PGR undefined, {row['reason']}", markup=False)
    if len(results.metrics):
        screen.print(report_table(metrics_table(results.metrics)))
    _print_training_notes(results, screen)
    if len(results.failed):
        screen.print(report_table(failed_table(results.failed)))
    if (results.summary["purpose"] == "control").any():
        screen.print(report_table(controls_table(_controls(results, loss))))


def _print_training_notes(results: Results, screen: Console) -> None:
    notes = results.training_notes
    for note in notes[:MOST_NOTES]:
        screen.print(f"training: {note.text}", markup=False)
    if len(notes) > MOST_NOTES:
        screen.print(f"{len(notes) - MOST_NOTES} more notes on training: see report.html")


def results_document(finished: Finished) -> dict[str, Any]:
    """The same for `--json`: the tables `summary`, `metrics` and `failed`, pooled PGRs, and controls over datasets."""
    results, study = finished.results, finished.resolution.study
    controls = (results.summary["purpose"] == "control").any()
    return {
        "study": study.name,
        "summary": results.summary,
        **({"metrics": results.metrics} if len(results.metrics) else {}),
        "pooled": results.pooled,
        "controls": _controls(results, study.loss.kind) if controls else [],
        "training_notes": [note.text for note in results.training_notes],
        "failed": results.failed,
    }


def _controls(results: Results, loss: str) -> pd.DataFrame:
    """Controls over datasets, those without a loss beside the vanilla student of the study's loss only."""
    from outshine.results.controls import against

    return beside_reference(against(results.scores, summary=results.summary).overall, loss)
