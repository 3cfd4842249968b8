"""The command `push`: publish models and predictions on the hub."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outshine.cli import completion
from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import StoreOption, open_store
from outshine.cli.terminal import size_text
from outshine.engine.messages import counted, visible

if TYPE_CHECKING:
    from outshine.engine.store.store import Store
    from outshine.share.publication import Publication
    from outshine.share.repository_files import Files

_KEY = re.compile(r"[0-9a-f]{4,64}")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(push)


def push(
    what: Annotated[
        str,
        typer.Argument(
            metavar="KEY|STUDY",
            help="A model's key or its beginning, or a study that ran: name, digest, folder or file.",
            autocompletion=completion.recorded,
        ),
    ],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="The repository on the hub, owner/name.")],
    private: Annotated[bool, typer.Option("--private", help="A repository that others cannot see.")] = False,
    license_id: Annotated[
        str | None,
        typer.Option("--license", metavar="ID", help="The licence that you give it: mit, apache-2.0 …"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print files and card; ask no network.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish adapters and predictions with a model card on the hub. No text of a dataset is ever sent.

    Example: outshine push 81c4 me/sciq-student --private --dry-run
    """
    from outshine.cli.terminal import console
    from outshine.share import upload
    from outshine.share.card import card
    from outshine.share.repository_files import files_of

    upload.check_name(repo)
    opened = open_store(store)
    subject = _subject(what, opened)
    text = card(subject, opened, repo, license_id)
    files = {"README.md": text.encode(), **files_of(subject, opened)}
    message = f"outshine push: {'study' if subject.whole else 'a model of study'} {subject.study.name}"
    if not dry_run:
        console(stderr=True).print(f"uploading {counted(len(files), 'file')} to {repo}", markup=False, soft_wrap=True)
    pushed = None if dry_run else upload.push(files, repo, message, private=private)
    if as_json:
        facts = {"repo": repo, "private": private, "dry_run": dry_run, "files": _sizes(files), "card": text}
        print_json({**facts, "url": pushed and pushed.url, "commit": pushed and pushed.commit})
        return
    _print(files, text if dry_run else None)
    if pushed:
        typer.echo(f"{pushed.url}, commit {pushed.commit[:12]}")


def _subject(what: str, store: Store) -> Publication:
    """A study by what `export` takes, else an artefact. Raises OutshineError where it is neither."""
    from outshine.cli.find_study import recorded_study
    from outshine.engine.errors import UnknownNameError
    from outshine.share.publication import of_key, of_study
    from outshine.w2s.study_file import parse_study

    try:
        recorded = recorded_study(what, store)
    except UnknownNameError:
        if not _KEY.fullmatch(what.lower()):
            raise
        return of_key(store.find(what), store)
    return of_study(parse_study(dict(recorded.study)), store)


def _sizes(files: Files) -> list[dict[str, Any]]:
    from outshine.share.repository_files import num_bytes

    return [{"path": name, "bytes": num_bytes(content)} for name, content in files.items()]


def _print(files: Files, card: str | None) -> None:
    """Files with their sizes, the sum, and the card where it is to be shown."""
    sizes = _sizes(files)
    for file in sizes:
        typer.echo(visible(f"{file['path']}  {size_text(file['bytes'])}"))
    typer.echo(f"{counted(len(sizes), 'file')}, {size_text(sum(file['bytes'] for file in sizes))}")
    if card is not None:
        typer.echo(f"\n{card}")
