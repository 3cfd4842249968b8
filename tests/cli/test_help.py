"""`--help` of every command says what the sources say: no bracketed word is taken for markup, no `:name:` for an emoji."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from calling import Run
from outshine.cli.main import app


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    command = command or typer.main.get_command(app)
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


def words(text: str) -> str:
    return " ".join(text.split())


def in_source(text: str) -> str:
    """What a help text is to say: a bracket is escaped in the sources."""
    return words(text.replace("\\[", "["))


@pytest.mark.parametrize(("path", "command"), [pytest.param(*found, id=" ".join(found[0])) for found in commands()])
def test_help_says_what_the_sources_say(path, command, outshine: Run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    printed = words(outshine(*path, "--help").out)
    assert in_source(command.help) in printed
    for parameter in command.params:
        assert in_source(parameter.help or "") in printed
    for inner in getattr(command, "commands", {}).values():
        assert in_source((inner.help or "").split("\n\n")[0]) in printed


@pytest.mark.parametrize(("command", "extra"), [("run", "ray"), ("run", "wandb"), ("label", "ray")])
def test_extras_are_named_as_they_are_installed(command, extra, outshine: Run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert f"pip install 'outshine[{extra}]'" in outshine(command, "--help").out
