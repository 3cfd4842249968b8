"""Readable labels for settings: what distinguishes two methods of one kind."""

from __future__ import annotations

from typing import Any

from outshine.core.settings import Plugin
from outshine.losses.base import Loss
from outshine.methods.base import Method


def variant(method: Method, loss: Loss | None) -> str:
    """What tells a method from others of its kind: `probe=logistic, layer=3/4`, `alpha=.3`; nothing: empty.

    A probe or filter is always named; other settings, the loss's among them, where they are not the defaults.
    """
    return ", ".join([*_told(method, leave_out=("loss",)), *(_told(loss) if loss else [])])


def _told(plugin: Plugin, leave_out: tuple[str, ...] = ()) -> list[str]:
    told = []
    for name, field in type(plugin).model_fields.items():
        value = getattr(plugin, name)
        default = value == field.get_default(call_default_factory=True)
        if name not in leave_out and (isinstance(value, Plugin) or not default):
            told.append(f"{name}={_short(value)}")
    return told


def _short(value: Any) -> str:
    if isinstance(value, float):
        text = f"{value:g}"
        return text[1:] if text.startswith("0.") else text
    if isinstance(value, Plugin):
        inner = ", ".join(_told(value))
        return f"{value.kind}({inner})" if inner else value.kind
    return str(value)
