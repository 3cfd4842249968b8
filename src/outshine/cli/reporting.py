"""The command that writes the report of a study that ran."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outshine.cli import completing
from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import StoreOption, open_store

if TYPE_CHECKING:
    from outshine.core.store import Store
    from outshine.studies.study import Study

DEFAULT = "outshine-out"

PlaceArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[STUDY]",
        help="A run's folder (--out), a study file, a preset, or a study that ran.",
        show_default=DEFAULT,
        autocompletion=completing.studies,
    ),
]
PageOption = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="The page to write.", show_default="report.html in the run's folder, or in NAME-report"
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(report)


def report(
    study: PlaceArgument = None, store: StoreOption = None, out: PageOption = None, as_json: JsonOption = False
) -> None:
    """Write the report of a finished study: one page, and its figures as SVG and PNG. Computes nothing.

    Example: outshine report outshine-out
    """
    from outshine.cli.show import console
    from outshine.core.files import user_path
    from outshine.execution.run import read_study
    from outshine.report.write import check_writable, write_report

    place = user_path(study or DEFAULT)
    opened = open_store(store)
    built = study_at(place, opened)
    page = out or (place if place.is_dir() else Path(f"{built.name}-report")) / "report.html"
    finished = read_study(built, opened)
    check_writable(page.parent)
    written = write_report(finished, opened, page)
    if as_json:
        print_json({"study": built.name, "page": page, "files": written})
        return
    where, num = page.parent / "figures", len(written) // 2
    drawn = "figure" if num == 1 else f"{num} figures"
    console().print(f"report: {page}, and its {drawn} as SVG and PNG in {where}", markup=False)


def study_at(place: Path, store: Store) -> Study:
    """The resolved study of a run's folder, or a study by its file, as a preset or as the store recorded it.

    Raises OutshineError where there is none.
    """
    from outshine.cli.options import raw_study
    from outshine.core.errors import DataError
    from outshine.studies.parse import parse_study

    resolved = place / "study.yaml"
    if place.is_dir() and not resolved.is_file():
        raise DataError(f"the folder '{place}' holds no study.yaml; name the --out folder of a run")
    if not place.is_dir() and str(place) == DEFAULT:
        raise DataError(f"there is no folder {DEFAULT}; name a run's folder (--out), a study file or a preset")
    return parse_study(raw_study(str(resolved if place.is_dir() else place), store))
