"""The commands `tiny …` of the embedded models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from outshine.cli.json_output import JsonOption, print_json


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(no_args_is_help=True, help="The embedded tiny models and their pretraining.")
    group.callback()(about)
    group.command()(pretrain)
    app.add_typer(group, name="tiny")


def about() -> None:
    """The embedded tiny models and their pretraining."""


def pretrain(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the models.")] = Path("outshine-tiny"),
    seed: Annotated[
        int | None, typer.Option("--seed", help="Pretraining seed (default: the shipped models').", show_default=False)
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", help="weak, middle, strong, comma-separated (default: all).", show_default=False),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", help="CPU threads (default: torch's choice).", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Pretrain the tiny language models again, from scratch (minutes on two cores).

    Name the folders that it writes as models: outshine run --weak outshine-tiny/weak ...
    """
    import torch

    from outshine.cli.options import split_names
    from outshine.cli.terminal import console, progress, table
    from outshine.learn.tiny_models.pretrain import DEFAULT_SEED
    from outshine.learn.tiny_models.pretrain import pretrain as pretrain_models
    from outshine.report.write import check_writable

    check_writable(out)
    if threads is not None:
        torch.set_num_threads(threads)
    with progress() as shown:
        record = pretrain_models(out, DEFAULT_SEED if seed is None else seed, split_names(size), shown)
    if as_json:
        print_json({"out": out, **record})
        return
    rows = [
        (name, f"{facts['parameters']:,}", f"{facts['tokens']:,}", f"{facts['loss']:.3f}", f"{facts['seconds']:.0f} s")
        for name, facts in record["sizes"].items()
    ]
    screen = console()
    columns = ["model", "parameters", "tokens read", "loss (nats)", "took"]
    screen.print(table("", columns, rows, right=columns[1:]))
    screen.print(f"models and record.json: {out}", markup=False)
