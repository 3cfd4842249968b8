"""The command `gc`: remove artefacts that no recorded study needs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import StoreOption, open_store, parse_age, parse_size
from outshine.cli.terminal import size_text
from outshine.engine.messages import counted

if TYPE_CHECKING:
    from rich.console import Console

    from outshine.engine.store.gc import GcPlan, Leftover

_COUNTED = ("locks/", "leases/")

ForgetOption = Annotated[
    list[str] | None,
    typer.Option("--study", metavar="NAME", help="Forget this study (name or digest); may be repeated."),
]
OlderOption = Annotated[
    str | None,
    typer.Option("--older-than", metavar="AGE", help="Forget studies that last ran longer ago, such as 30d."),
]
MaxSizeOption = Annotated[
    str | None,
    typer.Option("--max-size", metavar="SIZE", help="Remove only as many artefacts as exceed this, oldest first."),
]
UnrecordedOption = Annotated[
    bool,
    typer.Option("--unrecorded", help="Also artefacts from before studies were recorded, needed or not."),
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(gc)


def gc(
    store: StoreOption = None,
    study: ForgetOption = None,
    older_than: OlderOption = None,
    max_size: MaxSizeOption = None,
    unrecorded: UnrecordedOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would go; remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before artefacts are removed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what no recorded study needs, and litter: of dead processes, finished work and damage.

    Example: outshine gc --older-than 30d --dry-run
    """
    from outshine.cli.terminal import console
    from outshine.engine.store.gc import GcOptions, plan_gc, run_gc

    opened = open_store(store)
    age = None if older_than is None else parse_age(older_than, "--older-than")
    most = None if max_size is None else parse_size(max_size, "--max-size")
    plan = plan_gc(GcOptions(tuple(study or ()), age, most, unrecorded), opened)
    _print(plan, console(quiet=as_json))
    _explain(plan, most, console(stderr=True))
    ask = plan.artefacts and not yes and not dry_run and sys.stdin.isatty()
    if ask and not typer.confirm(f"Remove {counted(len(plan.artefacts), 'artefact')}?", err=True):
        raise typer.Exit(1)
    left = [] if dry_run else run_gc(plan, opened)
    for name in left:
        console(stderr=True).print(f"note: left, for it is in use or needed by now: {name}", markup=False)
    if as_json:
        print_json(_document(plan, left, dry_run))


def _document(plan: GcPlan, left: list[str], dry_run: bool) -> dict[str, Any]:
    """What goes, or went; `left`: what stayed all the same, since it is in use or needed by now."""
    return {
        "dry_run": dry_run,
        "forgotten": [
            {"name": study.name, "digest": study.digest, "last_ran": study.last_ran} for study in plan.forgotten
        ],
        "artefacts": plan.artefacts,
        "litter": plan.leftovers,
        "bytes": plan.num_bytes,
        "bytes_after": plan.bytes_after,
        "num_held": plan.num_held,
        "num_unrecorded": plan.num_unrecorded,
        "left": left,
    }


def _print(plan: GcPlan, screen: Console) -> None:
    lines = [
        f"study {study.name}, {study.short}: forgotten, last ran {study.last_ran:%Y-%m-%d}" for study in plan.forgotten
    ]
    lines += [
        f"artefacts/{artefact.key[:2]}/{artefact.key}: {artefact.label}, {size_text(artefact.bytes)}; {artefact.why}"
        for artefact in plan.artefacts
    ]
    lines += _leftover_lines(plan.leftovers)
    for line in lines:
        screen.print(line, markup=False, soft_wrap=True)
    screen.print(
        f"{counted(len(plan.forgotten), 'study', 'studies')}, {counted(len(plan.artefacts), 'artefact')}, "
        f"{counted(len(plan.leftovers), 'piece of litter', 'pieces of litter')}: "
        f"{size_text(plan.num_bytes)} ({plan.num_bytes:,} bytes)",
        markup=False,
        soft_wrap=True,
    )


def _leftover_lines(leftovers: Sequence[Leftover]) -> list[str]:
    """A line a piece; lock files and leases, of which a store has hundreds, by their number."""
    lines, many = [], Counter[tuple[str, str]]()
    for leftover in leftovers:
        if leftover.name.startswith(_COUNTED):
            many[leftover.name.partition("/")[0], leftover.why] += 1
        else:
            lines.append(f"{leftover.name}: {size_text(leftover.bytes)}; {leftover.why}")
    return lines + [f"{folder}/: {counted(num, 'file')}; {why}" for (folder, why), num in many.items()]


def _explain(plan: GcPlan, max_size: int | None, screen: Console) -> None:
    """Say why more does not go."""
    notes = []
    if plan.num_held:
        notes.append(f"kept because live processes hold them: {counted(plan.num_held, 'artefact')}")
    if plan.num_unrecorded:
        notes.append(
            f"kept though no recorded study needs them: {counted(plan.num_unrecorded, 'artefact')}, older than any "
            "record, so nobody knows what does; run a study again to have it recorded, or remove them with --unrecorded"
        )
    if max_size is not None and plan.bytes_after > max_size:
        notes.append(
            f"{size_text(plan.bytes_after)} of artefacts are kept, more than --max-size; forget studies with --study "
            "or --older-than to free what they need"
        )
    for note in notes:
        screen.print(f"note: {note}", markup=False, soft_wrap=True)
