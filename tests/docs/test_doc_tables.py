"""Generated tables are up to date, and nothing that can be set or named is missing from the pages."""

from __future__ import annotations

from typing import Any

import pytest
from doc_pages import ROOT
from doc_tables import DEFAULTS, GENERATED, SECTIONS, default_text, with_generated

from outshine.data.schema import recipes
from outshine.data.user_datasets import OWN_KINDS
from outshine.engine.registry import Registry
from outshine.engine.settings import Plugin
from outshine.learn.losses import losses
from outshine.w2s.methods import methods


@pytest.mark.parametrize("name", GENERATED)
def test_generated_parts_are_up_to_date(name: str) -> None:
    page, make = GENERATED[name]
    text = (ROOT / page).read_text(encoding="utf-8")
    assert with_generated(text, name, make()) == text, f"{page} is out of date: run python tests/docs/doc_tables.py"


def test_every_setting_of_a_study_is_listed_with_its_default() -> None:
    """Found from `Study` itself, so that a new model of settings cannot be forgotten in the table."""
    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    listed = {model for models in SECTIONS.values() for model in models}
    for prefix, models in SECTIONS.items():
        for model in models:
            for name, field in model.model_fields.items():
                path = f"{prefix}.{name}" if prefix else name
                assert f"| `{path}` | `{DEFAULTS.get(path, default_text(field))}` |" in text, path
                with_fields = {part for part in _models_in(field.annotation) if set(part.model_fields) - {"kind"}}
                assert with_fields <= listed, f"settings in {path} are in no table: {with_fields - listed}"


@pytest.mark.parametrize("registry", [losses, methods], ids=["losses", "methods"])
def test_every_plugin_is_listed_with_the_defaults_of_its_settings(registry: Registry[Any]) -> None:
    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    for name, plugin in registry:
        assert f"| **`{name}`** |" in text
        for field, facts in plugin.model_fields.items():
            path = f"loss.{field}" if registry is losses else field
            assert f"| `{path}` | `{default_text(facts)}` |" in text, path


def test_every_recipe_is_listed() -> None:
    text = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
    for name, cls in recipes:
        if cls.hub is not None:
            assert f"| `{name}` | {cls.hub.repo} `{cls.hub.config}` |" in text
            assert f"**`{name}`**" in text
        elif name not in OWN_KINDS:
            assert f"| `{name}` | {cls.positive_means} |" in text


def test_every_command_and_option_is_mentioned() -> None:
    from doc_commands import commands

    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    for name, command in commands():
        assert name in text
        for option in (option for parameter in command.params for option in parameter.opts):
            common = option in ("--help", "--install-completion", "--show-completion") or not option.startswith("--")
            assert common or option in text, f"{name} {option}"


def _models_in(annotation: Any) -> set[Any]:
    """Models of settings in a type; those of registries have tables of their own."""
    if isinstance(annotation, type):
        return {annotation} if hasattr(annotation, "model_fields") and not issubclass(annotation, Plugin) else set()
    return {model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)}
