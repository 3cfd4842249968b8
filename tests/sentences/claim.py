"""A sentence that the product can print, with a case in which it is true and one in which it must not be printed."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from html import unescape
from pathlib import Path
from typing import NamedTuple

import outshine

SOURCE = Path(outshine.__file__).parent
NUM_WORDS = 4  # words of two letters or more from which a text in the source is taken for a sentence


class Claim(NamedTuple):
    """One sentence, or a part of one that says something of its own.

    `says`: as the source has it, `{}` in place of each value. `true`: what is printed in a case in which it is true.
    `untrue`: what is printed in a case in which it would be false; it must not be there. None only where the words can
    be false in no case, and `defines` then says why: they name a column, define a measure, or ask a question.
    """

    says: str
    true: Callable[[], Iterable[str]]
    untrue: Callable[[], Iterable[str]] | None
    defines: str = ""

    def is_in(self, printed: Iterable[str]) -> bool:
        """Whether one of the printed texts contains the sentence."""
        pattern = ".*?".join(re.escape(part) for part in self.says.split("{}"))
        return any(re.search(pattern, text, re.DOTALL) for text in printed)


def sentences_in(module: str) -> list[str]:
    """The sentences that a module's source holds, `{}` in place of each value.

    Left out: docstrings, errors (they have tests of their own), descriptions of settings and annotations.
    `module`: its path below the package, such as `results/compare_text.py`; of a template (`.j2`) the texts between
    its tags, white space as in a browser.
    """
    if module.endswith(".j2"):
        return _in_template((SOURCE / module).read_text(encoding="utf-8"))
    tree = ast.parse((SOURCE / module).read_text(encoding="utf-8"))
    skipped = _skipped(tree)
    found: list[str] = []

    def visit(node: ast.AST) -> None:
        if node in skipped:
            return
        if isinstance(node, ast.JoinedStr):
            found.append("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    visit(part.value)
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return [text for text in dict.fromkeys(found) if _is_sentence(text)]


def shown(text: str) -> str:
    """What a reader sees of a page or of Markdown: no code, no tags, white space as in a browser."""
    text = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", text)).split())


def _in_template(text: str) -> list[str]:
    """Texts between tags and statements; `{}` stands for what is filled in."""
    text = re.sub(r"```.*?```|https?://[^)]*|<(script|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r"\{%.*?%\}|<[^>]*>", "\0", re.sub(r"\{\{.*?\}\}", "{}", text, flags=re.DOTALL), flags=re.DOTALL)
    parts = (" ".join(part.split()) for part in re.split(r"\0|\n\n|\n(?=[#*] )", text))
    return [part for part in dict.fromkeys(parts) if _is_sentence(part)]


def _is_sentence(text: str) -> bool:
    return len(re.findall(r"[^\W\d_]{2,}", text)) >= NUM_WORDS


def _skipped(tree: ast.Module) -> set[ast.AST]:
    """Docstrings, what is raised, what describes a setting, annotations."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Raise)
            or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
            or (isinstance(node, ast.keyword) and node.arg in ("description", "help", "show_default"))
        ):
            skipped.add(node)
        elif isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            skipped.add(node.annotation)
    return skipped
