"""Modules, classes and functions are named in the words of the field and of the trade, none in words of this project's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import outshine

SOURCE = Path(outshine.__file__).parent

WORDS = frozenset(
    [
        "alike",
        "bury",
        "chapter",
        "cheap",
        "closeup",
        "company",
        "crew",
        "dealing",
        "heap",
        "herald",
        "hire",
        "lanes",
        "leads",
        "litter",
        "parcel",
        "plate",
        "plates",
        "pupil",
        "removal",
        "restoring",
        "sheet",
        "sheets",
        "shelf",
        "shelves",
        "shelving",
        "skeleton",
        "standing",
        "storing",
        "sweep",
        "team",
        "telling",
        "tidying",
        "trainee",
        "travelling",
        "trial",
        "unneeded",
        "untrusted",
        "warm",
        "wish",
    ]
)
"""Words that once named things here for which there are usual ones: workers, tables, figures, weak labels, caches …"""

ALLOWED = {
    ("report/figures/sweeps.py", "probe_sweep"): "a sweep of a hyper-parameter, as the field calls it",
    ("report/figures/sweeps.py", "_sweep"): "a sweep of a hyper-parameter, as the field calls it",
}


def words_of(name: str) -> set[str]:
    """The words of a name in snake_case or CamelCase, in small letters."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return {part.lower() for part in parts}


def names_in(path: str, text: str) -> Iterator[str]:
    """The name of a module and those of its packages, classes and functions, private ones among them."""
    yield from path.removesuffix(".py").split("/")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def modules() -> dict[str, str]:
    return {path.relative_to(SOURCE).as_posix(): path.read_text("utf-8") for path in sorted(SOURCE.rglob("*.py"))}


def test_no_module_class_or_function_is_named_in_private_words() -> None:
    found = [
        f"{path}: {name}"
        for path, text in modules().items()
        for name in names_in(path, text)
        if words_of(name) & WORDS and (path, name) not in ALLOWED
    ]
    assert found == []


def test_what_is_allowed_is_there() -> None:
    texts = modules()
    assert [entry for entry in ALLOWED if entry[1] not in names_in(entry[0], texts.get(entry[0], ""))] == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("engine/crew.py", ""),
        ("shelf/store.py", ""),
        ("a.py", "class RayCrew:\n    pass"),
        ("a.py", "class A:\n    def read_cheap(self):\n        pass"),
        ("a.py", "def f():\n    async def _hire():\n        pass"),
        ("a.py", "class HTTPSheets2:\n    pass"),
    ],
)
def test_names_in_private_words_are_found(path: str, text: str) -> None:
    assert any(words_of(name) & WORDS for name in names_in(path, text))


def test_words_within_words_are_not_meant() -> None:
    assert not words_of("spreadsheet_warmup_updates") & WORDS
    assert not words_of("Trials_platelet") & WORDS
