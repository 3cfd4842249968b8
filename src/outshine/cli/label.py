"""The command `label`: cross-fit a student on the weak labels of a file and compare the two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import (
    AddressOption,
    ExecutorOption,
    GroupOption,
    IdOption,
    LimitOption,
    MissingOption,
    NegativeOption,
    PositiveOption,
    SetOption,
    StoreOption,
    TextOption,
    WorkersOption,
    executor_settings,
    open_store,
    own_columns,
)

if TYPE_CHECKING:
    from rich.console import Console

    from outshine.engine.store.store import Store
    from outshine.labelling.results import LabelResults
    from outshine.labelling.settings import LabelSettings

NUM_SHOWN = 10  # doubted labels on the terminal; all of them are in suspects.csv
_WIDTH = 90  # characters of a text in that table

FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="Texts with cheap labels: .csv, .tsv, .jsonl or .parquet.")
]
WeakLabelOption = Annotated[
    str | None,
    typer.Option(
        "--weak-label",
        "--label",
        metavar="COLUMN",
        help="The column with the cheap labels: 0/1, yes/no, probabilities, percentages, or names (--positive).",
        show_default=False,
    ),
]
StrongOption = Annotated[str, typer.Option("--strong", "-s", help="The student's model: hub name or folder.")]
TrustedOption = Annotated[
    str | None, typer.Option("--trusted", help="A file of rows with true labels: by id or text.", show_default=False)
]
TrustedLabelOption = Annotated[str, typer.Option("--trusted-label", help="Its column with the true labels.")]
FoldsOption = Annotated[int, typer.Option("--folds", help="Students; each row is predicted by one of them.")]
JudgeOption = Annotated[int, typer.Option("--judge", help="Rows drawn at random into to_judge.csv, at first.")]
LossOption = Annotated[
    str | None, typer.Option("--loss", "-l", help="The student's loss (default xent).", show_default=False)
]
PrefixOption = Annotated[str, typer.Option("--prefix", help="What the names of the new columns begin with.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for the labelled file and what belongs to it.")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(label)


def label(
    file: FileArgument,
    strong: StrongOption,
    weak_label: WeakLabelOption = None,
    text: TextOption = None,
    positive: PositiveOption = None,
    negative: NegativeOption = None,
    missing: MissingOption = None,
    trusted: TrustedOption = None,
    trusted_label: TrustedLabelOption = "label",
    row_id: IdOption = None,
    group: GroupOption = None,
    limit: LimitOption = None,
    folds: FoldsOption = 5,
    judge: JudgeOption = 100,
    seed: Annotated[int, typer.Option("--seed", help="Heads, adapters, batch order.")] = 0,
    loss: LossOption = None,
    settings: SetOption = None,
    executor: ExecutorOption = None,
    workers: WorkersOption = None,
    address: AddressOption = None,
    store: StoreOption = None,
    out: OutOption = Path("outshine-label"),
    prefix: PrefixOption = "outshine_",
    only_plan: Annotated[bool, typer.Option("--plan", help="Show what would be computed, and stop.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a student on cheap labels: better probabilities, labels in doubt, and whether it beats the labels.

    Example: outshine label mine.jsonl --text review --weak-label cheap --strong MODEL --trusted trusted.jsonl
    """
    columns = own_columns(text, weak_label, group, row_id, positive, negative, missing)
    if weak_label is None:
        from outshine.data.user_tables import refuse_without_labels

        refuse_without_labels(file, text)
    raw = {
        "path": file,
        "columns": columns | {"trusted_label": trusted_label},
        **({"limit": limit} if limit else {}),
        "trusted": trusted,
        "strong": strong,
        "folds": folds,
        "judge": judge,
        "seed": seed,
        **({"loss": loss} if loss else {}),
        **({"executor": found} if (found := _executor(executor, workers, address)) else {}),
    }
    labeller = _parsed(raw, settings or [])
    if only_plan:
        _print_plan(labeller, open_store(store), as_json)
    else:
        _run(labeller, open_store(store), out, prefix, as_json)


