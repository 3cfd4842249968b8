"""The command `score`: PGR, gaps, intervals and comparisons for predictions that were made anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import (
    GroupOption,
    IdOption,
    LabelOption,
    MetricOption,
    MissingOption,
    NegativeOption,
    PositiveOption,
    split_names,
    with_option_groups,
)

FilesArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FILES]",
        help="Tables (CSV, JSON lines, Parquet) with columns id, label, weak, student, ceiling …",
        show_default=False,
    ),
]
WeakFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--weak", metavar="FILE", help="The supervisor's predictions, or its log; once a seed.", show_default=False
    ),
]
StudentFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--student", metavar="[NAME=]FILE", help="A student's; with a name where there are several.", show_default=False
    ),
]
CeilingFiles = Annotated[
    list[Path] | None, typer.Option("--ceiling", metavar="FILE", help="The ceiling's.", show_default=False)
]
ControlFiles = Annotated[
    list[str] | None,
    typer.Option("--control", metavar="NAME=FILE", help="A control's, compared with the student.", show_default=False),
]
LabelsFile = Annotated[
    Path | None,
    typer.Option("--labels", metavar="FILE", help="The truth, if it lies by itself: id, label.", show_default=False),
]
ValuesOption = Annotated[
    str,
    typer.Option(
        "--values",
        metavar="KIND",
        help="What values are: log-odds (of K classes logits), probability, or auto; or ROLE=KIND, comma-separated.",
    ),
]
PairsOption = Annotated[
    bool, typer.Option("--pairs", help="Rows are pairs: label and values say whether the first is better.")
]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes", metavar="NAMES", help="The labels in the order of the values, comma-separated.", show_default=False
    ),
]
BaselineOption = Annotated[
    str | None,
    typer.Option("--baseline", "-b", help="The method that others are compared with.", show_default="the first"),
]
FolderOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder for tables and the figure.", show_default=False)
]


@dataclass(frozen=True)
class FileOptions:
    """Where predictions lie."""

    files: FilesArgument = None
    weak: WeakFiles = None
    student: StudentFiles = None
    ceiling: CeilingFiles = None
    control: ControlFiles = None
    labels: LabelsFile = None


@dataclass(frozen=True)
class MeaningOptions:
    """What columns, labels and values mean."""

    label: LabelOption = None
    group: GroupOption = None
    row_id: IdOption = None
    positive: PositiveOption = None
    negative: NegativeOption = None
    missing: MissingOption = None
    values: ValuesOption = "auto"
    pairs: PairsOption = False
    classes: ClassesOption = None


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(with_option_groups(score))


def score(
    *,
    sources: FileOptions,
    meaning: MeaningOptions,
    metric: MetricOption = None,
    baseline: BaselineOption = None,
    out: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """PGR, gaps with intervals and paired comparisons for predictions made anywhere. Trains nothing.

    Example: outshine score predictions.csv --metric accuracy
    """
    from outshine.cli.terminal import console, table
    from outshine.data.label_spellings import Words
    from outshine.report import score_section
    from outshine.report.write import check_writable, write_score
    from outshine.results.score.measure import ScoreSettings, ScoreSources
    from outshine.results.score.measure import score as measure
    from outshine.results.score.predictions import Columns

    if out is not None:
        check_writable(out)
    files = ScoreSources(
        tables=sources.files or (),
        weak=sources.weak or (),
        students=_by_name(sources.student or (), "--student"),
        ceiling=sources.ceiling or (),
        controls=_by_name(sources.control or (), "--control", needed=True),
        labels=sources.labels,
    )
    settings = ScoreSettings(
        metrics=tuple(metric or ()),
        values=meaning.values,
        pairs=meaning.pairs,
        classes=tuple(split_names(meaning.classes) or ()),
        columns=Columns(meaning.label, meaning.group, meaning.row_id),
        words=Words(meaning.positive, meaning.negative, meaning.missing),
        baseline=baseline or "",
    )
    results = measure(files, settings)
    sentences = score_section.sentences(results)
    if out is not None:
        write_score(results, out)
    if as_json:
        print_json({**results._asdict(), "sentences": sentences, "folder": out})
        return
    screen = console()
    for one in score_section.tables(results):
        screen.print(table(*one))
    for line in [*sentences, *(f"note: {note}" for note in results.notes)]:
        screen.print(line, markup=False)
    if out is not None:
        screen.print(f"tables and figures/score.svg: {out}", markup=False)


def _by_name(told: Sequence[str], option: str, *, needed: bool = False) -> dict[str, list[Path]]:
    """Files by the name before `=`; a file whose own name holds one is a file."""
    from outshine.engine.errors import SettingsError

    named: dict[str, list[Path]] = {}
    for one in told:
        name, equals, path = one.partition("=")
        if not equals or "/" in name or (not needed and Path(one).is_file()):
            name, path = "", one
        if needed and not name:
            raise SettingsError(f"{option} {one}: a name is needed, such as {option} shuffled={Path(one).name}")
        named.setdefault(name.strip(), []).append(Path(path))
    return named
