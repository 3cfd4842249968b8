"""The identity of a method among others: all of its settings, to the last bit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from outshine.engine.errors import OutshineError
from outshine.engine.key import canonical, sha256
from outshine.engine.settings import Plugin, Settings
from outshine.learn.losses.base import Loss, losses
from outshine.w2s.methods.base import Method, methods

_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b")
_PLAIN = re.compile(r"[\w./:@-]+")  # texts that can stand in a list of settings as they are


class MethodIdentity(NamedTuple):
    """The identity of a method: what tells it from every other one.

    `settings`: JSON of all its settings, defaults included, as a study file would have them under `methods`; the loss
    is that of its students, null for a method that trains none. `method_id`: the first 16 hex digits of the sha256 of
    that text. `words`: for people, what differs from the defaults: `probe=knn, layer=3/4, loss.alpha=.3`.
    """

    method_id: str
    settings: str
    words: str


def identify(method: Method, loss: Loss | None) -> MethodIdentity:
    """The identity of a method whose students are trained with `loss` (None: it trains none).

    Two methods have one `method_id` where all of their settings are equal, to the last bit. Raises TypeError for a
    setting that has no canonical form (see `outshine.engine.key.canonical`).
    """
    form = {**canonical(method)}
    if loss is not None and method.loss in (None, loss):
        form["loss"] = canonical(loss)
    elif loss is not None:  # its students have a loss of their own beside the one that the user chose
        form["students_loss"] = canonical(loss)
    settings = json.dumps(form, sort_keys=True, separators=(",", ":"))
    of_loss = changed(loss) if loss is not None else {}
    words = {**changed(method, leave_out=("loss",)), **{f"loss.{name}": text for name, text in of_loss.items()}}
    return MethodIdentity(sha256(settings)[:16], settings, ", ".join(f"{name}={text}" for name, text in words.items()))


def changed(settings: Settings, leave_out: tuple[str, ...] = ()) -> dict[str, str]:
    """The settings of a method, loss, probe, filter or model that differ from their defaults, by name, in words.

    A plugin among them is always there; it is written as its name with its own settings in brackets.
    """
    words = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        default = value == field.get_default(call_default_factory=True)
        if name not in leave_out and (isinstance(value, Plugin) or not default):
            words[name] = _words(value)
    return words


class ParsedMethod(NamedTuple):
    """The method and the loss that a `settings` text describes, as far as they are known here.

    `method`, `loss`: None where no such plugin is installed, or where it has other settings today. `raw`: the settings.
    """

    method: Method | None
    loss: Loss | None
    raw: Mapping[str, Any]


@lru_cache(maxsize=1024)
def described(settings: str) -> ParsedMethod:
    """What a `settings` text describes. Nothing is raised: an empty or foreign text describes nothing that is known."""
    try:
        raw = json.loads(settings) if settings else {}
    except ValueError:
        raw = {}
    if not isinstance(raw, dict):
        raw = {}
    own = {name: value for name, value in _plain(raw).items() if name not in ("loss", "students_loss")}
    loss = _plain(raw.get("students_loss") or raw.get("loss"))
    return ParsedMethod(_parsed(methods.parse, own), _parsed(losses.parse, loss), raw)


def _words(value: Any) -> str:
    """A setting in words; different values never have the same."""
    if isinstance(value, Settings):  # a plugin, or a model that has no kind: `(model=tiny/middle, num_layers=1)`
        inner = ", ".join(f"{name}={text}" for name, text in changed(value).items())
        kind = getattr(value, "kind", "")
        return f"{kind}({inner})" if inner else kind
    if isinstance(value, float):
        text = repr(value).removesuffix(".0")
        return text[1:] if text.startswith("0.") else text
    if isinstance(value, str):
        value = _DIGEST.sub(r"\1", value)  # of a pinned model: 12 digits tell as much as 64
        return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple | dict):
        return json.dumps(canonical(value), ensure_ascii=False)
    return str(value)


def _plain(form: Any) -> Any:
    """A canonical form without the versions of plugins: what a study file may hold."""
    if isinstance(form, dict):
        return {name: _plain(value) for name, value in form.items() if name != "plugin_version"}
    return [_plain(value) for value in form] if isinstance(form, list) else form


def _parsed(parse: Any, form: Any) -> Any:
    try:
        return parse(form) if form else None
    except (OutshineError, ValueError, TypeError):
        return None


def method_word(method: str, variant: str) -> str:
    """The method's name, or nothing where the variant says it (`probe=knn` of method `probe`)."""
    return "" if f"{method}=" in variant else method
