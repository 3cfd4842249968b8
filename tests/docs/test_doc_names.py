"""Modules, classes, functions and files that the pages name are there, under these names."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from doc_pages import PAGES, ROOT, blocks
from test_doc_links import name, prose

import outshine
from outshine.engine.runtime import Runtime
from outshine.learn.settings import TrainingSettings
from outshine.results.results import Results

SOURCE = ROOT / "src" / "outshine"
ROOMS = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
FORMER = {
    *("analysis", "audit", "core", "execution", "filters", "losses", "methods", "metrics", "models", "probes"),
    *("publishing", "stages", "studies", "tracking", "training", "world"),
}
"""Packages that there were: a page that still names a module of one is out of date."""

ENTRY_POINTS = {
    f"outshine.{plural}" for plural in ("losses", "probes", "filters", "recipes", "tasks", "methods", "metrics")
}
VALUES: dict[str, Any] = {"results": Results, "runtime": Runtime, "training": TrainingSettings}
"""Words that are a value on some pages (`results.pooled`, `training.epochs`), and what its attributes are those of."""

EXAMPLES = {  # files that a reader of CONTRIBUTING.md adds
    "src/outshine/learn/losses/gce.py",
    "src/outshine/learn/probes/mass_mean.py",
    "src/outshine/learn/filters/confident.py",
    "src/outshine/data/recipes/commonsense_qa.py",
    "src/outshine/w2s/methods/committee.py",
    "src/outshine/stats/metrics/brier.py",
}
NEVER = {"utils.py"}  # CONTRIBUTING.md says that there is none
OTHERS_CODE = {"original.md"}  # the page on the post's code, which has modules and classes of its own
FOREIGN = {"AutoModel", "PeftModel"}
DATA = r"\.(csv|html|ipynb|json|jsonl|md|parquet|safetensors|sqlite|tex|txt|yaml|zip)$"

SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?=$|[(\[])")
PATH = re.compile(rf"(?:[\w-]+/)*[\w-]+\.py|(?:src/outshine|{'|'.join(sorted(ROOMS | FORMER))})(?:/\w+)+")
CELL = re.compile(r"^`([\w/]+\.py)`$")
NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)?")


def spans(page: Path) -> list[str]:
    """What stands between backticks on a page, outside of its fenced blocks."""
    return SPAN.findall(prose(page))


@cache
def names_in(path: Path) -> frozenset[str]:
    """What a file defines at its top: `Class`, `Class.method`, `function`, `NAME`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        found |= set(_defined(node))
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{inner}" for part in node.body for inner in _defined(part)}
    return frozenset(found)


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))


