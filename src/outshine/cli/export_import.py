"""The commands `export` and `import`: carry a study from store to store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outshine.cli import completion
from outshine.cli.find_study import parse_recorded, recorded_study
from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import StoreOption, open_store, parse_size
from outshine.cli.terminal import size_text
from outshine.engine.messages import counted

if TYPE_CHECKING:
    from outshine.engine.store.recorded_studies import RecordedStudy


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("export")(export)
    app.command("import")(import_)


def export(
    study: Annotated[
        str,
        typer.Argument(
            help="A study that ran: its name or digest, its folder or file.", autocompletion=completion.recorded
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The archive to write.", show_default="NAME.zip")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a finished study and all its artefacts as one zip archive.

    Example: outshine export demo -o demo.zip
    """
    from outshine.cli.terminal import console
    from outshine.engine.store.export_import import export_study

    opened = open_store(store)
    recorded = recorded_study(study, opened)
    place = out or Path(f"{recorded.name}.zip")
    manifest = export_study(recorded, opened, place)
    size = sum(file.bytes for file in manifest.files)
    if as_json:
        facts = {"study": recorded.name, "digest": recorded.digest, "num_artefacts": len(recorded.keys)}
        print_json({**facts, "bytes": size, "archive": place})
        return
    console().print(
        f"study {recorded.name}, {counted(len(recorded.keys), 'artefact')}, {size_text(size)}: {place}",
        markup=False,
        soft_wrap=True,
    )


def import_(
    archive: Annotated[Path, typer.Argument(help="An archive that `outshine export` wrote.")],
    store: StoreOption = None,
    max_size: Annotated[str, typer.Option("--max-size", help="Refuse an archive that unpacks to more.")] = "100GB",
    as_json: JsonOption = False,
) -> None:
    """Take a study and its artefacts from an archive into the store, after checking all of it.

    Example: outshine import demo.zip
    """
    from outshine.cli.terminal import console
    from outshine.engine.store.export_import import import_study

    done = import_study(archive, open_store(store), parse_size(max_size, "--max-size"), parse_recorded)
    if as_json:
        facts = {"study": done.study.name, "digest": done.study.digest}
        print_json({**facts, "num_imported": done.num_new, "num_there": done.num_there})
        return
    console().print(
        f"study {done.study.name}, {done.study.short}: {counted(done.num_new, 'artefact')} imported, "
        f"{done.num_there} already there; {_finding(done.study)}",
        markup=False,
        soft_wrap=True,
    )


def _finding(study: RecordedStudy) -> str:
    """Which command uses what was imported: a labelling is no study and is run from its file."""
    if study.study.get("command") == "label":
        return f"`outshine label {Path(str(study.study.get('path'))).name}` with the same settings finds them"
    return f"`outshine report {study.short}` and `outshine run {study.short}` find them"
