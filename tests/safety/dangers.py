"""What a source must not hold: calls and imports that run what a file says. Found in the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

PICKLES = {"pickle", "cPickle", "_pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle", "jsonpickle"}
RUNS = {"eval", "exec", "compile", "__import__"}
READS_PICKLES = {
    ("torch", "load"),
    ("torch", "save"),
    ("pd", "read_pickle"),
    ("pandas", "read_pickle"),
    ("os", "system"),
    ("os", "popen"),
    ("yaml", "unsafe_load"),
    ("yaml", "full_load"),
    ("yaml", "unsafe_load_all"),
    ("yaml", "full_load_all"),
}
SAFE_LOADERS = {"SafeLoader", "CSafeLoader", "BaseLoader"}


class Danger(NamedTuple):
    """A line, and what is wrong with it."""

    line: int
    what: str


def dangers(source: str) -> list[Danger]:
    """Everything in a module that could run code from a file, in the order of the lines."""
    return sorted(found for node in ast.walk(ast.parse(source)) for found in _of(node))


def _of(node: ast.AST) -> Iterator[Danger]:
    if isinstance(node, ast.Import):
        yield from (
            Danger(node.lineno, f"import {one.name}") for one in node.names if one.name.split(".")[0] in PICKLES
        )
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        if module.split(".")[0] in PICKLES:
            yield Danger(node.lineno, f"from {module} import")
        for one in node.names:
            if (module, one.name) in READS_PICKLES or one.name in ("to_pickle", "read_pickle"):
                yield Danger(node.lineno, f"from {module} import {one.name}")
    elif isinstance(node, ast.Call):
        yield from _of_call(node)


def _of_call(node: ast.Call) -> Iterator[Danger]:
    given = {one.arg: one.value for one in node.keywords}
    if isinstance(node.func, ast.Name) and node.func.id in RUNS:
        yield Danger(node.lineno, f"{node.func.id}()")
    if not isinstance(node.func, ast.Attribute):
        name, owner = getattr(node.func, "id", ""), ""
    else:
        name, owner = node.func.attr, getattr(node.func.value, "id", "")
    if (owner, name) in READS_PICKLES or name in ("read_pickle", "to_pickle"):
        yield Danger(node.lineno, f"{owner}.{name}()")
    if owner == "builtins" and name in RUNS:
        yield Danger(node.lineno, f"builtins.{name}()")
    if owner == "importlib" and name == "import_module" and node.args and _text(node.args[0]) in PICKLES:
        yield Danger(node.lineno, f"import of {_text(node.args[0])}")
    if (
        owner == "yaml"
        and name in ("load", "load_all")
        and _last_name(given.get("Loader", _second(node))) not in SAFE_LOADERS
    ):
        yield Danger(node.lineno, "yaml.load() without SafeLoader")
    if _is_true(given.get("allow_pickle")):
        yield Danger(node.lineno, f"{name}(allow_pickle=True)")
    if _is_true(given.get("trust_remote_code")):
        yield Danger(node.lineno, f"{name}(trust_remote_code=True)")
    if _is_true(given.get("shell")):
        yield Danger(node.lineno, f"{name}(shell=True)")


def _is_true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


def _text(value: ast.expr) -> str:
    return value.value.split(".")[0] if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def _second(node: ast.Call) -> ast.expr | None:
    return node.args[1] if len(node.args) > 1 else None


def _last_name(value: ast.expr | None) -> str:
    return getattr(value, "attr", getattr(value, "id", ""))
