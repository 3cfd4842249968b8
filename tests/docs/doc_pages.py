"""The pages that people read, and the fenced blocks in them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

sys.path.insert(0, str(ROOT / "tests" / "data"))  # the made-up rows and the loopback hub of the data tests


MARK = re.compile(r"<!-- not run: (.+) -->$")
"""Before a block that the tests do not run, on the line above it: why."""


class Block(NamedTuple):
    """A fenced block: its language, its text, where it stands, and why it is not run, where it says so."""

    language: str
    text: str
    page: str
    line: int
    not_run: str | None = None

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The path in the comment of the first line (`# src/outshine/learn/losses/brier.py`), if there is one."""
        found = re.match(r"# ([\w./-]+\.\w+)$", self.text.partition("\n")[0])
        return found[1] if found else None


def blocks(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page in these languages."""
    found, lines = [], page.read_text(encoding="utf-8").splitlines()
    start: int | None = None
    for number, line in enumerate(lines):
        if start is None and line.startswith("```"):
            start = number
        elif start is not None and line == "```":
            language, text = lines[start][3:].strip(), "\n".join(lines[start + 1 : number]) + "\n"
            if language in languages:
                mark = MARK.match(lines[start - 1]) if start else None
                found.append(
                    Block(language, text, page.relative_to(ROOT).as_posix(), start + 1, mark[1] if mark else None)
                )
            start = None
    assert start is None, f"{page}: the block of line {start} does not end"
    return found


def all_blocks(*languages: str) -> list[Block]:
    """The fenced blocks of all pages in these languages."""
    return [block for page in PAGES for block in blocks(page, *languages)]
