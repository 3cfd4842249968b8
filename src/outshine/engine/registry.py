"""Registries of plug-ins: names that users type, each bound to one class. Other packages add theirs by entry points."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from outshine.engine.errors import OutshineError, SettingsError, UnknownNameError
from outshine.engine.settings import Plugin, explain

P = TypeVar("P", bound=Plugin)
C = TypeVar("C", bound=type[Plugin])


class Registry(Generic[P]):
    """The plug-ins of one sort: losses, recipes, methods and so on, by the names that users type.

    Built-in plug-ins are the modules of `package`, or in the one module that it is. Those of other distributions are
    the entry points of the group `outshine.<plural>`, each naming a class (or a module that registers some when
    imported). Both are imported at the first look-up, never at import time.

    Args:
        noun: What one of them is called in messages.
        plural: What several are called; the name of the entry-point group.
        base: The class that they must derive from.
        package: The package whose modules register the built-in ones, or a module that does.
    """

    def __init__(self, noun: str, plural: str, base: type[P], package: str) -> None:
        self.noun = noun
        self.plural = plural
        self._base = base
        self._package = package
        self._classes: dict[str, type[P]] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[C], C]:
        """Make a class decorator that binds a name to the class and makes it the class's `kind`.

        Args:
            name: What users type.

        Returns:
            The decorator. It raises OutshineError where another class has the name.
        """

        def bind(cls: C) -> C:
            if not issubclass(cls, self._base):
                raise TypeError(f"{cls.__name__} is no {self._base.__name__}")
            other = self._classes.get(name)
            if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
                raise OutshineError(f"two {self.plural} are called '{name}': {other.__module__} and {cls.__module__}")
            cls.kind = name
            self._classes[name] = cls
            return cls

        return bind

    def names(self) -> list[str]:
        """List the registered names.

        Returns:
            The names in alphabetical order.
        """
        self._load()
        return sorted(self._classes)

    def get(self, name: str) -> type[P]:
        """Look up a class by its name.

        Args:
            name: What users type.

        Returns:
            The class.

        Raises:
            UnknownNameError: There is no such name; the nearest known one is offered.
        """
        self._load()
        if name not in self._classes:
            raise UnknownNameError(self.noun, name, self._classes)
        return self._classes[name]

    def __iter__(self) -> Iterator[tuple[str, type[P]]]:
        return ((name, self.get(name)) for name in self.names())

    def parse(self, value: Any) -> P:
        """Make a plug-in of what a study may write for it.

        Args:
            value: An instance, its name, or `{kind: name, **settings}`.

        Returns:
            The instance.

        Raises:
            SettingsError: The value is none of these, or a setting is unknown or of a wrong value.
            UnknownNameError: There is no such name; the nearest known one is offered.
        """
        if isinstance(value, self._base):
            return value
        name, settings = value, {}
        if isinstance(value, dict):
            name, settings = value.get("kind"), {key: setting for key, setting in value.items() if key != "kind"}
        if not isinstance(name, str):
            known = ", ".join(self.names())
            raise SettingsError(f"{value!r} is no {self.noun}; write its name or {{kind: name, ...}}; known: {known}")
        cls = self.get(name)
        try:
            return cls(**settings)
        except ValidationError as error:
            raise explain(error, f"{self.noun} '{name}'", known=cls.model_fields) from None

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
            importlib.import_module(f"{self._package}.{module.name}")
        for entry in entry_points(group=f"outshine.{self.plural}"):
            try:
                plugin = entry.load()
            except Exception as error:  # a stranger's package must not take the command down without a name
                raise OutshineError(
                    f"the {self.noun} '{entry.name}' of an installed package cannot be loaded: {error}"
                ) from error
            if isinstance(plugin, type) and self._classes.get(entry.name) is not plugin:
                if not issubclass(plugin, self._base):
                    sort = self._base.__name__
                    raise OutshineError(f"the {self.noun} '{entry.name}' of an installed package is no {sort}")
                self.register(entry.name)(plugin)