@cache
def classes() -> dict[str, list[str]]:
    """The modules in which a class of this name is defined."""
    found: dict[str, list[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                module = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
                found.setdefault(node.name, []).append(module)
    return found


def has(owner: Any, attribute: str) -> bool:
    """Whether a class, or a module, has an attribute; fields without a default count."""
    fields = getattr(owner, "model_fields", {})
    declared = (vars(base).get("__annotations__", {}) for base in getattr(owner, "__mro__", ()))
    return hasattr(owner, attribute) or attribute in fields or any(attribute in one for one in declared)


def is_there(dotted: str) -> bool:
    """Whether `outshine.…` is a module, or what follows the module is in it."""
    found: Any = outshine
    module = "outshine"
    for part in dotted.split(".")[1:]:
        module = f"{module}.{part}"
        if part in {one.name for one in pkgutil.iter_modules(getattr(found, "__path__", ()))}:
            found = importlib.import_module(module)
        elif has(found, part):
            found = getattr(found, part, None)
        else:
            return False
    return True


def fault(span: str) -> str | None:
    """What is wrong with a name or a path between backticks; None: nothing, or it names nothing of ours."""
    if PATH.fullmatch(span):
        return None if span in NEVER | EXAMPLES or path_is_there(span) else "no such file"
    match = DOTTED.match(span)
    if match is None or re.search(DATA, match[0]):
        return None
    dotted = match[0]
    first, rest = dotted.split(".", 1)
    if first == "outshine":
        return None if dotted in ENTRY_POINTS or is_there(dotted) else "not in outshine"
    if first in VALUES and has(VALUES[first], rest.split(".")[0]):
        return None
    if first in ROOMS | FORMER or first in VALUES:
        return None if first in ROOMS and is_there(f"outshine.{dotted}") else "not in outshine"
    if first in classes():
        owners = [getattr(importlib.import_module(module), first) for module in classes()[first]]
        return None if any(has(owner, rest.split(".")[0]) for owner in owners) else f"{first} has no such attribute"
    return f"no class {first}" if re.match(r"[A-Z][a-z]", first) and first not in FOREIGN else None


def path_is_there(path: str) -> bool:
    """Paths are those of the repository or begin in `src/outshine`; a name alone may lie anywhere in it."""
    if "/" in path:
        return (ROOT / path).exists() or (SOURCE / path).exists()
    return any(next((ROOT / folder).rglob(path), None) for folder in ("src", "tests", "website", "benchmarks"))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_a_page_names_is_there(page: Path) -> None:
    if page.name in OTHERS_CODE:
        found = {span: fault(span) for span in spans(page) if span.startswith(("tests/", "src/"))}
    else:
        found = {span: fault(span) for span in spans(page)}
    assert {span: wrong for span, wrong in found.items() if wrong} == {}


def test_indented_drawings_name_stages_that_are_there() -> None:
    """The drawings of stages are no code between backticks: `Keep(…)`, `TruthProbing`."""
    drawn = re.findall(r"^    .*$", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = set(re.findall(r"\b(?:[A-Z][a-z]+)+\b", "\n".join(drawn)))
    assert len(named) > 10
    assert named <= set(classes())


@pytest.mark.parametrize("page", ["architecture.md"])
def test_classes_and_functions_lie_in_the_file_beside_them(page: str) -> None:
    """In a row of a table that names a file, the names in the next cell are defined in that file."""
    checked = 0
    for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        for cell, following in pairwise(cells):
            if match := CELL.match(cell):
                for one in NAME.findall(" ".join(SPAN.findall(following))):
                    assert one in names_in(SOURCE / match[1]), f"{match[1]}: {one}"
                    checked += 1
    assert checked > 40


def test_no_page_speaks_of_a_package_that_there_was() -> None:
    """In code blocks too, which name modules without backticks."""
    former = re.compile(rf"outshine\.({'|'.join(sorted(FORMER))})\b(?!\")")
    for page in PAGES:
        for block in blocks(page, "python", "sh", "bash", "toml", "yaml"):
            assert not former.search(block.text.replace('entry-points."outshine.', "")), block.where


def test_examples_to_be_added_are_not_there_yet() -> None:
    assert [path for path in EXAMPLES if (ROOT / path).exists()] == []


STALE = {
    "core.store": "not in outshine",
    "outshine.losses.Loss": "not in outshine",
    "learn.packing.pack_all": "not in outshine",
    "learn.nowhere": "not in outshine",
    "results.nothing": "not in outshine",
    "training.lanes": "not in outshine",
    "Trainee.forward": "no class Trainee",
    "Stage.company": "Stage has no such attribute",
    "src/outshine/core/stage.py": "no such file",
    "execution/local.py": "no such file",
    "learn/losses/nothing": "no such file",
    "test_nothing_of_the_kind.py": "no such file",
}


@pytest.mark.parametrize("span", STALE)
def test_what_is_not_there_is_found(span: str) -> None:
    assert fault(span) == STALE[span]


@pytest.mark.parametrize(
    "span",
    [
        "learn.packing",
        "outshine.engine.errors",
        "src/outshine/engine/stage.py",
        "engine/store/gc.py",
        "learn/losses",
        "Stage.batch_group_key",
        "Results.scores",
        "outshine.losses",
        "outshine.run(study)",
        "results.tables()",
        "report.html",
        "training.epochs=1",
        "torch.compile",
    ],
)
def test_what_is_there_is_not_found(span: str) -> None:
    assert fault(span) is None
