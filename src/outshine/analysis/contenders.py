"""Which methods of a study meet in a comparison, what they are called, and which one is the baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from outshine.core.errors import SettingsError, UnknownNameError


class Contender(NamedTuple):
    """A method as the tables name it: kind, settings that are not the defaults, round, loss."""

    method: str
    variant: str
    round: int
    loss: str

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Contender:
        """The contender that a row of `scores` or `pgr` is about."""
        return cls(str(row["method"]), str(row["variant"]), int(row["round"]), str(row["loss"]))

    @property
    def words(self) -> list[str]:
        """Everything that tells it apart: `strong_to_strong logconf alpha=.3 round 2`."""
        number = f"round {self.round}" if self.round else ""
        return " ".join([self.method, self.loss, self.variant, number]).replace(",", " ").split()


def contenders(students: Iterable[Mapping[Any, Any]]) -> dict[Contender, Contender]:
    """The methods in rows of students' scores, in order; each with itself, or with the earlier one that it doubles.

    Round 0 of strong-to-strong training, for instance, is the vanilla student: the same stages with the same keys.
    A contender is such a double where all its keys are among those of one that came before it.
    """
    keys: dict[Contender, set[str]] = {}
    for row in students:
        keys.setdefault(Contender.of(row), set()).add(row["key"])
    found: dict[Contender, Contender] = {}
    for one, own in keys.items():
        earlier = [first for name, first in found.items() if name == first]
        found[one] = next((first for first in earlier if own <= keys[first]), one)
    return found


def method_word(method: str, variant: str) -> str:
    """The method's name, or nothing where the variant says it (`probe=knn` of method `probe`)."""
    return "" if f"{method}=" in variant else method


def labels(several: Sequence[Contender]) -> dict[Contender, str]:
    """Short names that still tell them apart: what all have in common is left out (`xent`, `logconf alpha=.3`)."""
    many_methods = len({one.method for one in several}) > 1
    many_losses = len({one.loss for one in several}) > 1
    named = {}
    for one in several:
        method = method_word(one.method, one.variant) if many_methods else ""
        loss = one.loss if many_losses or not many_methods else ""
        number = f"round {one.round}" if one.round else ""
        named[one] = " ".join(part for part in (method, loss, one.variant, number) if part) or one.method
    return named


def find_baseline(wanted: str, known: dict[Contender, Contender], named: dict[Contender, str]) -> Contender:
    """The contender that `wanted` names: a label, or words such as `xent` or `filtered xent round 1`.

    Of several that have all these words, the one with the fewest others; of those, the vanilla method. `known` as
    `contenders` finds them, doubles included; `named`: the labels of those that are none.
    Raises UnknownNameError where none has these words, SettingsError where several are left.
    """
    words = set(wanted.replace(",", " ").split())
    exact = [one for one, label in named.items() if label == wanted]
    candidates = exact or [one for one in known if words and words <= set(one.words)]
    if not candidates:
        raise UnknownNameError("baseline", wanted, named.values())
    fewest = min(len(one.words) for one in candidates)
    plainest = [one for one in candidates if len(one.words) == fewest]
    vanilla = [one for one in plainest if one.method == "vanilla"]
    chosen = list(dict.fromkeys(known[one] for one in (vanilla if len(vanilla) == 1 else plainest)))
    if len(chosen) > 1:
        names = " or ".join(named[one] for one in chosen)
        raise SettingsError(f"baseline '{wanted}' could be {names}; name one of them")
    return chosen[0]
