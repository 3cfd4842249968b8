"""Labels of series in figures: `kNN probe`, `TopoFilter`, `probe to strong, kNN`, `round 1`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from outshine.engine.settings import Plugin
from outshine.learn.filters.probe_disagreement import ProbeDisagreement
from outshine.results.names import Contender
from outshine.w2s.method_identity import changed, described

Settings = dict[str, str]
"""Settings that are not the defaults, by name, as text; naming a series takes out those that its name tells."""

_NAMES = {"knn": "kNN", "topofilter": "TopoFilter"}


def series_labels(several: Sequence[Contender], base: Contender) -> dict[Contender, str]:
    """A label for each contender; it names loss and settings only where they are not those of the reference `base`.

    Where that would give two methods one name, all settings are told. Rounds of strong-to-strong training have one
    name whatever the number of rounds that follow: they are the same students.
    """
    shared = base.told()
    named = {one: _label(one, base.loss, shared if one.loss == base.loss else {}) for one in several}
    if len(set(named.values())) < len(named):
        named = {one: _label(one, base.loss, {}) for one in several}
    return _distinct(named)


def loss_labels(several: Sequence[Contender]) -> dict[Contender, str]:
    """Students called by their losses: `logconf, alpha=.3`."""
    named = {}
    for one in several:
        told = {name.removeprefix("loss."): text for name, text in one.told().items()}
        named[one] = _joined(one.loss, told)
    return _distinct(named)


def _distinct(named: dict[Contender, str]) -> dict[Contender, str]:
    """Names that tell contenders apart; the rounds of one training that two numbers of rounds share keep one name."""
    first: dict[str, Contender] = {}
    for one, name in named.items():
        first.setdefault(name, one)
    return {
        one: name if _same_students(one, first[name]) else f"{name} #{one.method_id[:6]}" for one, name in named.items()
    }


def _same_students(one: Contender, other: Contender) -> bool:
    """Whether two contenders are one method, or one round of methods that differ in the number of rounds alone."""
    if (one.method, one.round) != ("strong_to_strong", other.round):
        return one == other
    mine, its = ({**described(each.settings).raw, "rounds": None} for each in (one, other))
    return mine == its


def _label(one: Contender, usual_loss: str, shared: Settings) -> str:
    settings = {name: value for name, value in one.told().items() if shared.get(name) != value}
    name = KNOWN_METHODS.get(one.method, _plain)(one, settings)
    if one.loss and one.loss != usual_loss:
        name += f", {one.loss}"
    return _joined(name, settings)


def _joined(name: str, settings: Settings) -> str:
    """Name and settings that it does not tell: `kNN probe, k=5, layer=3/4`."""
    told = [f"{key}={value}" if value else key for key, value in settings.items()]
    return ", ".join([name, *told])


def _take(one: Contender, settings: Settings, field: str) -> str:
    """Take the plugin in `field` out of the settings, its own settings in its place; returns its kind."""
    known = described(one.settings)
    return _unfold(getattr(known.method, field, None) or known.raw.get(field), settings, field)


def _unfold(plugin: Any, settings: Settings, field: str) -> str:
    """The same; `plugin`: an object, or the settings of one that is not installed here."""
    told = settings.pop(field, "")
    if isinstance(plugin, Plugin):
        kind, own = plugin.kind, changed(plugin)
    elif isinstance(plugin, dict):
        kind, own = str(plugin.get("kind")), {key: json.dumps(value) for key, value in plugin.items() if key != "kind"}
    else:
        return told
    for name, value in own.items():
        settings[name if name not in settings else f"{field}.{name}"] = value
    return kind


def _shown(kind: str) -> str:
    return _NAMES.get(kind, kind.replace("_", " "))


def _probe(one: Contender, settings: Settings) -> str:
    return f"{_shown(_take(one, settings, 'probe'))} probe"


def _probe_to_strong(one: Contender, settings: Settings) -> str:
    return f"probe to strong, {_shown(_take(one, settings, 'probe'))}"


def _filtered(one: Contender, settings: Settings) -> str:
    kind = _take(one, settings, "filter")
    if kind == ProbeDisagreement.kind:
        method = described(one.settings).method
        inner = getattr(getattr(method, "filter", None), "probe", None)
        return f"filter by {_shown(_unfold(inner, settings, 'probe'))} probe"
    return _shown(kind)


def _round(one: Contender, settings: Settings) -> str:
    settings.pop("rounds", None)
    return f"round {one.round}"


def _vanilla(_: Contender, settings: Settings) -> str:
    return "vanilla"


def _plain(one: Contender, settings: Settings) -> str:
    return _shown(one.method) + (f", round {one.round}" if one.round else "")


KNOWN_METHODS: dict[str, Callable[[Contender, Settings], str]] = {
    "vanilla": _vanilla,
    "strong_to_strong": _round,
    "probe": _probe,
    "probe_to_strong": _probe_to_strong,
    "filtered": _filtered,
}
"""The toolkit's own methods, each with what names its series."""
