"""The command `compare`: compare methods with a baseline over datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from outshine.cli.find_study import DEFAULT_OUT
from outshine.cli.json_output import JsonOption, print_json

PlacesArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[PLACES]", help="Folders that runs wrote (--out), or score files.", show_default=DEFAULT_OUT
    ),
]
BaselineOption = Annotated[
    str, typer.Option("--baseline", "-b", help="What to compare with: a loss, a method, or both ('filtered xent').")
]
MetricOption = Annotated[str, typer.Option("--metric", help="auroc (primary) or pgr (secondary).")]
RopeOption = Annotated[
    float | None,
    typer.Option(
        "--rope",
        min=0.0,
        help="Bayesian signed-rank test too, with this half-width of practical equivalence (.005 AUROC is usual).",
        show_default=False,
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(compare)


def compare(
    places: PlacesArgument = None,
    baseline: BaselineOption = "xent",
    metric: MetricOption = "auroc",
    rope: RopeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare methods with a baseline over datasets: wins, tests, intervals, noise floor, one plain sentence each.

    Tests are two-sided, unless the study declared a direction beforehand (its setting `better_than`).

    Example: outshine compare outshine-out --baseline xent
    """
    from outshine.cli.terminal import console, report_table
    from outshine.report import compare_section
    from outshine.results.saved_tables import read_tables

    tables = read_tables(places or [Path(DEFAULT_OUT)])
    compared, on_pgr, notes = compare_section.compare_both(
        tables.scores, tables.pgr, baseline, metric, rope, tables.declared
    )
    notes += compare_section.comparison_notes(compared, on_pgr)
    lines = [*compare_section.comparison_sentences(compared, on_pgr), *compare_section.noise_sentences(compared)]
    if as_json:
        tables_of = {part.metric: part.frame() for part in (compared, on_pgr) if part is not None}
        sides = "one" if compared.one_sided else "two"
        print_json(
            {"baseline": compared.baseline, "sides": sides, "methods": tables_of, "sentences": lines, "notes": notes}
        )
        return
    screen = console()
    for part in (compared, on_pgr):
        for text_table in compare_section.comparison_tables(part) if part is not None else ():
            screen.print(report_table(text_table))
    for line in [*lines, *(f"note: {note}" for note in notes)]:
        screen.print(line, markup=False)
