"""Which rows of a study's summary go into which figure, and how their series are called.

Every function takes the summary of `outshine.results.results` and returns rows of it with a column `label`, or None
where the study has nothing for that figure. Methods, probes, filters and losses of third parties are called by the
names they are registered under.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from outshine.report.figures.labels import KNOWN_METHODS, loss_labels, series_labels
from outshine.report.figures.style import VANILLA
from outshine.results.names import Contender

if TYPE_CHECKING:
    import pandas as pd


def reference(summary: pd.DataFrame, loss: str = "") -> pd.DataFrame:
    """(a) One row a dataset: the vanilla student with the study's `loss` (empty: the first loss that there is).

    Of several, that with fewest settings. Without a vanilla student the first method.
    """
    base = reference_contender(summary, loss)
    return _labelled(summary, [base], base)


def methods(summary: pd.DataFrame, loss: str = "") -> pd.DataFrame:
    """Every method's rows, called as in the figures, the reference first."""
    base = reference_contender(summary, loss)
    others = [one for one in _contenders(summary) if one != base]
    return _labelled(summary, [base, *others], base)


def rounds(summary: pd.DataFrame, loss: str = "") -> pd.DataFrame | None:
    """(b) Every round of strong-to-strong training after the vanilla student, which is its round 0."""
    later = [one for one in _contenders(summary) if one.method == "strong_to_strong"]
    if not later:
        return None
    base = reference_contender(summary, loss)
    trained = [one.setting("loss") for one in later]
    found = [one for one in _contenders(summary) if _is_vanilla(one) and one.setting("loss") in trained]
    labels = series_labels([*found, *later], base)
    for one in found:
        labels[one] = labels[one].replace("vanilla", "round 0 (vanilla)", 1)
    return _rows(summary, labels)


def losses(summary: pd.DataFrame) -> pd.DataFrame | None:
    """(c) Vanilla students, called by their loss and its settings."""
    found = [one for one in _contenders(summary) if one.method == "vanilla"]
    if not found:
        return None
    return _rows(summary, loss_labels(found))


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
    found = _contenders(summary)
    vanilla = [one for one in found if _is_vanilla(one)]
    wanted = [one for one in vanilla if one.loss == (loss or vanilla[0].loss)] or vanilla or found[:1]
    return min(wanted, key=lambda one: (one.method != "vanilla", len(one.told())))


def _is_vanilla(one: Contender) -> bool:
    return one.method == "vanilla"


def _of_methods(summary: pd.DataFrame, belongs: Callable[[str], bool], loss: str) -> pd.DataFrame | None:
    found = [one for one in _contenders(summary) if belongs(one.method)]
    if not found:
        return None
    base = reference_contender(summary, loss)
    first = [base] if _is_vanilla(base) else []
    return _labelled(summary, [*first, *found], base)


def _labelled(summary: pd.DataFrame, several: list[Contender], base: Contender) -> pd.DataFrame:
    """The rows of `several`, called as `series_labels` does; the reference itself by its own name."""
    labels = series_labels([one for one in several if one != base], base)
    own = VANILLA if _is_vanilla(base) else series_labels([base], base)[base]
    return _rows(summary, {one: own if one == base else labels[one] for one in several})


def _rows(summary: pd.DataFrame, labels: Mapping[Contender, str]) -> pd.DataFrame:
    """The contenders' rows in the order of `labels`; rounds that two variants share are there once."""
    import pandas as pd

    whose = pd.Series([Contender.of(row) for row in summary.to_dict("records")], index=summary.index)
    parts = [summary[whose == one].assign(label=label) for one, label in labels.items()]
    return pd.concat(parts).drop_duplicates(["dataset", "label"], ignore_index=True)
