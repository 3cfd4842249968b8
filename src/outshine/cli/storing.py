"""Commands that look into the store: ls, show, verify."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from outshine.cli.options import StoreOption, open_store


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("ls")(list_artefacts)
    app.command()(show)
    app.command()(verify)


def list_artefacts(store: StoreOption = None) -> None:
    """List the finished artefacts of the store, newest last."""
    from outshine.cli.show import console, table
    from outshine.core.errors import StoreError

    opened = open_store(store)
    found: list[tuple[str, list[str]]] = []
    for key in opened.keys():  # noqa: SIM118
        try:
            record = opened.done(key)
            made = record["made"]
            size = sum(facts["bytes"] for facts in record["files"].values())
            row = [key[:12], record["label"], made["at"], f"{made['seconds']:.1f} s", _size(size)]
        except (StoreError, KeyError, TypeError) as error:
            row = [key[:12], f"damaged: {error}", "", "", ""]
        found.append((row[2], row))
    rows = [row for _, row in sorted(found)]
    screen = console()
    screen.print(table("", ["key", "stage", "made", "took", "size"], rows, right=["took", "size"]))
    screen.print(f"{len(rows)} artefacts in {opened.root}", markup=False)


def show(
    key: Annotated[str, typer.Argument(help="The key, or its beginning.")],
    store: StoreOption = None,
) -> None:
    """Show one artefact: what it was computed from, where and when, its files and its summary."""
    from rich.highlighter import JSONHighlighter

    from outshine.cli.show import console
    from outshine.core.messages import visible

    opened = open_store(store)
    whole = opened.find(key)
    record = opened.done(whole)
    shown: dict[str, Any] = {"key": whole, "folder": str(opened.path(whole)), **record}
    for name in ("summary.json", "report.json"):
        if name in record["files"]:
            shown[name] = json.loads(opened.file(whole, name).read_text(encoding="utf-8"))
    console().print(JSONHighlighter()(visible(json.dumps(shown, ensure_ascii=False, indent=2))), soft_wrap=True)


def verify(store: StoreOption = None) -> None:
    """Check the size and sha256 of every file in the store; exit with 1 where any is wrong."""
    from outshine.cli.show import console

    opened = open_store(store)
    screen, num_faults = console(), 0
    keys = opened.keys()
    for key in keys:
        for fault in opened.verify(key):
            num_faults += 1
            screen.print(f"{key[:12]}: {fault.message}", markup=False)
    screen.print(f"{len(keys)} artefacts verified in {opened.root}: {num_faults} faults", markup=False)
    if num_faults:
        screen.print("damaged artefacts are computed anew when a study needs them")
        raise typer.Exit(1)


def _size(num_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} GB"
