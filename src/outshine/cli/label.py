"""The command `label`: cross-fit a student on the weak labels of a file and compare the two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import (
    ClassesOption,
    ColumnOptions,
    ExecutorOptions,
    GroupOption,
    IdOption,
    LimitOption,
    MissingOption,
    NegativeOption,
    PositiveOption,
    SetOption,
    StoreOption,
    TextOption,
    open_store,
    with_option_groups,
)

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from outshine.engine.store.store import Store
    from outshine.labelling.results import LabelResults
    from outshine.labelling.run import LabelSettings

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
StrongOption = Annotated[
    str | None,
    typer.Option("--strong", "-s", help="The student's model: hub name or folder.", show_default=False),
]
VotesOption = Annotated[
    str | None,
    typer.Option(
        "--votes",
        metavar="COLUMNS",
        help="Several columns with cheap labels, comma-separated, in place of --label; empty cells abstain.",
        show_default=False,
    ),
]
CombineOption = Annotated[str, typer.Option("--combine", help="How --votes become one: dawid_skene or majority.")]
ProbsOption = Annotated[
    str | None,
    typer.Option(
        "--probs",
        metavar="COLUMN",
        help="A column with P(class 1) by a model that saw no label of the row, in place of --strong.",
        show_default=False,
    ),
]
StudentOption = Annotated[
    str,
    typer.Option(
        "--student", help="probe: frozen embeddings, seconds; lora, head or full: fine-tuned after it, much longer."
    ),
]
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
    app.command()(with_option_groups(label))


def label(
    file: FileArgument,
    strong: StrongOption = None,
    *,
    votes: VotesOption = None,
    combine: CombineOption = "dawid_skene",
    probs: ProbsOption = None,
    student: StudentOption = "probe",
    weak_label: WeakLabelOption = None,
    text: TextOption = None,
    positive: PositiveOption = None,
    negative: NegativeOption = None,
    missing: MissingOption = None,
    classes: ClassesOption = None,
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
    executor: ExecutorOptions,
    store: StoreOption = None,
    out: OutOption = Path("outshine-label"),
    prefix: PrefixOption = "outshine_",
    only_plan: Annotated[bool, typer.Option("--plan", help="Show what would be computed, and stop.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Which labels to use: cheap ones, a student's, or what a few trusted rows make of them; and labels in doubt.

    Example: outshine label mine.jsonl --text review --weak-label cheap --strong MODEL --trusted trusted.jsonl
    """
    from outshine.labelling.run import parse_label_settings
    from outshine.w2s.study_file import with_settings

    columns = ColumnOptions(text, weak_label, group, row_id, positive, negative, missing, classes).settings()
    if weak_label is None and not votes:
        from outshine.data.user_tables import refuse_without_labels

        refuse_without_labels(file, text)
    raw = {
        "path": file,
        "columns": columns | {"trusted_label": trusted_label, **_further(votes, combine, probs)},
        **({"limit": limit} if limit else {}),
        "trusted": trusted,
        "strong": strong,
        "student": student,
        "folds": folds,
        "judge": judge,
        "seed": seed,
        **({"loss": loss} if loss else {}),
    }
    if workers := executor.settings():
        raw["executor"] = {"kind": "local", **workers}
    labeller = parse_label_settings(with_settings(raw, settings or []))
    if only_plan:
        _print_plan(labeller, open_store(store), as_json)
    else:
        _run(labeller, open_store(store), out, prefix, as_json)


def _further(votes: str | None, combine: str, probs: str | None) -> dict[str, Any]:
    """Return the settings of columns beside text and label that were named."""
    named = [name.strip() for name in (votes or "").split(",") if name.strip()]
    return {**({"votes": named, "combine": combine} if named else {}), **({"probs": probs} if probs else {})}


def _run(labeller: LabelSettings, store: Store, out: Path, prefix: str, as_json: bool) -> None:
    from outshine.cli.run import resumable
    from outshine.cli.terminal import console, progress
    from outshine.labelling.files import check_output, evidence_document, write_labelled
    from outshine.labelling.run import run_label
    from outshine.labelling.text import against_the_probe

    check_output(labeller, out, prefix)
    screen = console()

    def at_once(found: LabelResults) -> None:
        screen.print("The probe's answer, while a student is fine-tuned:", markup=False)
        print_labelling(found, screen)

    with progress() as shown, resumable(shown):
        done = run_label(labeller, store, shown, None if as_json else at_once)
    written = write_labelled(done, out, prefix)
    if as_json:
        print_json(evidence_document(done.labelling) | {"files": written})
        return
    if done.first is not None:
        screen.print(against_the_probe(done.labelling, done.first), markup=False)
    print_labelling(done.labelling, screen)
    if done.labelling.student == "probe":
        _print_time_of_students(labeller, store, screen)
    screen.print(f"labelled file: {written[0]}; beside it {', '.join(path.name for path in written[1:])}", markup=False)


