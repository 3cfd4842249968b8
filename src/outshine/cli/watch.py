"""The commands `watch` and `retry`: follow a study that is computed elsewhere, and retry what failed."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outshine.cli import completion
from outshine.cli.find_study import DEFAULT_OUT, latest_recorded
from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import (
    ExecutorOptions,
    LogOption,
    OutOption,
    StoreOption,
    open_store,
    with_option_groups,
)

if TYPE_CHECKING:
    from outshine.engine.store.recorded_studies import RecordedStudy
    from outshine.engine.store.store import Store
    from outshine.w2s.status import StudyStatus

FAILED, UNFINISHED = 3, 4  # exit codes
_EVERY = 5.0  # seconds between two looks

RecordedArgument = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="A study that ran in the store: its name, digest, file or preset.",
        autocompletion=completion.studies,
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(watch)
    app.command()(with_option_groups(retry))


def watch(
    study: RecordedArgument,
    store: StoreOption = None,
    line: Annotated[bool, typer.Option("--line", help="One line, for logs.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Look again until nothing is left to do.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.1, help="Seconds between two looks.")] = _EVERY,
    as_json: JsonOption = False,
) -> None:
    """Show how far a study is: done, running where, failed why, time left. From any machine that sees the store.

    Exits with 0 when all is done, 3 when stages failed and nothing else is left, 4 when it is not finished.
    """
    from outshine.cli.terminal import console

    opened = open_store(store)
    screen = console()
    while True:
        now = _status_of(latest_recorded(study, opened), opened)
        if line and not as_json:
            screen.print(now.line, markup=False)
        elif not as_json:  # of several looks the last is the document
            _show(now)
        over = now.done + len(now.failed) == now.total or not (now.num_running or now.waiting)
        if over or not follow:
            break
        sys.stdout.flush()
        time.sleep(every)
    if as_json:
        print_json({**now._asdict(), "num_running": now.num_running, "waiting": now.waiting})
    if now.done < now.total:
        raise typer.Exit(FAILED if now.failed and not now.num_running else UNFINISHED)


def retry(
    study: RecordedArgument,
    *,
    store: StoreOption = None,
    out: OutOption = Path(DEFAULT_OUT),
    executor: ExecutorOptions,
    log: LogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute the stages of a study that failed from their beginning, and all that was left out for them.

    `outshine run` tries failed stages again too, but goes on from what they left behind: checkpoints, smaller batches.
    """
    from outshine.cli.run import run_and_write
    from outshine.cli.terminal import console
    from outshine.engine.process_group import ONE_PROCESS
    from outshine.engine.run.failures import start_over
    from outshine.labelling.run import refuse_labelling
    from outshine.w2s.study_file import parse_study

    opened = open_store(store)
    recorded = latest_recorded(study, opened)
    refuse_labelling(recorded.study, "retry")
    forgotten = start_over(opened, recorded.keys)
    for failure in forgotten:
        console(quiet=as_json).print(f"again: {failure.label} ({failure.message})", markup=False)
    raw = dict(recorded.study)
    if settings := executor.settings():
        raw["executor"] = {"kind": "local", **settings}
    run_and_write(parse_study(raw), store, out, ONE_PROCESS, log=log, as_json=as_json)


def _status_of(recorded: RecordedStudy, store: Store) -> StudyStatus:
    from outshine.w2s.status import study_status

    now = study_status(recorded.name, recorded.keys, store, recorded.kinds, recorded.work)
    return now if recorded.expanded else now._replace(seconds_left=None)  # what else is to come is not known yet


def _show(now: StudyStatus) -> None:
    from outshine.cli.terminal import console, table
    from outshine.w2s.status import summary_rows

    screen = console()
    screen.print(now.line, markup=False)
    rows = summary_rows(now)
    if rows:
        screen.print(table("", ["", "stage", ""], rows))
