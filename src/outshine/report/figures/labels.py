"""What people call a series: `kNN probe`, `TopoFilter`, `probe to strong, kNN`, `round 1`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from outshine.analysis.contenders import Contender
from outshine.core.settings import Plugin
from outshine.filters.probe_disagreement import ProbeDisagreement
from outshine.methods.filtered import FilteredMethod
from outshine.methods.probe import ProbeMethod
from outshine.methods.probe_to_strong import ProbeToStrong

Settings = dict[str, str]
"""Settings of a variant by name, as text; naming a series takes out those that its name tells."""

_NAMES = {"knn": "kNN", "topofilter": "TopoFilter"}


def series_labels(several: Sequence[Contender], base: Contender) -> dict[Contender, str]:
    """A label for each contender; it names loss and settings only where they are not those of the reference `base`.

    Where that would give two methods one name, all settings are told. Rounds of strong-to-strong training have one
    name whatever the number of rounds that follow: they are the same students.
    """
    shared = split_variant(base.variant)
    labels = {one: _label(one, base.loss, shared if one.loss == base.loss else {}) for one in several}
    if len(set(labels.values())) < len(labels):
        return {one: _label(one, base.loss, {}) for one in several}
    return labels


def loss_label(one: Contender) -> str:
    """A student called by its loss: `logconf, alpha=.3`."""
    return _joined(one.loss, split_variant(one.variant))


def split_variant(variant: str) -> Settings:
    """Settings of a variant as `analysis.variant` writes it: `probe=knn(k=5, metric=cosine), layer=3/4`."""
    parts, depth = [""], 0
    for letter in variant:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    pairs = [part.strip().partition("=") for part in parts if part.strip()]
    return {name: value for name, _, value in pairs}


def _label(one: Contender, usual_loss: str, shared: Settings) -> str:
    settings = {name: value for name, value in split_variant(one.variant).items() if shared.get(name) != value}
    name = KNOWN_METHODS.get(one.method, _plain)(one, settings)
    if one.loss and one.loss != usual_loss:
        name += f", {one.loss}"
    return _joined(name, settings)


def _joined(name: str, settings: Settings) -> str:
    """Name and settings that it does not tell: `kNN probe, k=5, layer=3/4`."""
    told = [f"{key}={value}" if value else key for key, value in settings.items()]
    return ", ".join([name, *told])


def _take(settings: Settings, field: str, owner: type[Plugin]) -> str:
    """Take the plugin in `field` out of the settings, its own settings in its place; returns its kind.

    A variant is silent about a plugin that is the owner's default.
    """
    default: Plugin = owner.model_fields[field].get_default(call_default_factory=True)
    kind, _, inner = settings.pop(field, default.kind).partition("(")
    settings.update(split_variant(inner.removesuffix(")")))
    return kind


def _shown(kind: str) -> str:
    return _NAMES.get(kind, kind.replace("_", " "))


def _probe(_: Contender, settings: Settings) -> str:
    return f"{_shown(_take(settings, 'probe', ProbeMethod))} probe"


def _probe_to_strong(_: Contender, settings: Settings) -> str:
    return f"probe to strong, {_shown(_take(settings, 'probe', ProbeToStrong))}"


def _filtered(_: Contender, settings: Settings) -> str:
    kind = _take(settings, "filter", FilteredMethod)
    if kind == ProbeDisagreement.kind:
        return f"filter by {_shown(_take(settings, 'probe', ProbeDisagreement))} probe"
    return _shown(kind)


def _round(one: Contender, settings: Settings) -> str:
    settings.pop("rounds", None)
    return f"round {one.round}" if one.round else "round 0 (vanilla)"


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
