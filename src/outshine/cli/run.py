"""The commands `run` and `demo`: compute a study and print its results."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import (
    AddressOption,
    ControlsOption,
    DatasetOption,
    ExecutorOption,
    GroupOption,
    IdOption,
    LabelOption,
    LimitOption,
    LogOption,
    LossOption,
    MetricOption,
    MissingOption,
    NegativeOption,
    PositiveOption,
    SeedOption,
    SetOption,
    StoreOption,
    StrongOption,
    StudyArgument,
    TestOption,
    TextOption,
    TrainOption,
    TrajectoriesOption,
    ValOption,
    WeakOption,
    WorkersOption,
    build_study,
    executor_settings,
    open_store,
    own_columns,
    split_names,
)

if TYPE_CHECKING:
    from outshine.engine.process_group import ProcessGroup
    from outshine.w2s.study import Study

OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for tables, study.yaml and report.html.")]

INTERRUPTED = 130  # exit code, as shells have it for Ctrl-C


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(run)
    app.command()(demo)


def run(
    study: StudyArgument = None,
    dataset: DatasetOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    group: GroupOption = None,
    row_id: IdOption = None,
    positive: PositiveOption = None,
    negative: NegativeOption = None,
    missing: MissingOption = None,
    weak: WeakOption = None,
    strong: StrongOption = None,
    loss: LossOption = None,
    seed: SeedOption = None,
    n_train: TrainOption = None,
    n_val: ValOption = None,
    n_test: TestOption = None,
    limit: LimitOption = None,
    controls: ControlsOption = False,
    trajectories: TrajectoriesOption = False,
    metric: MetricOption = None,
    settings: SetOption = None,
    executor: ExecutorOption = None,
    workers: WorkersOption = None,
    address: AddressOption = None,
    store: StoreOption = None,
    out: OutOption = Path("outshine-out"),
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Run even where the audit finds labels given away by form.")
    ] = False,
    log: LogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a study: supervisor, weak labels, student and ceiling; print and write what was recovered.

    Example: outshine run --dataset sciq,cola --weak Qwen/Qwen1.5-0.5B --strong meta-llama/Meta-Llama-3-8B
    """
    with _together() as processes:
        built = build_study(
            study,
            *(dataset, weak, strong, loss, seed, n_train, n_val, n_test, settings),
            columns=own_columns(text, label, group, row_id, positive, negative, missing),
            limit=limit,
            controls=controls,
            trajectories=trajectories,
            metrics=metric,
            executor=executor_settings(executor, workers, address),
            store=open_store(store),
        )
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
    with _together() as processes:
        workers_asked = executor_settings(None, workers, None)
        built = build_study("demo", seed=seed, loss=loss, settings=settings, executor=workers_asked)
        run_and_write(built, store, out, processes, log=log, as_json=as_json)


def _together() -> AbstractContextManager[ProcessGroup]:
    from outshine.w2s.compute_study import together

    return together()


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
    from outshine.cli.output import console, progress
    from outshine.cli.run_tables import print_results, results_document
    from outshine.engine.progress import Silent
    from outshine.report.write import check_writable, write_outputs
    from outshine.results.finished import StudyFailedError
    from outshine.share.follow import run_tracked

    if processes.is_main:
        check_writable(out)
    opened = open_store(store)
    failed: StudyFailedError | None = None
    with progress() if processes.is_main else nullcontext(Silent()) as shown:
        try:
            names = split_names(log) or []
            finished = run_tracked(study, opened, shown, names, out, allow_leaks=allow_leaks, processes=processes)
        except KeyboardInterrupt:
            shown.note("interrupted; finished stages are kept: run the same command again to go on")
            raise typer.Exit(INTERRUPTED) from None
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
