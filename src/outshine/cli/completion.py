"""Shell completion of names after TAB, without torch, a network or a plug-in's code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from importlib.resources import files

Complete = Callable[[str], list[str]]


def _of_list(names: Callable[[], Iterable[str]]) -> Complete:
    """Completes the last name of a comma-separated list with those that are not in it yet."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        chosen = set(before.split(","))
        return [f"{before}{comma}{name}" for name in sorted(names()) if name.startswith(last) and name not in chosen]

    return complete


def _plugins(plural: str, *above: str) -> list[str]:
    """The names that the modules of a registry's package register, read and not run, and those of entry points."""
    texts = [
        entry.read_text(encoding="utf-8")
        for entry in files("outshine").joinpath(*above, plural).iterdir()
        if entry.name.endswith(".py")
    ]
    registered = [name for text in texts for name in re.findall(rf'^@{plural}\.register\("([^"]+)"\)', text, re.M)]
    return [*registered, *(entry.name for entry in entry_points(group=f"outshine.{plural}"))]


def _models() -> list[str]:
    from outshine.learn.known_models import KNOWN

    return list(KNOWN)


def _presets() -> list[str]:
    folder = files("outshine").joinpath("w2s", "presets")
    return [entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")]


def _recorded() -> list[str]:
    """Studies that ran in the store, where that is a folder: TAB asks no network."""
    from outshine.engine.errors import OutshineError
    from outshine.engine.store.store import default_store, open_store

    where = default_store()
    if "://" in str(where):
        return []
    try:
        return [str(document.get("name")) for document in open_store(where).documents("studies").all().values()]
    except (OutshineError, OSError):
        return []


def studies(incomplete: str) -> list[str]:
    """Presets and studies that ran."""
    return sorted({name for name in [*_presets(), *_recorded()] if name.startswith(incomplete)})


def recorded(incomplete: str) -> list[str]:
    """Studies that ran."""
    return sorted({name for name in _recorded() if name.startswith(incomplete)})


def executors(incomplete: str) -> list[str]:
    """Who can compute."""
    return [name for name in ("local", "ray") if name.startswith(incomplete)]


datasets = _of_list(lambda: _plugins("recipes", "data"))
losses = _of_list(lambda: _plugins("losses", "learn"))
metrics = _of_list(lambda: _plugins("metrics", "stats"))
models = _of_list(_models)
trackers = _of_list(lambda: ("tensorboard", "trackio", "wandb"))
