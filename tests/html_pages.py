"""Reports as tests read them: the tables with their captions, the figures, and whatever might run or be fetched."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import outshine

OWN_SCRIPT = (Path(outshine.__file__).parent / "report" / "templates" / "report.js").read_text(encoding="utf-8")
"""The one script that a page may hold, to the letter."""

RUNS = {"script", "iframe", "object", "embed", "link", "img", "form", "base", "video", "audio", "source", "input"}
_FETCHES = re.compile(r"url\((?!#)|@import")


class Table(NamedTuple):
    """A table of a page as text. `caption` is empty where there is none."""

    caption: str
    columns: list[str]
    rows: list[list[str]]


class Page(HTMLParser):
    """What a page holds: `tables`, `headings` (h2), `figures` (ids in order), `text` outside of figures, style, script.

    `dangers`: whatever might run or be fetched, but for the page's own script, once and without attributes.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: list[Table] = []
        self.headings: list[str] = []
        self.figures: list[str] = []
        self.drawings: dict[str, int] = {}  # <svg> elements by figure
        self.dangers: list[str] = []
        self.text = ""
        self.scripts: list[str] = []
        self._open: list[str] = []
        self._cell = ""
        self.feed(html)
        self.close()

    def table(self, words: str) -> Table:
        """The one table with these words in its caption."""
        (found,) = [table for table in self.tables if words in table.caption]
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        self._look_for_dangers(tag, attrs)
        if tag == "figure":
            self.figures.append(dict(attrs)["id"] or "")
        elif tag == "script" and not attrs and not self.scripts:
            self.scripts.append("")
        elif tag == "svg" and "figure" in self._open:
            self.drawings[self.figures[-1]] = self.drawings.get(self.figures[-1], 0) + 1
        elif tag == "table":
            self.tables.append(Table("", [], []))
        elif tag == "tr":
            self.tables[-1].rows.append([])
        if tag in ("th", "td", "caption", "h2"):
            self._cell = ""

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:  # void elements such as <meta> are never closed
            pass
        if tag == "script" and self.scripts != [OWN_SCRIPT]:
            self.dangers.append("a script that is not the page's own")
        elif tag == "td":
            self.tables[-1].rows[-1].append(self._cell)
        elif tag == "th":
            self.tables[-1].columns.append(self._cell)
        elif tag == "caption":
            self.tables[-1] = self.tables[-1]._replace(caption=self._cell)
        elif tag == "h2":
            self.headings.append(self._cell)
        elif tag == "thead":
            self.tables[-1].rows.clear()  # the row of column names

    def handle_data(self, data: str) -> None:
        self._cell += data
        if "style" in self._open and _FETCHES.search(data):
            self.dangers.append(data)
        if "script" in self._open and self.scripts:
            self.scripts[-1] += data
        if not {"svg", "style", "script"} & set(self._open):
            self.text += data

    def _look_for_dangers(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in RUNS and not (tag == "script" and not attrs and not self.scripts):
            self.dangers.append(f"<{tag}>")
        for name, value in attrs:
            local = name in ("href", "src", "xlink:href") and (value or "").startswith("#")
            if (
                name.startswith("on")
                or (name in ("href", "src", "xlink:href", "srcset", "action") and not local)
                or re.search(r"url\((?!#)|@import", value or "")
            ):
                self.dangers.append(f"{tag} {name}={value}")
