"""Escaping of untrusted text for Markdown: it is shown, and formats, links and mentions nothing."""

from __future__ import annotations

import re

from outshine.engine.messages import visible

_ACTS = re.compile(  # formatting, links, HTML and its entities, cells, addresses; `_` within a word is none
    r"[\\`*\[\]<>|~&$@#]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.|:(?!\d+:)(?=[\w+-]+:)", re.IGNORECASE
)
_BEGINS = re.compile(r"^(\d{0,9})([-+.)])(?=\s|$)")  # a list
_RULE = re.compile(r"^(?=(?:=+|-+)$)")  # or the line that makes a heading of the one above
_LATER = re.compile(r"\\([@$]|#(?=\w)|:(?!//))")  # what hubs look for in the finished text, where escapes are gone


def markdown(text: str) -> str:
    """One line of text that Markdown shows as it is, in a cell too.

    Mail addresses, mentions, formulas and emoji names are found by hubs after escapes are read: a `<span>` around their
    sign keeps them apart.
    """
    escaped = _ACTS.sub(lambda found: f"\\{found[0]}", " ".join(visible(text).split()))
    escaped = _RULE.sub(r"\\", _BEGINS.sub(r"\1\\\2", escaped))
    return _LATER.sub(lambda found: f"<span>{found[0]}</span>", escaped)
