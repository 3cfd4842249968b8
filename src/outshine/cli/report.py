"""The command `report`: write the report of studies that ran."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from outshine.cli import completion
from outshine.cli.find_study import DEFAULT_OUT, study_at
from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import StoreOption, open_store

if TYPE_CHECKING:
    from outshine.w2s.study import Study

SEVERAL = "outshine-report"

FILES = {"html": "report.html", "md": "tables.md", "latex": "tables.tex"}  # by format

PlacesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[STUDY]...",
        help="Runs' folders (--out), study files, presets, or studies that ran.",
        show_default=DEFAULT_OUT,
        autocompletion=completion.studies,
    ),
]
PageOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="The file to write.",
        show_default="report.html (tables.md, tables.tex) in the run's folder, or in NAME-report; of several studies "
        f"in {SEVERAL}",
    ),
]
FormatOption = Annotated[
    Literal["html", "md", "latex"],
    typer.Option("--format", help="html: the page and its figures; md or latex: tables for a paper."),
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(report)


def report(
    study: PlacesArgument = None,
    store: StoreOption = None,
    out: PageOption = None,
    form: FormatOption = "html",
    as_json: JsonOption = False,
) -> None:
    """Write the report of finished studies: one page with its figures, or tables for a paper. Computes nothing.

    Example: outshine report outshine-out
    """
    from outshine.cli.terminal import console
    from outshine.engine.files import user_path
    from outshine.report.write import check_place, write_report, write_tables
    from outshine.results.finished import read_study

    places = [user_path(place) for place in dict.fromkeys(study or [DEFAULT_OUT])]
    opened = open_store(store)
    studies = [study_at(place, opened) for place in places]
    path = out or _folder(places, studies) / FILES[form]
    finished = [read_study(built, opened) for built in studies]
    check_place(path)
    if form == "html":
        written = write_report(finished, opened, path)
    else:
        write_tables(finished, path, form)
        written = [path]
    if as_json:
        print_json({"studies": [built.name for built in studies], "file": path, "files": written})
        return
    if form != "html":
        console().print(f"tables: {path}", markup=False)
        return
    where, num = path.parent / "figures", len(written) // 2
    drawn = "figure" if num == 1 else f"{num} figures"
    console().print(f"report: {path}, and its {drawn} as SVG and PNG in {where}", markup=False)


def _folder(places: Sequence[Path], studies: Sequence[Study]) -> Path:
    """Where the report goes unless told: into the run's folder, else into one of its own."""
    if len(places) > 1:
        return Path(SEVERAL)
    return places[0] if places[0].is_dir() else Path(f"{studies[0].name}-report")
