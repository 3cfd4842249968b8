"""The commands `export` and `import`: carry a study from store to store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outshine.cli import completion
from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import StoreOption, open_store
from outshine.cli.output import parse_size, size_text
from outshine.engine.messages import counted

if TYPE_CHECKING:
    from outshine.engine.settings import Settings
    from outshine.engine.store.recorded_studies import Recorded
    from outshine.engine.store.store import Store


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
    from outshine.cli.output import console
    from outshine.engine.store.export_import import export_study

    opened = open_store(store)
    found = recorded(study, opened)
    place = out or Path(f"{found.name}.zip")
    manifest = export_study(found, opened, place)
    size = sum(file.bytes for file in manifest.files)
    if as_json:
        facts = {"study": found.name, "digest": found.digest, "num_artefacts": len(found.keys)}
        print_json({**facts, "bytes": size, "archive": place})
        return
    console().print(
        f"study {found.name}, {counted(len(found.keys), 'artefact')}, {size_text(size)}: {place}",
        markup=False,
        soft_wrap=True,
    )


def recorded(study: str, store: Store) -> Recorded:
    """A recorded study by name or digest, or by what it was run from. Raises OutshineError where it never ran here."""
    from outshine.cli.report import study_at
    from outshine.engine.errors import UnknownNameError
    from outshine.engine.store.recorded_studies import find_recorded, study_digest
    from outshine.w2s.expand import resolve_study

    try:
        return find_recorded(study, store)
    except UnknownNameError:
        if not Path(study).exists():
            raise
    resolved = resolve_study(study_at(Path(study), store)).study
    return find_recorded(study_digest(resolved.model_dump(mode="json")), store)


def import_(
    archive: Annotated[Path, typer.Argument(help="An archive that `outshine export` wrote.")],
    store: StoreOption = None,
    max_size: Annotated[str, typer.Option("--max-size", help="Refuse an archive that unpacks to more.")] = "100GB",
    as_json: JsonOption = False,
) -> None:
    """Take a study and its artefacts from an archive into the store, after checking all of it.

    Example: outshine import demo.zip
    """
    from outshine.cli.output import console
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


def parse_recorded(raw: dict[str, Any]) -> Settings:
    """What a store or an archive calls a study: one, or a labelling. Raises OutshineError where it is neither."""
    from outshine.labelling.run import parse_label_settings
    from outshine.w2s.study_file import parse_study

    return parse_label_settings(raw) if raw.get("command") == "label" else parse_study(raw)


def _finding(study: Recorded) -> str:
    """Which command uses what was imported: a labelling is no study and is run from its file."""
    if study.study.get("command") == "label":
        return f"`outshine label {Path(str(study.study.get('path'))).name}` with the same settings finds them"
    return f"`outshine report {study.short}` and `outshine run {study.short}` find them"
