"""Which blocks of the pages are run, and which say why they are not."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections import Counter
from typing import NamedTuple

from doc_pages import PAGES, ROOT, Block, blocks

RUN_ELSEWHERE = {"docs/extend.md": "test_doc_extend.py"}
"""Pages whose blocks a test of their own runs, all of them."""

SHELL = ("sh", "bash", "console")

REASONS = {
    "needs the hub": "models or rows that are fetched from a network",
    "installs packages": "changes the environment that it is run in",
    "takes minutes": "too long for a test of the documentation",
    "needs machines": "several processes, GPUs or hosts",
    "needs a store like yours": "names keys, studies or places that are not everybody's",
    "sets up a clone": "make targets; continuous integration runs them",
    "shows a form": "no command to type as it stands",
}
"""What may stand in `<!-- not run: REASON -->`, and what it means."""

OTHER_PROGRAMS = {
    "ray",
    "export",
    "sbatch",
    "cd",
    "git",
    "tensorboard",
}  # in marked blocks; nothing is known of their arguments


class Line(NamedTuple):
    """A command line of a shell block: its words without assignments and comments."""

    words: list[str]
    block: Block


def lines_of(block: Block) -> list[Line]:
    """The command lines of a shell block, continuation lines joined."""
    found = []
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.startswith("#"):
            continue
        words = shlex.split(line.removeprefix("$ "), comments=True)
        while words and re.match(r"[A-Z_]+=\S*$", words[0]):
            words = words[1:]
        if words:
            found.append(Line(words, block))
    return found


def run_here(block: Block) -> bool:
    """Whether the runner of the pages has to run this block."""
    return block.not_run is None and block.page not in RUN_ELSEWHERE


def indented_commands(page_text: str) -> list[str]:
    """Lines of indented code that look like commands; nothing would run them."""
    prose = re.sub(r"^```.*?^```$", "", page_text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^ {4}(?:\$ )?((?:outshine|make|python|pip|torchrun) .*)$", prose, flags=re.MULTILINE)


def trouble(line: Line) -> str | None:
    """What is wrong with a command line that is not `outshine …`, or None."""
    program, *rest = line.words
    if program == "make":
        targets = {one.partition(":")[0] for one in (ROOT / "Makefile").read_text().splitlines() if ":" in one}
        unknown = [word for word in rest if "=" not in word and word not in targets]
        return f"no target {unknown[0]}" if unknown else None
    if program == "python":
        return _python(rest)
    if program == "pip":
        return _pip(rest)
    return None if program in OTHER_PROGRAMS | {"torchrun"} else f"a test knows no '{program}'"


def _python(rest: list[str]) -> str | None:
    if rest[:1] == ["-m"]:
        path = rest[1].replace(".", "/")
        there = any((ROOT / place).exists() for place in (f"{path}.py", path, f"src/{path}"))
        return None if there or rest[1] == "pytest" else f"no module {rest[1]}"
    return None if (ROOT / rest[0]).exists() else f"no file {rest[0]}"


def _pip(rest: list[str]) -> str | None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras, pinned = known["optional-dependencies"], (ROOT / "constraints.txt").read_text(encoding="utf-8")
    if rest[:1] != ["install"]:
        return "pip installs"
    for word in rest[1:]:
        found = re.match(r"(?:outshine|\.)\[([\w,]+)\]$", word)
        wanted = set(found[1].split(",")) if found else set()
        if wanted - set(extras):
            return f"no extra {wanted - set(extras)}"
        name = re.match(r"[\w-]+", word)
        plain = word in ("-c", "-e", ".", "constraints.txt") or found or word == "outshine-ideas"
        if not plain and not (name and f"\n{name[0]}==" in pinned):
            return f"{word} is not in constraints.txt"
    return None


def counted() -> list[tuple[str, int, Counter[str]]]:
    """(page, blocks that are run, blocks that are not by reason) of every page with Python or shell blocks."""
    found = []
    for page in PAGES:
        of_page = blocks(page, "python", *SHELL)
        if of_page:
            why = Counter(block.not_run for block in of_page if block.not_run)
            found.append((of_page[0].page, sum(block.not_run is None for block in of_page), why))
    return found
