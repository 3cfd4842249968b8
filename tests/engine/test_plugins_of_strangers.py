"""What packages of other people may do to registries and keys, and what is refused with their name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import ClassVar

import pytest

from outshine.engine import registry as registry_module
from outshine.engine.errors import OutshineError
from outshine.engine.key import canonical, digest
from outshine.engine.registry import Registry
from outshine.engine.settings import Plugin


class Tree(Plugin):
    """Base."""


class Named(Plugin):
    kind = "named"
    x: float = 1.0


class Revised(Named):
    VERSION: ClassVar[int] = 2


@pytest.fixture
def trees(tmp_path, monkeypatch) -> Iterator[Registry[Tree]]:
    (tmp_path / "wood_of_tests").mkdir()
    (tmp_path / "wood_of_tests" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    made = Registry("tree", "trees", Tree, "wood_of_tests")

    @made.register("oak")
    class Oak(Tree):
        height: int = 20

    yield made
    sys.modules.pop("wood_of_tests", None)


def offered(monkeypatch, name: str, found: object) -> None:
    """An installed package whose entry point `name` is `found`."""
    package = ModuleType("package_of_tests")
    package.Found = found  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "package_of_tests", package)
    entry = EntryPoint(name, "package_of_tests:Found", "outshine.trees")
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [entry])


def test_a_name_that_is_taken_is_refused_and_replaces_nothing(trees, monkeypatch):
    """Even by a class of the same name in another module."""

    class Oak(Tree):
        height: int = 1

    Oak.__qualname__ = trees._classes["oak"].__qualname__
    Oak.__module__ = "package_of_tests"
    offered(monkeypatch, "oak", Oak)
    with pytest.raises(OutshineError, match=f"two trees are called 'oak': {__name__} and package_of_tests"):
        trees.names()
    assert trees.parse("oak").height == 20


def test_a_class_of_another_sort_is_refused_with_its_name(trees, monkeypatch):
    offered(monkeypatch, "stone", int)
    with pytest.raises(OutshineError, match="the tree 'stone' of an installed package is no Tree"):
        trees.names()


def test_a_class_that_registers_itself_may_be_an_entry_point_too(trees, monkeypatch):
    @trees.register("elm")
    class Elm(Tree):
        """Registered when its module is imported."""

    offered(monkeypatch, "elm", Elm)
    assert trees.names() == ["elm", "oak"]


def test_the_version_of_a_plugin_moves_its_key_and_the_first_moves_none():
    assert canonical(Named()) == {"kind": "named", "x": 1.0}
    assert canonical(Revised()) == {"kind": "named", "plugin_version": 2, "x": 1.0}
    assert digest(Revised()) != digest(Named())


def test_a_plugin_without_a_name_has_no_key():
    """Two label sources with equal fields would otherwise be taken for one."""
    with pytest.raises(TypeError, match="Tree has no name"):
        canonical(Tree())
