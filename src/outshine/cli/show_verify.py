"""The commands `show` and `verify`: look into artefacts, and check their files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from outshine.cli.json_output import JsonOption, json_text, print_json
from outshine.cli.options import StoreOption, open_store
from outshine.engine.messages import counted

if TYPE_CHECKING:
    from outshine.engine.store.records import Fault


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(show)
    app.command()(verify)


def show(
    key: Annotated[str, typer.Argument(help="The key, or its beginning.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one artefact: how good it is, what it was computed from, where and when, its files and its summary."""
    from rich.highlighter import JSONHighlighter

    from outshine.cli.output import console
    from outshine.results.read.scores import own_scores

    opened = open_store(store)
    whole = opened.find(key)
    record = opened.done(whole)
    scores = own_scores(whole, opened)
    shown: dict[str, Any] = {"scores": scores} if scores else {}
    shown |= {"key": whole, "folder": opened.place(whole), **record}
    for name in ("summary.json", "report.json"):
        if name in record["files"]:
            shown[name] = opened.document(whole, name)
    if as_json:
        print_json(shown)
        return
    console().print(JSONHighlighter()(json_text(shown, indent=2)), soft_wrap=True)


def verify(
    store: StoreOption = None,
    mend: Annotated[
        bool, typer.Option("--mend", help="Set damaged artefacts aside: the next run computes them anew.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the size and sha256 of every file in the store; exit with 1 where any is wrong."""
    from outshine.cli.output import console

    opened = open_store(store)
    screen = console(quiet=as_json)
    faults: list[Fault] = []
    aside: dict[str, str] = {}
    keys = opened.keys()
    for key in keys:
        found = opened.verify(key)
        mended = opened.mend(key) if found and mend else None
        if mended and not mended.is_held:
            found = mended.faults  # another process may have made it anew by now
        faults += found
        for fault in found:
            screen.print(f"{key[:12]}: {fault.message}", markup=False)
        if mended and mended.is_held:
            screen.print(f"{key[:12]}: left, for another process is writing it", markup=False)
        elif mended and mended.aside:
            aside[key] = mended.aside
            screen.print(f"{key[:12]}: set aside in {mended.aside}", markup=False)
        elif mended and found:
            screen.print(f"{key[:12]}: the local copies are removed, to be fetched again", markup=False)
    screen.print(
        f"{counted(len(keys), 'artefact')} verified in {opened.where}: {counted(len(faults), 'fault')}", markup=False
    )
    if as_json:
        print_json({"store": opened.where, "num_artefacts": len(keys), "faults": faults, "set_aside": aside})
    if faults:
        if not mend:
            screen.print("`outshine verify --mend` sets damaged artefacts aside, and the next run computes them anew")
        raise typer.Exit(1)
