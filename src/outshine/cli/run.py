"""The commands `run` and `demo`: compute a study and print its results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outshine.cli.find_study import DEFAULT_OUT, build_study
from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import (
    ExecutorOptions,
    LogOption,
    LossOption,
    MetricOption,
    OutOption,
    SetOption,
    StoreOption,
    StudyOptions,
    WorkersOption,
    open_store,
    split_names,
    with_option_groups,
)

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from outshine.engine.process_group import ProcessGroup
    from outshine.engine.progress import Progress
    from outshine.results.finished import FinishedStudy
    from outshine.results.results import Results
    from outshine.w2s.study import Study

INTERRUPTED = 130  # exit code, as shells have it for Ctrl-C
MOST_NOTES = 20  # on training; all of them are on the page
MOST_ROWS = 40  # of the results' table on a terminal; all of them are in summary.csv and on the page


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(with_option_groups(run))
    app.command()(demo)


def run(
    options: StudyOptions,
    executor: ExecutorOptions,
    metric: MetricOption = None,
    store: StoreOption = None,
    out: OutOption = Path(DEFAULT_OUT),
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Run even where the audit finds labels given away by form.")
    ] = False,
    log: LogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a study: supervisor, weak labels, student and ceiling; print and write what was recovered.

    Example: outshine run --dataset sciq,cola --weak Qwen/Qwen1.5-0.5B --strong meta-llama/Meta-Llama-3-8B
    """
    from outshine.w2s.compute_study import together

    with together() as processes:
        built = build_study(options, metrics=metric, executor=executor.settings(), store=open_store(store))
        run_and_write(built, store, out, processes, allow_leaks, log=log, as_json=as_json)


def demo(
    store: StoreOption = None,
    out: OutOption = Path("outshine-demo"),
    seed: Annotated[str | None, typer.Option("--seed", help="Seeds (default 0,1,2).", show_default=False)] = None,
    loss: LossOption = None,
    settings: SetOption = None,
    workers: WorkersOption = None,
    log: LogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the embedded default: tiny models and tasks that come with outshine, fully offline."""
    from outshine.w2s.compute_study import together

    with together() as processes:
        options = StudyOptions("demo", seed=seed, loss=loss, settings=settings)
        built = build_study(options, executor=ExecutorOptions(workers=workers).settings())
        run_and_write(built, store, out, processes, log=log, as_json=as_json)


def run_and_write(
    study: Study,
    store: str | None,
    out: Path,
    processes: ProcessGroup,
    allow_leaks: bool = False,
    *,
    log: str | None = None,
    as_json: bool = False,
) -> None:
    """Run a study with its progress shown; print its tables and write its files. `log`: names of trackers.

    Raises StudyFailedError where stages failed, after it printed and wrote what is finished.
    """
    from outshine.cli.terminal import console, progress
    from outshine.engine.progress import Silent
    from outshine.report.write import check_run_folder, write_outputs
    from outshine.results.finished import StudyFailedError
    from outshine.share.tracking import run_tracked

    if processes.is_main:
        check_run_folder(out)
    opened = open_store(store)
    failed: StudyFailedError | None = None
    with progress() if processes.is_main else nullcontext(Silent()) as shown, resumable(shown):
        try:
            names = split_names(log) or []
            finished = run_tracked(study, opened, shown, names, out, allow_leaks=allow_leaks, processes=processes)
        except StudyFailedError as error:
            if error.finished is None or not processes.is_main:
                raise
            finished, failed = error.finished, error
    if not processes.is_main:
        return
    written = write_outputs(finished, opened, out)
    if as_json:
        print_json({**results_document(finished), "store": opened.where, "out": written})
    else:
        screen = console()
        print_results(finished.results, finished.resolution.study.loss.kind, screen)
        screen.print(f"tables, study.yaml and report: {written}", markup=False)
    if failed:
        raise failed


@contextmanager
def resumable(shown: Progress) -> Iterator[None]:
    """Say on Ctrl-C what is kept, and exit as shells have it."""
    try:
        yield
    except KeyboardInterrupt:
        shown.note("interrupted; finished stages are kept: run the same command again to go on")
        raise typer.Exit(INTERRUPTED) from None


def print_results(results: Results, loss: str, screen: Console) -> None:
    """Dataset × weak, student, ceiling AUROC ± interval, PGR; then pooled PGRs, controls, and what to mind of training.

    `loss`: the study's.
    """
    from outshine.cli.terminal import report_table
    from outshine.report import tables
    from outshine.report.text import pooled_sentence
    from outshine.results.other_tests import disagreements_of_tests

    methods = results.summary[results.summary["purpose"] == "method"]
    undefined = methods[~methods["defined"]].drop_duplicates(["dataset", "reason"])  # most methods share one reason
    if len(methods) <= MOST_ROWS:
        screen.print(report_table(tables.results_table(methods)))
    if len(results.pooled) > 1:
        screen.print(report_table(tables.pooled_table(results.pooled, methods)))
        why: dict[str, dict[str, None]] = {}  # reason -> columns of the table
        for method in results.pooled:
            for where, pgr in (
                ("these datasets", method.pooled.these_datasets),
                ("such datasets", method.pooled.any_datasets),
            ):
                if not pgr.defined:
                    why.setdefault(pgr.reason, {})[where] = None
        for reason, columns in why.items():
            screen.print(f"{' and '.join(columns)}: pooled PGR undefined, {reason}", markup=False)
    else:
        screen.print(pooled_sentence(results.pooled[0], methods), markup=False)
    if len(methods) > MOST_ROWS:
        count = int((~methods["defined"]).sum())
        screen.print(f"{len(methods)} datasets × methods, {count} with undefined PGR: see summary.csv")
    else:
        for _, row in undefined.iterrows():
            screen.print(f"{row['dataset']}: PGR undefined, {row['reason']}", markup=False)
    if len(results.tests):
        screen.print(report_table(tables.tests_table(results.tests)))
        for sentence in disagreements_of_tests(results.tests):
            screen.print(sentence, markup=False)
    if len(results.metrics):
        screen.print(report_table(tables.metrics_table(results.metrics)))
    _print_training_notes(results, screen)
    if len(results.failed):
        screen.print(report_table(tables.failed_table(results.failed)))
    if (results.summary["purpose"] == "control").any():
        screen.print(report_table(tables.controls_table(_controls(results, loss))))


def _print_training_notes(results: Results, screen: Console) -> None:
    notes = results.training_notes
    for note in notes[:MOST_NOTES]:
        screen.print(f"training: {note.text}", markup=False)
    if len(notes) > MOST_NOTES:
        screen.print(f"{len(notes) - MOST_NOTES} more notes on training: see report.html")


def results_document(finished: FinishedStudy) -> dict[str, Any]:
    """The same for `--json`: the tables `summary` and `failed`, pooled PGRs, and controls over datasets."""
    results, study = finished.results, finished.resolution.study
    controls = (results.summary["purpose"] == "control").any()
    return {
        "study": study.name,
        "summary": results.summary,
        **({"metrics": results.metrics} if len(results.metrics) else {}),
        **({"tests": results.tests} if len(results.tests) else {}),
        "pooled": results.pooled,
        "controls": _controls(results, study.loss.kind) if controls else [],
        "training_notes": [note.text for note in results.training_notes],
        "failed": results.failed,
    }


def _controls(results: Results, loss: str) -> pd.DataFrame:
    """Controls over datasets, those without a loss beside the vanilla student of the study's loss only."""
    from outshine.report.tables import beside_reference
    from outshine.results.controls import against

    return beside_reference(against(results.scores, summary=results.summary).overall, loss)
