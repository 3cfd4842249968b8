"""Which rows of a study's summary go into which figure, and how their series are called.

Every function that chooses rows takes the summary of `outshine.results.results` and returns rows of it with a column
`label`, or None where the study has nothing for that figure. Methods, probes, filters and losses of third parties are
called by the names they are registered under.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from outshine.engine.settings import Plugin
from outshine.learn.filters.probe_disagreement import ProbeDisagreement
from outshine.report.figures.style import VANILLA
from outshine.results.names import Contender
from outshine.w2s.method_identity import changed, described

if TYPE_CHECKING:
    import pandas as pd

Settings = dict[str, str]
"""Settings that are not the defaults, by name, as text; naming a series takes out those that its name tells."""

_NAMES = {"knn": "kNN", "topofilter": "TopoFilter"}


def reference(summary: pd.DataFrame, loss: str = "") -> pd.DataFrame:
    """(a) One row a dataset: the vanilla student with the study's `loss` (empty: the first loss that there is).

    Of several, that with fewest settings. Without a vanilla student the first method.
    """
    base = reference_contender(summary, loss)
    return _labelled(summary, [base], base)


def methods(summary: pd.DataFrame, loss: str = "") -> pd.DataFrame:
    """Every method's rows, called as in the figures, the reference first."""
    base = reference_contender(summary, loss)
    others = [contender for contender in _contenders(summary) if contender != base]
    return _labelled(summary, [base, *others], base)


def rounds(summary: pd.DataFrame, loss: str = "") -> pd.DataFrame | None:
    """(b) Every round of strong-to-strong training after the vanilla student, which is its round 0."""
    later = [contender for contender in _contenders(summary) if contender.method == "strong_to_strong"]
    if not later:
        return None
    base = reference_contender(summary, loss)
    trained = [contender.setting("loss") for contender in later]
    vanilla = [
        contender
        for contender in _contenders(summary)
        if _is_vanilla(contender) and contender.setting("loss") in trained
    ]
    labels = series_labels([*vanilla, *later], base)
    for contender in vanilla:
        labels[contender] = labels[contender].replace("vanilla", "round 0 (vanilla)", 1)
    return _rows(summary, labels)


def losses(summary: pd.DataFrame) -> pd.DataFrame | None:
    """(c) Vanilla students, called by their loss and its settings."""
    vanilla = [contender for contender in _contenders(summary) if contender.method == "vanilla"]
    if not vanilla:
        return None
    return _rows(summary, loss_labels(vanilla))


def probes(summary: pd.DataFrame, loss: str = "") -> pd.DataFrame | None:
    """(d) Probes, called `kNN probe`, `logistic probe, layer=3/4`, …, after the vanilla student."""
    return _of_methods(summary, ["probe"].__contains__, loss)


def changed_data(summary: pd.DataFrame, loss: str = "") -> pd.DataFrame | None:
    """(e) Students on filtered rows and on a probe's labels (`TopoFilter`, `probe to strong, kNN`), after vanilla."""
    return _of_methods(summary, ["filtered", "probe_to_strong"].__contains__, loss)


def other_methods(summary: pd.DataFrame, loss: str = "") -> pd.DataFrame | None:
    """Methods that no other figure shows, those of third parties, after the vanilla student."""
    return _of_methods(summary, lambda method: method not in KNOWN_METHODS, loss)


def _contenders(summary: pd.DataFrame) -> list[Contender]:
    return list(dict.fromkeys(Contender.of(row) for row in summary.to_dict("records")))


def reference_contender(summary: pd.DataFrame, loss: str = "") -> Contender:
    """The method that `reference` shows."""
    contenders = _contenders(summary)
    vanilla = [contender for contender in contenders if _is_vanilla(contender)]
    of_loss = [contender for contender in vanilla if contender.loss == (loss or vanilla[0].loss)]
    return min(
        of_loss or vanilla or contenders[:1],
        key=lambda contender: (contender.method != "vanilla", len(contender.told())),
    )


def _is_vanilla(contender: Contender) -> bool:
    return contender.method == "vanilla"


def _of_methods(summary: pd.DataFrame, belongs: Callable[[str], bool], loss: str) -> pd.DataFrame | None:
    contenders = [contender for contender in _contenders(summary) if belongs(contender.method)]
    if not contenders:
        return None
    base = reference_contender(summary, loss)
    first = [base] if _is_vanilla(base) else []
    return _labelled(summary, [*first, *contenders], base)


def _labelled(summary: pd.DataFrame, several: list[Contender], base: Contender) -> pd.DataFrame:
    """The rows of `several`, called as `series_labels` does; the reference itself by its own name."""
    labels = series_labels([contender for contender in several if contender != base], base)
    own = VANILLA if _is_vanilla(base) else series_labels([base], base)[base]
    return _rows(summary, {contender: own if contender == base else labels[contender] for contender in several})


