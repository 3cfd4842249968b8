"""A sentence that the product can print, with a case in which it is true and one in which it must not be printed."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import outshine

SOURCE = Path(outshine.__file__).parent
NUM_WORDS = 4  # words of two letters or more from which a text in the source is taken for a sentence


class Claim(NamedTuple):
    """One sentence, or a part of one that says something of its own.

    `says`: as the source has it, `{}` in place of each value. `true`: what is printed in a case in which it is true.
    `untrue`: what is printed in a case in which it would be false; it must not be there.
    """

    says: str
    true: Callable[[], Iterable[str]]
    untrue: Callable[[], Iterable[str]]

    def is_in(self, printed: Iterable[str]) -> bool:
        """Whether one of the printed texts contains the sentence."""
        pattern = ".*?".join(re.escape(part) for part in self.says.split("{}"))
        return any(re.search(pattern, text, re.DOTALL) for text in printed)


def sentences_in(module: str) -> list[str]:
    """The sentences that a module's source holds, `{}` in place of each value.

    Left out: docstrings, errors (they have tests of their own), descriptions of settings and annotations.
    `module`: its path below the package, such as `analysis/compare_words.py`.
    """
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
    return [text for text in dict.fromkeys(found) if len(re.findall(r"[^\W\d_]{2,}", text)) >= NUM_WORDS]


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
