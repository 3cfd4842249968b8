"""Docstrings in Google style, taken apart and held against what they document."""

from __future__ import annotations

import builtins
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

import pydantic

import outshine.engine.errors

SECTIONS = ("Args", "Attributes", "Example", "Raises", "Returns")
NO_VERBS = {"A", "An", "How", "It", "One", "Some", "That", "The", "These", "This", "What", "Where", "Whether", "Which"}


def public_members(cls: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that a class has of this package, each as the class defines it last."""
    seen: set[str] = set()
    for one in cls.__mro__:
        if not one.__module__.startswith("outshine") and one is not cls:
            continue
        for name, member in vars(one).items():
            wanted = inspect.isfunction(member) or isinstance(
                member, classmethod | staticmethod | property | cached_property
            )
            if wanted and name not in seen and (not name.startswith("_") or name == "__call__"):
                seen.add(name)
                yield name, member


def faults_of_class(cls: type) -> list[str]:
    """What is wrong with the docstrings of a class and of its public methods and properties."""
    faults = _faults_of_text(cls.__name__, cls.__doc__, cls.__module__)
    if not faults:
        found = parse(cls.__doc__ or "")
        told, held = set(found.get("Attributes", {})), attributes(cls)
        if held - told:
            faults.append(f"{cls.__name__}: the attributes {sorted(held - told)} are not explained")
        generated = is_dataclass(cls) or getattr(cls, "_is_protocol", False) or issubclass(cls, pydantic.BaseModel)
        if "__init__" in vars(cls) and not generated:
            faults += _faults_of_args(cls.__name__, found, inspect.signature(cls.__init__))
    for name, member in public_members(cls):
        faults += faults_of(f"{cls.__name__}.{name}", member)
    return faults


def attributes(cls: type) -> set[str]:
    """The fields that a class must explain: of a named tuple or dataclass all, of settings the class's own variables.

    Fields of settings that have a description explain themselves; so do those whose type is a class of settings.
    """
    if hasattr(cls, "_fields"):
        return set(cls._fields)  # pyright: ignore[reportAttributeAccessIssue]
    if is_dataclass(cls):
        return {field.name for field in fields(cls) if not field.name.startswith("_")}
    if issubclass(cls, pydantic.BaseModel):
        own = inspect.get_annotations(cls)
        unexplained = {
            name
            for name, field in cls.model_fields.items()
            if name in own and not (field.description or _is_settings(field.annotation))
        }
        return unexplained | {name for name, hint in own.items() if "ClassVar" in str(hint) and name != "kind"}
    return set()


def _is_settings(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel) and bool(annotation.__doc__)


def faults_of(name: str, member: Any) -> list[str]:
    """What is wrong with the docstring of a function, method or property."""
    if isinstance(member, property | cached_property):
        inner = member.fget if isinstance(member, property) else member.func
        return _faults_of_text(name, inspect.getdoc(inner), inner.__module__)
    function: Callable[..., Any] = (
        member.__func__ if isinstance(member, classmethod | staticmethod) else inspect.unwrap(member)
    )
    text = inspect.getdoc(function)
    faults = _faults_of_text(name, text, function.__module__)
    if faults:
        return faults
    found = parse(text or "")
    first = (text or "").split()[0]
    if first in NO_VERBS or not re.fullmatch(r"[A-Z][a-z-]+", first):
        faults.append(f"{name}: the first line begins with '{first}', not with a verb: what the function does")
    faults += _faults_of_args(name, found, inspect.signature(function))
    returns = function.__annotations__.get("return")
    if (returns not in (None, "None")) != ("Returns" in found):
        faults.append(f"{name}: the section Returns is missing, or explains that nothing is returned")
    return faults


def _faults_of_args(name: str, found: dict[str, dict[str, str]], signature: inspect.Signature) -> list[str]:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    wanted = [
        stars.get(one.kind, "") + one.name for one in signature.parameters.values() if one.name not in ("self", "cls")
    ]
    told = list(found.get("Args", {}))
    return [] if told == wanted else [f"{name}: Args explains {told}, the parameters are {wanted}"]


def _faults_of_text(name: str, text: str | None, module: str) -> list[str]:
    if not text or not text.strip():
        return [f"{name}: no docstring"]
    first, *rest = inspect.cleandoc(text).splitlines()
    faults = []
    if not first.endswith(".") or (not first[0].isupper() and not first.startswith("p_")):
        faults.append(f"{name}: the first line is no sentence: {first!r}")
    if rest and rest[0]:
        faults.append(f"{name}: the first line runs on into the second")
    try:
        found = parse(text)
    except ValueError as error:
        return [*faults, f"{name}: {error}"]
    faults += [f"{name}: {error} is no exception" for error in found.get("Raises", {}) if not _is_error(error, module)]
    faults += [f"{name}: '{one}' is explained by nothing" for part in found.values() for one in part if not part[one]]
    return faults


def _is_error(name: str, module: str) -> bool:
    places: tuple[Any, ...] = (sys.modules[module], outshine.engine.errors, builtins, pydantic)
    found = next((getattr(place, name) for place in places if hasattr(place, name)), None)
    if found is None:
        found = {one.__name__: one for one in _errors_of_package(outshine.OutshineError)}.get(name)
    return isinstance(found, type) and issubclass(found, Exception)


def _errors_of_package(error: type[Exception]) -> Iterator[type[Exception]]:
    for one in error.__subclasses__():
        yield one
        yield from _errors_of_package(one)


def parse(text: str) -> dict[str, dict[str, str]]:
    """Section -> name -> explanation; Returns and Example have the one name "". Raises ValueError for what is none."""
    found: dict[str, dict[str, str]] = {}
    section = entry = ""
    for line in inspect.cleandoc(text).splitlines()[1:]:
        named = re.fullmatch(r"([A-Z][a-z]+):", line)
        if named:
            section, entry = named[1], ""
            if section not in SECTIONS or section in found:
                raise ValueError(f"the section {section} is unknown or there twice; known: {', '.join(SECTIONS)}")
            found[section] = {}
        elif not line.strip():
            continue
        elif section and not line.startswith("    "):
            raise ValueError(f"the line {line!r} after the section {section} is not indented")
        elif section in ("Returns", "Example"):
            found[section][""] = found[section].get("", "") + line.strip()
        elif section:
            opened = re.fullmatch(r"    (\*{0,2}\w+):( .*)?", line)
            if opened:
                entry = opened[1]
                found[section][entry] = (opened[2] or "").strip()
            elif not line.startswith("        ") or not entry:
                raise ValueError(f"the line {line!r} of the section {section} names nothing")
            else:
                found[section][entry] += line.strip()
    return found