def _executor(kind: str | None, workers: int | None, address: str | None) -> dict[str, Any]:
    given = executor_settings(kind, workers, address)
    return {"kind": "local", **given} if given else {}


def _parsed(raw: dict[str, Any], settings: list[str]) -> LabelSettings:
    from outshine.labelling.settings import parse_label_settings
    from outshine.w2s.study_file import with_settings

    return parse_label_settings(with_settings(raw, settings))


def _run(labeller: LabelSettings, store: Store, out: Path, prefix: str, as_json: bool) -> None:
    from outshine.cli.output import console, progress
    from outshine.cli.run import INTERRUPTED
    from outshine.labelling.files import check_output, evidence_document, write_labelled
    from outshine.labelling.run import run_label

    check_output(labeller, out, prefix)
    with progress() as shown:
        try:
            done = run_label(labeller, store, shown)
        except KeyboardInterrupt:
            shown.note("interrupted; finished stages are kept: run the same command again to go on")
            raise typer.Exit(INTERRUPTED) from None
    written = write_labelled(done, out, prefix)
    if as_json:
        print_json(evidence_document(done.labelling) | {"files": written})
        return
    screen = console()
    print_labelling(done.labelling, screen)
    screen.print(f"labelled file: {written[0]}; beside it {', '.join(path.name for path in written[1:])}", markup=False)


def print_labelling(found: LabelResults, screen: Console) -> None:
    """The sentences, then the most doubted labels."""
    from outshine.cli.output import table
    from outshine.labelling.text import sentences
    from outshine.report.text import decimal_text

    for sentence in sentences(found):
        screen.print(sentence, markup=False)
    suspects = found.suspects.head(NUM_SHOWN)
    if len(suspects):
        title = (
            f"Most doubted labels ({len(suspects)} of {len(found.suspects)}; all in suspects.csv, for finding errors, "
            "not for a verdict)"
        )
        rows = [
            (
                str(row["row"]),
                _label_text(row["label"], found),
                decimal_text(row["p"]),
                decimal_text(row["suspicion"]),
                _cut(row["text"]),
            )
            for _, row in suspects.iterrows()
        ]
        screen.print(table(title, ["row", "label", "student", "suspicion", "text"], rows, right=["row", "student"]))


def _label_text(p: float, found: LabelResults) -> str:
    return found.names[int(p > 0.5)] if found.names else f"{p:.3g}"


def _cut(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _WIDTH else f"{plain[: _WIDTH - 1]}…"


def _print_plan(labeller: LabelSettings, store: Store, as_json: bool) -> None:
    from outshine.cli.output import console, progress, table
    from outshine.labelling.run import plan_label

    with progress() as shown:
        planned = plan_label(labeller, store, shown)
    if as_json:
        whole = zip(planned.stages, planned.cached, planned.costs, strict=True)
        stages = [
            {"key": one.key, "stage": one.label, "cached": cached, "rows": cost.rows, "tokens": cost.tokens}
            for one, cached, cost in whole
        ]
        whole = planned.to_do
        seconds = planned.here and planned.here.seconds(whole.flops or 0.0, whole.tokens or 0.0)
        print_json({"stages": stages, "flops": whole.flops, "seconds_here": seconds, "notes": planned.notes})
        return
    rows = [
        (
            stage.key[:12],
            stage.label,
            "in store" if cached else "to do",
            "" if cost.rows is None else f"{cost.rows:,}",
            "" if cost.tokens is None else f"≈{cost.tokens:,.0f}",
        )
        for stage, cached, cost in zip(planned.stages, planned.cached, planned.costs, strict=True)
    ]
    screen = console()
    screen.print(table("", ["key", "stage", "state", "rows", "tokens"], rows, right=["rows", "tokens"]))
    for note in planned.notes:
        screen.print(f"note: {note}", markup=False)
    flops, tokens = planned.to_do.flops or 0.0, planned.to_do.tokens or 0.0
    screen.print(f"{planned.cached.count(False)} of {len(rows)} stages to do, about {flops:.1e} FLOPs")
    if planned.here:
        screen.print(planned.here.line(flops, tokens), markup=False)
