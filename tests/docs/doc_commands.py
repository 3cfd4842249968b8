"""The commands of outshine, and those that the pages show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

import typer.main
from doc_pages import Block, all_blocks

from outshine.cli.main import app

ENVIRONMENT = re.compile(r"[A-Z_]+=\S*$")
PLUGINS = "docs/extend.md"  # its commands and study files name plugins of a package: test_doc_extend.py runs them


class Shown(NamedTuple):
    """A command line of `outshine` on a page."""

    where: str
    arguments: list[str]


def shown_commands() -> list[Shown]:
    """All `outshine …` lines in shell blocks; those of the page on plugins, which need its package, are run elsewhere."""
    return [
        shown for block in all_blocks("sh", "bash", "console") if block.page != PLUGINS for shown in commands_in(block)
    ]


def commands_in(block: Block) -> list[Shown]:
    """The `outshine …` lines of a block, continuation lines joined, comments and assignments left out."""
    found = []
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        while words and ENVIRONMENT.match(words[0]):
            words = words[1:]
        if words and words[0] == "outshine":
            found.append(Shown(block.where, words[1:]))
    return found


def command_of(arguments: list[str]) -> tuple[Any, list[str]]:
    """The command that the arguments name, and what is left for it. Raises LookupError for an unknown command."""
    command: Any = typer.main.get_command(app)
    while arguments and arguments[0] in getattr(command, "commands", {}):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    if hasattr(command, "commands") and arguments and not arguments[0].startswith("-"):
        raise LookupError(f"outshine has no command '{arguments[0]}'")
    return command, arguments


def commands() -> Iterator[tuple[str, Any]]:
    """All commands by what one types."""
    pending = [("", typer.main.get_command(app))]
    while pending:
        name, command = pending.pop()
        yield name, command
        pending += [(f"{name} {part}".strip(), one) for part, one in getattr(command, "commands", {}).items()]
