"""The command `audit`: look for what gives a dataset's labels away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from outshine.cli import completion
from outshine.cli.find_study import build_study
from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import (
    ColumnOptions,
    SetOption,
    SizeOptions,
    StoreOption,
    StudyOptions,
    open_store,
    with_option_groups,
)

if TYPE_CHECKING:
    from rich.console import Console

    from outshine.data.audit.findings import Finding
    from outshine.data.schema import Recipe
    from outshine.engine.progress import Progress
    from outshine.engine.store.store import Store
    from outshine.w2s.study import Study


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(with_option_groups(audit))


def audit(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET[,DATASET…]", help="Names, or files of your own.", autocompletion=completion.datasets
        ),
    ],
    *,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Count texts too long for this model, and tokens unknown to it.", show_default=False
        ),
    ] = None,
    columns: ColumnOptions,
    sizes: SizeOptions,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on warnings too.")] = False,
    settings: SetOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for leaks, cues and overlapping splits in datasets; exit with 1 on leaks, with --strict on warnings too.

    In a file of your own, form that tells the label is a warning. Example: outshine audit mine.jsonl --strict
    """
    from outshine.cli.terminal import console, progress
    from outshine.data.audit.findings import leaks, warnings, worst_first

    study = build_study(StudyOptions(dataset=dataset, columns=columns, sizes=sizes, settings=settings))
    opened, screen = open_store(store), console(quiet=as_json)
    by_dataset: dict[str, list[Finding]] = {}
    with progress() as shown:
        for recipe in study.datasets:
            name, findings = _audit_one(recipe, study, model, opened, shown)
            print_findings(name, findings, screen)
            by_dataset[name] = findings
    if as_json:
        rows = [
            {"name": name, "leaks": bool(leaks(own)), "warnings": bool(warnings(own)), "findings": worst_first(own)}
            for name, own in by_dataset.items()
        ]
        print_json({"datasets": rows})
    for line in verdicts(by_dataset):
        screen.print(line)
    if any(leaks(own) or (strict and warnings(own)) for own in by_dataset.values()):
        raise typer.Exit(1)


def _audit_one(
    recipe: Recipe, study: Study, model: str | None, store: Store, progress: Progress
) -> tuple[str, list[Finding]]:
    """The name and the findings of one dataset of the study; with a `model` also what depends on its tokenizer."""
    from outshine.engine.run.local import LocalExecutor
    from outshine.learn.spec import ModelSettings
    from outshine.w2s.stages.audit import Audit, read_by_model
    from outshine.w2s.stages.prepare import Prepare

    prepare = Prepare.of(recipe, study.splits, study.sources.get(recipe.name))
    stage = Audit(prepare=prepare)
    LocalExecutor(store, study.runtime, progress).run([stage])
    findings = stage.read(store)
    if model is not None:
        findings += read_by_model(prepare.read(store).texts, ModelSettings.model_validate({"model": model}))
    return prepare.name, findings


def verdicts(by_dataset: Mapping[str, list[Finding]]) -> list[str]:
    """What follows for `run` from the findings of each dataset; nothing where there are neither leaks nor warnings."""
    from outshine.data.audit.findings import leaks, warnings

    num, num_leaking = len(by_dataset), sum(bool(leaks(findings)) for findings in by_dataset.values())
    num_warned = sum(bool(warnings(findings)) for findings in by_dataset.values())
    if num_leaking:
        return [f"{num_leaking} of {num} datasets give their labels away; `run` refuses them without --allow-leaks"]
    if num_warned:
        return [f"{num_warned} of {num} datasets have warnings: `run` prints them and goes on"]
    return []


def print_findings(name: str, findings: list[Finding], screen: Console) -> None:
    """One table of all checks, the worst first, then the rows that show what was found."""
    from outshine.cli.terminal import table
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
