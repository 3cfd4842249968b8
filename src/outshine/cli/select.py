"""The command `select`: what choosing without ground truth would have lost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from outshine.cli import completion
from outshine.cli.find_study import DEFAULT_OUT, study_at
from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import StoreOption, open_store

PlaceArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[STUDY]",
        help="A run's folder (--out), a study file, a preset, or a study that ran.",
        show_default=DEFAULT_OUT,
        autocompletion=completion.studies,
    ),
]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="Folder for tables and figures.", show_default="the run's folder, else NAME-select"
    ),
]
DrawsOption = Annotated[
    int, typer.Option("--draws", min=1, help="Random sets of rows for each budget of trusted labels.")
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(select)


def select(
    study: PlaceArgument = None,
    store: StoreOption = None,
    out: FolderOption = None,
    draws: DrawsOption = 1000,
    as_json: JsonOption = False,
) -> None:
    """How well label-free rules, or n trusted labels, pick a method or checkpoint of a finished study. Trains nothing.

    Example: outshine select outshine-out
    """
    from outshine.cli.terminal import console, report_table
    from outshine.engine.files import user_path
    from outshine.report.write import check_writable, write_choosing
    from outshine.selection import text
    from outshine.selection.run import select_in

    place = user_path(study or DEFAULT_OUT)
    opened = open_store(store)
    built = study_at(place, opened)
    folder = out or (place if place.is_dir() else Path(f"{built.name}-select"))
    regrets, pooled = select_in(built, opened, draws)
    check_writable(folder)
    write_choosing(regrets, pooled, text.regret_figures(pooled), folder)
    sentences_of = {kind: text.choosing_sentences(regrets, pooled, kind) for kind in pooled["kind"].unique()}
    if as_json:
        print_json({"study": built.name, "sentences": sentences_of, "regret_pooled": pooled, "folder": folder})
        return
    screen = console()
    for kind, sentences in sentences_of.items():
        for sentence in sentences:
            screen.print(sentence, markup=False)
        screen.print(report_table(text.regret_table(pooled, kind)))
        screen.print(report_table(text.by_dataset_table(pooled, kind)))
    screen.print(f"tables regret and regret_pooled, and figures: {folder}", markup=False)
