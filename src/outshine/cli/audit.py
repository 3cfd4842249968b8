"""The command `audit`: look for what gives a dataset's labels away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from outshine.cli import completion
from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import (
    GroupOption,
    IdOption,
    LabelOption,
    LimitOption,
    MissingOption,
    NegativeOption,
    PositiveOption,
    SetOption,
    StoreOption,
    TestOption,
    TextOption,
    TrainOption,
    ValOption,
    build_study,
    open_store,
    own_columns,
)

if TYPE_CHECKING:
    from rich.console import Console

    from outshine.data.audit.findings import Finding


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(audit)


def audit(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET[,DATASET…]", help="Names, or files of your own.", autocompletion=completion.datasets
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Count texts too long for this model, and tokens unknown to it.", show_default=False
        ),
    ] = None,
    text: TextOption = None,
    label: LabelOption = None,
    group: GroupOption = None,
    row_id: IdOption = None,
    positive: PositiveOption = None,
    negative: NegativeOption = None,
    missing: MissingOption = None,
    n_train: TrainOption = None,
    n_val: ValOption = None,
    n_test: TestOption = None,
    limit: LimitOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on warnings too.")] = False,
    settings: SetOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for leaks, cues and overlapping splits in datasets; exit with 1 on leaks, with --strict on warnings too.

    In a file of your own, form that tells the label is a warning. Example: outshine audit mine.jsonl --strict
    """
    from outshine.cli.output import console, progress
    from outshine.data.audit.findings import leaks, warnings, worst_first
    from outshine.engine.run.local import LocalExecutor
    from outshine.learn.spec import ModelSettings
    from outshine.w2s.stages.audit import Audit, read_by_model
    from outshine.w2s.stages.prepare import Prepare

    study = build_study(
        None,
        dataset,
        n_train=n_train,
        n_val=n_val,
        n_test=n_test,
        settings=settings,
        columns=own_columns(text, label, group, row_id, positive, negative, missing),
        limit=limit,
    )
    opened, screen = open_store(store), console(quiet=as_json)
    found: dict[str, list[Finding]] = {}
    with progress() as shown:
        for recipe in study.datasets:
            prepare = Prepare.of(recipe, study.splits, study.sources.get(recipe.name))
            stage = Audit(prepare=prepare)
            LocalExecutor(opened, study.runtime, shown).run([stage])
            findings = stage.read(opened)
            if model is not None:
                texts = prepare.read(opened).texts
                findings += read_by_model(texts, ModelSettings.model_validate({"model": model}))
            print_findings(prepare.name, findings, screen)
            found[prepare.name] = findings
    if as_json:
        rows = [
            {"name": name, "leaks": bool(leaks(one)), "warnings": bool(warnings(one)), "findings": worst_first(one)}
            for name, one in found.items()
        ]
        print_json({"datasets": rows})
    for line in verdicts(found):
        screen.print(line)
    if any(leaks(one) or (strict and warnings(one)) for one in found.values()):
        raise typer.Exit(1)


def verdicts(found: Mapping[str, list[Finding]]) -> list[str]:
    """What follows for `run` from the findings of each dataset; nothing where there are neither leaks nor warnings."""
    from outshine.data.audit.findings import leaks, warnings

    num_leaking = sum(bool(leaks(one)) for one in found.values())
    num_warned = sum(bool(warnings(one)) for one in found.values())
    if num_leaking:
        return [
            f"{num_leaking} of {len(found)} datasets give their labels away; `run` refuses them without --allow-leaks"
        ]
    if num_warned:
        return [f"{num_warned} of {len(found)} datasets have warnings: `run` prints them and goes on"]
    return []


def print_findings(name: str, findings: list[Finding], screen: Console) -> None:
    """One table of all checks, the worst first, then the rows that show what was found."""
    from outshine.cli.output import table
    from outshine.data.audit.findings import worst_first

    ordered = worst_first(findings)
    rows = [(finding.severity, finding.check, value_text(finding), finding.message) for finding in ordered]
    screen.print(table(name, ["", "check", "value [95 %]", "what it says"], rows))
    for finding in ordered:
        if finding.severity != "passed" and finding.examples:
            screen.print(f"{finding.severity}, {finding.check}:", markup=False)
            for text in finding.examples:
                screen.print(f"  {text}", markup=False)
    screen.print()


def value_text(finding: Finding) -> str:
    """The measured value with its bounds, where it has them."""
    if finding.value is None:
        return ""
    if finding.low is None or finding.high is None:
        return f"{finding.value:.3f}"
    return f"{finding.value:.3f} [{finding.low:.3f}, {finding.high:.3f}]"
