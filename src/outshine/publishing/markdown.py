"""Text and tables as Markdown: what comes from data is shown, and formats nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from outshine.core.messages import one_line
from outshine.report.markup import markdown

if TYPE_CHECKING:
    from outshine.report.sheets import Sheet


class Verbatim(str):
    """Markdown that was made here: it goes into a card as it is."""

    __slots__ = ()


def inert(text: str) -> str:
    """The text in one line, with what would format, link, mention or be taken for HTML or a formula escaped."""
    return markdown(one_line(text))


def code(text: str) -> Verbatim:
    """The text in one line as code; backticks, which would end it, are left out."""
    return Verbatim(f"`{one_line(text).replace('`', '')}`")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> Verbatim:
    """A table; `right`: columns that hold numbers."""
    lines = [
        [_cell(name) for name in columns],
        ["---:" if name in right else "---" for name in columns],
        *([_cell(cell) for cell in row] for row in rows),
    ]
    return Verbatim("\n".join(f"| {' | '.join(line)} |" for line in lines))


def sheet(one: Sheet) -> Verbatim:
    """A sheet of the report."""
    return table(one.columns, one.rows, one.right)


def _cell(text: str) -> str:
    if isinstance(text, Verbatim):
        return text.replace("|", r"\|")  # in code too it would end the cell
    return inert(text)
