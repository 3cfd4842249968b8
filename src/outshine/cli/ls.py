"""The commands `ls` and `studies`: list what a store holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from outshine.cli import completion
from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import StoreOption, open_store
from outshine.cli.output import size_text
from outshine.engine.messages import counted

if TYPE_CHECKING:
    from outshine.engine.store.index import Entry, Listing, Query
    from outshine.engine.store.recorded_studies import Recorded
    from outshine.engine.store.store import Store

_SHOWN = 12  # hex digits of a key
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
    found = opened.listing(query)
    if as_json:
        print_json([_document(entry) for entry in found.entries])
        return
    _print(found, query, opened)


def _keys_of(study: str | None, store: Store) -> frozenset[str] | None:
    if study is None:
        return None
    from outshine.engine.store.recorded_studies import find_recorded

    return find_recorded(study, store).keys


def _print(found: Listing, query: Query, store: Store) -> None:
    from outshine.cli.output import console, table

    screen = console()
    rows = [_row(entry) for entry in found.entries]
    if len(rows) > _LIMIT:  # a table of so many takes longer to lay out than to read from the store
        for row in rows:
            typer.echo("  ".join(row))
    else:
        screen.print(table("", ["key", "stage", "made", "took", "size"], rows, right=["took", "size"]))
    total = f"{counted(found.num_artefacts, 'artefact')} in {store.where}, {size_text(found.num_bytes)}"
    last = {"age": "newest", "size": "largest", "took": "longest in making"}[query.sort]
    left_out = found.num_artefacts > len(rows)
    line = f"the {len(rows)} {last} of {total}; --limit 0 shows all" if left_out else total
    screen.print(line, markup=False, soft_wrap=True)


def _row(entry: Entry) -> list[str]:
    if entry.fault:
        return [entry.key[:_SHOWN], f"damaged: {entry.fault}", "", "", ""]
    return [entry.key[:_SHOWN], entry.label, entry.made_at, f"{entry.seconds:.1f} s", size_text(entry.bytes)]


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
    from outshine.cli.output import console, table
    from outshine.engine.store.recorded_studies import find_recorded, recorded_studies
    from outshine.w2s.study_file import raw_yaml

    opened = open_store(store)
    if name is not None:
        found = find_recorded(name, opened).study
        if as_json:
            print_json(found)
        else:
            typer.echo(raw_yaml(found), nl=False)
        return
    there = set(opened.keys())
    if as_json:
        print_json([_study_document(one, there) for one in recorded_studies(opened)])
        return
    rows = [
        [one.short, one.name, f"{one.last_ran:%Y-%m-%d %H:%M}", f"{len(one.keys & there)} of {len(one.keys)}"]
        for one in recorded_studies(opened)
    ]
    screen = console()
    screen.print(table("", ["digest", "study", "last ran (UTC)", "artefacts there"], rows, right=["artefacts there"]))
    screen.print(f"{counted(len(rows), 'study', 'studies')} recorded in {opened.where}", markup=False)


def _study_document(one: Recorded, there: set[str]) -> dict[str, Any]:
    num_there = len(one.keys & there)
    fields = one._asdict() | {"num_artefacts": len(one.keys), "num_there": num_there}
    return {name: value for name, value in fields.items() if name not in ("study", "keys", "kinds", "work")}