def _print_time_of_students(labeller: LabelSettings, store: Store, screen: Console) -> None:
    """Say how long students would take that are fine-tuned, where that can be told."""
    from outshine.labelling.run import plan_label

    planned = plan_label(labeller.model_copy(update={"student": "lora"}), store)
    if planned.here:
        took = planned.here.line(planned.to_do)
        screen.print(f"Students that are fine-tuned may do better, or worse (--student lora): {took}", markup=False)


def print_labelling(results: LabelResults, screen: Console) -> None:
    """The sentences, then the most doubted labels."""
    from outshine.cli.terminal import table
    from outshine.labelling.ladder_text import ladder_columns, ladder_rows
    from outshine.labelling.text import sentences, voter_rows
    from outshine.report.text import decimal_text

    if results.ladder is not None:
        title = f"Ways to label the file, by {results.ladder.num_rows} trusted rows"
        columns = list(ladder_columns(results.ladder))
        screen.print(table(title, columns, ladder_rows(results.ladder), right=["AUC", "class 1"]))
    if results.voters:
        columns = ["column", "rows", "right [95 %]", "agrees with all"]
        screen.print(table("Cheap columns", columns, voter_rows(results), right=["rows", "agrees with all"]))
    for sentence in sentences(results):
        screen.print(sentence, markup=False)
    suspects = results.suspects.head(NUM_SHOWN)
    if len(suspects):
        title = (
            f"Most doubted labels ({len(suspects)} of {len(results.suspects)}; all in suspects.csv, "
            "for finding errors, not for a verdict)"
        )
        rows = [
            (
                str(row["row"]),
                _label_text(row["label"], results),
                _student_text(row, results),
                decimal_text(row["suspicion"]),
                _cut(row["text"]),
            )
            for _, row in suspects.iterrows()
        ]
        screen.print(table(title, ["row", "label", "student", "suspicion", "text"], rows, right=["row", "student"]))


def _student_text(row: pd.Series, results: LabelResults) -> str:
    """The student's P(class 1), or its class and how probable that is."""
    from outshine.report.text import decimal_text

    p = decimal_text(row["p"])
    return p if results.num_classes == 2 else f"{results.spelling[row['student']]} {p}"


def _label_text(p: float, results: LabelResults) -> str:
    if results.num_classes > 2:
        return results.spelling[int(p)]
    return results.names[int(p > 0.5)] if results.names else f"{p:.3g}"


def _cut(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _WIDTH else f"{plain[: _WIDTH - 1]}…"


def _print_plan(labeller: LabelSettings, store: Store, as_json: bool) -> None:
    from outshine.cli.terminal import console, progress, table
    from outshine.labelling.run import plan_label

    with progress() as shown:
        planned = plan_label(labeller, store, shown)
    stages = list(zip(planned.stages, planned.cached, planned.costs, strict=True))
    if as_json:
        documents = [
            {"key": stage.key, "stage": stage.label, "cached": cached, "rows": cost.rows, "tokens": cost.tokens}
            for stage, cached, cost in stages
        ]
        seconds = planned.here and planned.here.seconds(planned.to_do)
        facts = {"flops": planned.to_do.flops, "seconds_here": seconds, "notes": planned.notes}
        print_json({"stages": documents, **facts})
        return
    rows = [
        (
            stage.key[:12],
            stage.label,
            "in store" if cached else "to do",
            "" if cost.rows is None else f"{cost.rows:,}",
            "" if cost.tokens is None else f"≈{cost.tokens:,.0f}",
        )
        for stage, cached, cost in stages
    ]
    screen = console()
    screen.print(table("", ["key", "stage", "state", "rows", "tokens"], rows, right=["rows", "tokens"]))
    for note in planned.notes:
        screen.print(f"note: {note}", markup=False)
    screen.print(
        f"{planned.cached.count(False)} of {len(rows)} stages to do, about {planned.to_do.flops or 0:.1e} FLOPs"
    )
    if planned.here:
        screen.print(planned.here.line(planned.to_do), markup=False)