def _rows(summary: pd.DataFrame, labels: Mapping[Contender, str]) -> pd.DataFrame:
    """The contenders' rows in the order of `labels`; rounds that two variants share are there once."""
    import pandas as pd

    whose = pd.Series([Contender.of(row) for row in summary.to_dict("records")], index=summary.index)
    parts = [summary[whose == contender].assign(label=label) for contender, label in labels.items()]
    return pd.concat(parts).drop_duplicates(["dataset", "label"], ignore_index=True)


def series_labels(several: Sequence[Contender], base: Contender) -> dict[Contender, str]:
    """A label for each contender; it names loss and settings only where they are not those of the reference `base`.

    Where that would give two methods one name, all settings are told. Rounds of strong-to-strong training have one
    name whatever the number of rounds that follow: they are the same students.
    """
    shared = base.told()
    named = {
        contender: _label(contender, base.loss, shared if contender.loss == base.loss else {}) for contender in several
    }
    if len(set(named.values())) < len(named):
        named = {contender: _label(contender, base.loss, {}) for contender in several}
    return _distinct(named)


def loss_labels(several: Sequence[Contender]) -> dict[Contender, str]:
    """Students called by their losses: `logconf, alpha=.3`."""
    named = {}
    for contender in several:
        settings = {name.removeprefix("loss."): text for name, text in contender.told().items()}
        named[contender] = _joined(contender.loss, settings)
    return _distinct(named)


def _distinct(named: dict[Contender, str]) -> dict[Contender, str]:
    """Names that tell contenders apart; the rounds of one training that two numbers of rounds share keep one name."""
    first: dict[str, Contender] = {}
    for contender, name in named.items():
        first.setdefault(name, contender)
    return {
        contender: name if _same_students(contender, first[name]) else f"{name} #{contender.method_id[:6]}"
        for contender, name in named.items()
    }


def _same_students(contender: Contender, other: Contender) -> bool:
    """Whether two contenders are one method, or one round of methods that differ in the number of rounds alone."""
    if (contender.method, contender.round) != ("strong_to_strong", other.round):
        return contender == other
    mine, its = ({**described(each.settings).raw, "rounds": None} for each in (contender, other))
    return mine == its


def _label(contender: Contender, usual_loss: str, shared: Settings) -> str:
    settings = {name: value for name, value in contender.told().items() if shared.get(name) != value}
    name = KNOWN_METHODS.get(contender.method, _plain)(contender, settings)
    if contender.loss and contender.loss != usual_loss:
        name += f", {contender.loss}"
    return _joined(name, settings)


def _joined(name: str, settings: Settings) -> str:
    """Name and settings that it does not tell: `kNN probe, k=5, layer=3/4`."""
    words = [f"{key}={value}" if value else key for key, value in settings.items()]
    return ", ".join([name, *words])


def _take(contender: Contender, settings: Settings, field: str) -> str:
    """Take the plugin in `field` out of the settings, its own settings in its place; returns its kind."""
    known = described(contender.settings)
    return _unfold(getattr(known.method, field, None) or known.raw.get(field), settings, field)


def _unfold(plugin: Any, settings: Settings, field: str) -> str:
    """The same; `plugin`: an object, or the settings of one that is not installed here."""
    word = settings.pop(field, "")
    if isinstance(plugin, Plugin):
        kind, own = plugin.kind, changed(plugin)
    elif isinstance(plugin, dict):
        kind, own = str(plugin.get("kind")), {key: json.dumps(value) for key, value in plugin.items() if key != "kind"}
    else:
        return word
    for name, value in own.items():
        settings[name if name not in settings else f"{field}.{name}"] = value
    return kind


def _shown(kind: str) -> str:
    return _NAMES.get(kind, kind.replace("_", " "))


def _probe(contender: Contender, settings: Settings) -> str:
    return f"{_shown(_take(contender, settings, 'probe'))} probe"


def _probe_to_strong(contender: Contender, settings: Settings) -> str:
    return f"probe to strong, {_shown(_take(contender, settings, 'probe'))}"


def _filtered(contender: Contender, settings: Settings) -> str:
    kind = _take(contender, settings, "filter")
    if kind == ProbeDisagreement.kind:
        method = described(contender.settings).method
        inner = getattr(getattr(method, "filter", None), "probe", None)
        return f"filter by {_shown(_unfold(inner, settings, 'probe'))} probe"
    return _shown(kind)


def _round(contender: Contender, settings: Settings) -> str:
    settings.pop("rounds", None)
    return f"round {contender.round}"


def _vanilla(_: Contender, settings: Settings) -> str:
    return "vanilla"


def _plain(contender: Contender, settings: Settings) -> str:
    return _shown(contender.method) + (f", round {contender.round}" if contender.round else "")


KNOWN_METHODS: dict[str, Callable[[Contender, Settings], str]] = {
    "vanilla": _vanilla,
    "strong_to_strong": _round,
    "probe": _probe,
    "probe_to_strong": _probe_to_strong,
    "filtered": _filtered,
}
"""The toolkit's own methods, each with what names its series."""
