"""The commands `datasets`, `losses`, `methods`, `probes`, `filters`, `metrics` and `models`: list what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from outshine.cli import completion
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
    from pydantic.fields import FieldInfo

    from outshine.data.schema import Recipe
    from outshine.engine.registry import Registry
    from outshine.engine.settings import Plugin

NUM_SHOWN = 10


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(invoke_without_command=True, help="List the datasets, or show one.")
    group.callback()(datasets)
    group.command("show")(with_option_groups(show_dataset))
    app.add_typer(group, name="datasets")
    app.command()(losses)
    app.command()(methods)
    app.command()(probes)
    app.command()(filters)
    app.command()(metrics)
    app.command()(models)


def datasets(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the datasets that outshine knows."""
    if context.invoked_subcommand is not None:
        return
    from outshine.cli.terminal import console, table
    from outshine.data.schema import recipes
    from outshine.data.user_datasets import OWN_KINDS

    known = [(name, recipe) for name, recipe in recipes if name not in OWN_KINDS]
    if as_json:
        print_json([_recipe_document(name, recipe) for name, recipe in known])
        return
    rows = [
        (name, recipe.hub.repo if recipe.hub else "–", recipe.positive_means, recipe.source) for name, recipe in known
    ]
    screen = console()
    screen.print(table("", ["name", "hub", "positive means", "source"], rows))
    screen.print("your own: --dataset mine.csv (or .jsonl, .parquet) with columns text and label (or --text, --label)")
    screen.print("any other of the hub: --dataset owner/name --text COLUMN --label COLUMN")


def show_dataset(
    name: Annotated[str, typer.Argument(help="A dataset's name, or a file.", autocompletion=completion.datasets)],
    columns: ColumnOptions,
    sizes: SizeOptions,
    settings: SetOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print ten formatted rows, all classes in turn, and the sizes of the splits."""
    from outshine.cli.find_study import build_study
    from outshine.cli.terminal import console, table
    from outshine.data.splits import preview
    from outshine.engine.progress import Silent
    from outshine.engine.run.local import LocalExecutor
    from outshine.report.tables import splits_table
    from outshine.w2s.stages.prepare import Prepare

    study = build_study(StudyOptions(dataset=name, columns=columns, sizes=sizes, settings=settings))
    opened = open_store(store)
    prepare = Prepare.of(study.datasets[0], study.splits)
    LocalExecutor(opened, study.runtime, Silent()).run([prepare])  # its notes are shown below
    prepared = prepare.read(opened)
    recipe = prepare.recipe
    if as_json:
        rows = preview(prepared, NUM_SHOWN)[["id", "split", "label", "text"]]
        facts = {"splits": prepared.report["splits"], "notes": list(prepared.notes), "rows": rows}
        print_json({**_recipe_document(prepare.name, type(recipe)), **facts})
        return
    screen = console()
    screen.print(f"{prepare.name}: {recipe.title}", markup=False)
    source = f"\nsource: {recipe.source}" if recipe.source else ""
    screen.print(f"{recipe.meaning}{source}\n", markup=False)
    for row in preview(prepared, NUM_SHOWN).itertuples():
        screen.rule(f"{prepare.task.class_names[int(str(row.label))]}  {row.id}  {row.split}", align="left")
        screen.print(str(row.text), markup=False)
    screen.rule()
    sizes_shown = splits_table(prepared.report)
    columns_shown = [name.removeprefix("share ") for name in sizes_shown.columns]
    screen.print(table("", columns_shown, sizes_shown.rows, right=columns_shown[1:]))
    for note in prepared.notes:
        screen.print(f"note: {note}", markup=False)


def losses(as_json: JsonOption = False) -> None:
    """List the losses for students and their settings."""
    from outshine.learn.losses import losses as registry

    _print_plugins(registry, as_json)


def methods(as_json: JsonOption = False) -> None:
    """List the methods and their settings."""
    from outshine.w2s.methods import methods as registry

    _print_plugins(registry, as_json)


def probes(as_json: JsonOption = False) -> None:
    """List the probes and their settings."""
    from outshine.learn.probes import probes as registry

    _print_plugins(registry, as_json)


def filters(as_json: JsonOption = False) -> None:
    """List the filters and their settings."""
    from outshine.learn.filters import filters as registry

    _print_plugins(registry, as_json)


def metrics(as_json: JsonOption = False) -> None:
    """List the metrics that results can be read by and their settings."""
    from outshine.stats.metrics import metrics as registry

    _print_plugins(registry, as_json)


def models(as_json: JsonOption = False) -> None:
    """List the embedded models and those whose learning rates are known; any other model can be named too."""
    from outshine.cli.terminal import console, table
    from outshine.learn.known_models import KNOWN

    if as_json:
        print_json(
            [
                {"name": name, "learning_rate_lora": known.lora, "learning_rate_full": known.full, "note": known.note}
                for name, known in KNOWN.items()
            ]
        )
        return
    rows = [(name, _rate(known.lora), _rate(known.full), known.note) for name, known in KNOWN.items()]
    screen = console()
    screen.print(table("", ["model", "lr (LoRA)", "lr (full)", "note"], rows))
    screen.print(
        "any hub repository or local folder with safetensors weights can be named; unknown learning rates are guessed"
    )


def _recipe_document(name: str, recipe: type[Recipe]) -> dict[str, Any]:
    facts = {"hub": recipe.hub.repo if recipe.hub else None, "positive_means": recipe.positive_means}
    return {"name": name, "title": recipe.title, **facts, "source": recipe.source, "license": recipe.license}


def _print_plugins(registry: Registry, as_json: bool) -> None:
    from outshine.cli.terminal import console, table

    if as_json:
        print_json([_plugin_document(name, plugin) for name, plugin in registry])
        return
    rows = []
    for name, plugin in registry:
        settings = [
            f"{setting} = {_default(field)}: {field.description or setting}"
            for setting, field in plugin.model_fields.items()
        ]
        rows.append((name, getattr(plugin, "title", ""), "\n".join(settings) or "–"))
    console().print(table("", ["name", "what it is", "settings"], rows))


def _plugin_document(name: str, plugin: type[Plugin]) -> dict[str, Any]:
    settings = [
        {"name": setting, "default": _default(field), "what": field.description or setting}
        for setting, field in plugin.model_fields.items()
    ]
    return {"name": name, "title": getattr(plugin, "title", ""), "settings": settings}


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, tuple):
        return ", ".join(map(str, default))
    return (
        "null" if default is None else getattr(default, "kind", None) or getattr(default, "model", None) or str(default)
    )


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
