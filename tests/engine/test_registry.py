"""Registries: names, suggestions, what studies may write, entry points."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint

import pytest
from pydantic import PositiveInt

from outshine.engine import registry as registry_module
from outshine.engine.errors import OutshineError, SettingsError, UnknownNameError
from outshine.engine.registry import Registry
from outshine.engine.settings import Plugin


class Animal(Plugin):
    """Base."""


@pytest.fixture
def animals(tmp_path, monkeypatch) -> Registry[Animal]:
    (tmp_path / "zoo_of_tests").mkdir()
    (tmp_path / "zoo_of_tests" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    made = Registry("animal", "animals", Animal, "zoo_of_tests")

    @made.register("cat")
    class Cat(Animal):
        lives: PositiveInt = 9

    yield made
    sys.modules.pop("zoo_of_tests", None)


def test_parse_takes_a_name_a_mapping_or_an_instance(animals):
    cat = animals.parse("cat")
    assert cat.kind == "cat"
    assert animals.parse({"kind": "cat", "lives": 3}).lives == 3
    assert animals.parse(cat) is cat
    assert animals.parse(cat.model_dump()) == cat


def test_an_unknown_name_suggests_the_nearest(animals):
    with pytest.raises(UnknownNameError, match=re.escape("unknown animal 'catt'; did you mean 'cat'? known: cat")):
        animals.parse("catt")


def test_a_misspelt_setting_is_one_line_with_a_suggestion(animals):
    with pytest.raises(SettingsError, match="unknown setting 'live'; did you mean 'lives'"):
        animals.parse({"kind": "cat", "live": 3})
    with pytest.raises(SettingsError, match="'lives': Input should be greater than 0 \\(given: -1\\)"):
        animals.parse({"kind": "cat", "lives": -1})


@pytest.mark.parametrize("value", [3, None, {"lives": 3}, ["cat"]])
def test_what_is_no_plugin_is_refused(animals, value):
    with pytest.raises(SettingsError, match="is no animal"):
        animals.parse(value)


def test_two_of_one_name_are_refused(animals):
    class Lion(Animal):
        """Another."""

    with pytest.raises(OutshineError, match="two animals are called 'cat'"):
        animals.register("cat")(Lion)


def test_a_class_of_another_sort_is_refused(animals):
    with pytest.raises(TypeError):
        animals.register("stone")(int)


def test_entry_points_of_other_packages_are_found(animals, tmp_path, monkeypatch):
    (tmp_path / "stranger_of_tests.py").write_text(
        "from outshine.engine.settings import Plugin\n"
        "import test_registry\n"
        "class Dog(test_registry.Animal):\n    bark: str = 'wuff'\n"
    )
    monkeypatch.setitem(sys.modules, "test_registry", sys.modules[__name__])
    entry = EntryPoint("dog", "stranger_of_tests:Dog", "outshine.animals")
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [entry] if group == "outshine.animals" else [])
    assert animals.names() == ["cat", "dog"]
    assert animals.parse("dog").bark == "wuff"
    assert animals.parse("dog").kind == "dog"


def test_a_broken_entry_point_names_itself(animals, monkeypatch):
    entry = EntryPoint("dog", "no_such_module_at_all:Dog", "outshine.animals")
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [entry])
    with pytest.raises(OutshineError, match="the animal 'dog' of an installed package cannot be loaded"):
        animals.names()
