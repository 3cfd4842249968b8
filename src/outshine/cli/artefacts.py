"""The commands `ls`, `studies`, `show` and `verify`: list, look into and check what a store holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from outshine.cli import completion
from outshine.cli.json_output import JsonOption, json_text, print_json
from outshine.cli.options import StoreOption, open_store
from outshine.cli.terminal import size_text
from outshine.engine.messages import counted

if TYPE_CHECKING:
    from outshine.engine.store.index import Entry, Listing, Query
    from outshine.engine.store.recorded_studies import RecordedStudy
    from outshine.engine.store.records import Fault
    from outshine.engine.store.store import Store

_KEY_DIGITS = 12  # shown of a key
_LIMIT = 500  # rows of a table; more are read by no one, and `--json` has all

KindOption = Annotated[
    str | None, typer.Option("--kind", help="Only stages of this kind, such as student.", show_default=False)
]
TextOption = Annotated[
    str | None, typer.Option("--text", help="Only stages whose label has this text.", show_default=False)
]
OfStudyOption = Annotated[
    str | None,
    typer.Option(
        "--study", help="Only what this study needs: its name or digest (`outshine studies`).", metavar="NAME"
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", "-n", min=0, help="At most so many, the last ones; 0: all.", show_default=str(_LIMIT)),
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("ls")(list_artefacts)
    app.command("studies")(list_studies)
    app.command()(show)
    app.command()(verify)


def list_artefacts(
    store: StoreOption = None,
    kind: KindOption = None,
    text: TextOption = None,
    study: OfStudyOption = None,
    sort: Annotated[
        Literal["age", "size", "took"], typer.Option("--sort", help="Newest, largest or longest in making last.")
    ] = "age",
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the finished artefacts of the store, newest last.

    Example: outshine ls --kind student --sort size --limit 20
    """
    from outshine.engine.store.index import Query

    opened = open_store(store)
    most = limit if limit is not None else None if as_json else _LIMIT
    query = Query(kind, text, _keys_of(study, opened), sort, most or None)
    listing = opened.listing(query)
    if as_json:
        print_json([_document(entry) for entry in listing.entries])
        return
    _print(listing, query, opened)


def _keys_of(study: str | None, store: Store) -> frozenset[str] | None:
    if study is None:
        return None
    from outshine.engine.store.recorded_studies import find_recorded

    return find_recorded(study, store).keys


def _print(listing: Listing, query: Query, store: Store) -> None:
    from outshine.cli.terminal import console, table

    screen = console()
    rows = [_row(entry) for entry in listing.entries]
    if len(rows) > _LIMIT:  # a table of so many takes longer to lay out than to read from the store
        for row in rows:
            typer.echo("  ".join(row))
    else:
        screen.print(table("", ["key", "stage", "made", "took", "size"], rows, right=["took", "size"]))
    total = f"{counted(listing.num_artefacts, 'artefact')} in {store.where}, {size_text(listing.num_bytes)}"
    last = {"age": "newest", "size": "largest", "took": "longest in making"}[query.sort]
    left_out = listing.num_artefacts > len(rows)
    line = f"the {len(rows)} {last} of {total}; --limit 0 shows all" if left_out else total
    screen.print(line, markup=False, soft_wrap=True)


def _row(entry: Entry) -> list[str]:
    if entry.fault:
        return [entry.key[:_KEY_DIGITS], f"damaged: {entry.fault}", "", "", ""]
    return [entry.key[:_KEY_DIGITS], entry.label, entry.made_at, f"{entry.seconds:.1f} s", size_text(entry.bytes)]


def _document(entry: Entry) -> dict[str, Any]:
    fields = entry._asdict() | {"inputs": list(entry.inputs)}
    return fields if entry.fault else {name: value for name, value in fields.items() if name != "fault"}


def list_studies(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="A study, by name or digest: print it as YAML.", autocompletion=completion.recorded
        ),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the studies that ran in the store, latest last, or print one as a study file.

    Example: outshine studies demo > demo-again.yaml
    """
    from outshine.cli.terminal import console, table
    from outshine.engine.store.recorded_studies import find_recorded, recorded_studies
    from outshine.w2s.study_file import raw_yaml

    opened = open_store(store)
    if name is not None:
        study = find_recorded(name, opened).study
        if as_json:
            print_json(study)
        else:
            typer.echo(raw_yaml(study), nl=False)
        return
    studies, there = recorded_studies(opened), set(opened.keys())
    if as_json:
        print_json([_study_document(study, there) for study in studies])
        return
    rows = [_study_row(study, there) for study in studies]
    screen = console()
    screen.print(table("", ["digest", "study", "last ran (UTC)", "artefacts there"], rows, right=["artefacts there"]))
    screen.print(f"{counted(len(rows), 'study', 'studies')} recorded in {opened.where}", markup=False)


def _study_row(study: RecordedStudy, there: set[str]) -> list[str]:
    num_there = f"{len(study.keys & there)} of {len(study.keys)}"
    return [study.short, study.name, f"{study.last_ran:%Y-%m-%d %H:%M}", num_there]


def _study_document(study: RecordedStudy, there: set[str]) -> dict[str, Any]:
    num_there = len(study.keys & there)
    fields = study._asdict() | {"num_artefacts": len(study.keys), "num_there": num_there}
    return {name: value for name, value in fields.items() if name not in ("study", "keys", "kinds", "work")}


def show(
    key: Annotated[str, typer.Argument(help="The key, or its beginning.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one artefact: how good it is, what it was computed from, where and when, its files and its summary."""
    from rich.highlighter import JSONHighlighter

    from outshine.cli.terminal import console
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
    from outshine.cli.terminal import console

    opened = open_store(store)
    screen = console(quiet=as_json)
    faults: list[Fault] = []
    aside: dict[str, str] = {}
    keys = opened.keys()
    for key in keys:
        damage = opened.verify(key)
        mended = opened.mend(key) if damage and mend else None
        if mended and not mended.is_held:
            damage = mended.faults  # another process may have made it anew by now
        faults += damage
        for fault in damage:
            screen.print(f"{key[:12]}: {fault.message}", markup=False)
        if mended and mended.is_held:
            screen.print(f"{key[:12]}: left, for another process is writing it", markup=False)
        elif mended and mended.aside:
            aside[key] = mended.aside
            screen.print(f"{key[:12]}: set aside in {mended.aside}", markup=False)
        elif mended and damage:
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
