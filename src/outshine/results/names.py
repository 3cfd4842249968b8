"""The columns that name a run, in the order of all tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from outshine.engine.errors import DataError, SettingsError, UnknownNameError

METHOD_COLUMNS = (
    *("study", "dataset", "weak", "strong", "purpose", "method", "variant", "round", "loss"),
    *("method_id", "settings", "data_seed"),
)
"""A method (or one round of it) on a dataset, whatever the training seed."""

IDENTITY_COLUMNS = (*METHOD_COLUMNS, "seed")
"""The same with one training seed: the first columns of `PGR_COLUMNS`."""

NO_METHOD: dict[str, Any] = {
    **dict.fromkeys(("purpose", "method", "variant"), ""),
    "round": 0,
    "loss": "",
    "method_id": "",
    "settings": "",
}
"""What the rows say that no single method has: supervisor and ceiling."""


def require_columns(frame: pd.DataFrame, wanted: Iterable[str], what: str) -> None:
    """Raise DataError where `frame`, called `what` in the message, lacks a column."""
    lacking = [name for name in wanted if name not in frame.columns]
    if lacking:
        raise DataError(
            f"{what} lack the column(s) {', '.join(lacking)}; there are {', '.join(map(str, frame.columns))}"
        )


@dataclass(frozen=True)
class Contender:
    """A method, or one round of it, as the tables name it.

    Two of them are the same where `method_id` and `round` are. The rest is for people: kind, settings that are not the
    defaults, loss; and `settings`, JSON of all settings. In tables without a `method_id` kind, loss and `variant` stand
    for it.
    """

    method: str = field(compare=False)
    variant: str = field(compare=False)
    round: int
    loss: str = field(compare=False)
    method_id: str = ""
    settings: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.method_id:
            object.__setattr__(self, "method_id", repr((self.method, self.variant, self.loss)))

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Contender:
        """Return the contender that a row of any table is about."""
        named = (row.get(name) for name in ("method_id", "settings"))
        method_id, settings = (value if isinstance(value, str) else "" for value in named)  # NaN: a table without them
        method, variant, loss = (str(row[name]) for name in ("method", "variant", "loss"))
        return cls(method, variant, int(row["round"]), loss, method_id, settings)

    def facts(self) -> dict[str, Any]:
        """The columns of a table that name it."""
        names = ("method", "variant", "round", "loss", "method_id", "settings")
        return {name: getattr(self, name) for name in names}

    @property
    def words(self) -> list[str]:
        """Everything that tells it apart: `strong_to_strong logconf loss.alpha=.3 round 2`."""
        number = f"round {self.round}" if self.round else ""
        return " ".join([self.method, self.loss, self.variant, number]).replace(",", " ").split()

    def has(self, words: Iterable[str]) -> bool:
        """Whether all these words are its own; settings of the loss may stand without their owner: `alpha=.3`."""
        own = self.words
        return set(words) <= {*own, *(word.removeprefix("loss.") for word in own)}

    def told(self, leave_out: tuple[str, ...] = ()) -> dict[str, str]:
        """Return the settings of the method and of its loss (`loss.alpha`) that differ from their defaults, in words.

        A plugin's own settings are in brackets behind its name. Of a method that is not installed here all settings
        are told, of a table without settings its words.
        """
        from outshine.w2s.method_identity import changed, described

        known = described(self.settings)
        if not known.raw:
            return {self.variant: ""} if self.variant else {}
        if known.method is None:
            silent = ("kind", "loss", *leave_out)
            return {name: json.dumps(value) for name, value in known.raw.items() if name not in silent}
        settings = changed(known.method, leave_out=("loss", *leave_out))
        return settings | {f"loss.{name}": text for name, text in (changed(known.loss) if known.loss else {}).items()}

    def setting(self, name: str) -> Any:
        """A setting by its name in `settings`, None where it is not told."""
        from outshine.w2s.method_identity import described

        return described(self.settings).raw.get(name)


def contenders(students: Iterable[Mapping[Any, Any]]) -> dict[Contender, Contender]:
    """Return the methods in rows of students' scores, each with itself or with the earlier one that it doubles.

    Round 0 of strong-to-strong training, for instance, is the vanilla student: the same stages with the same keys.
    A contender is such a double where all its keys are among those of one that came before it.
    """
    keys: dict[Contender, set[str]] = {}
    for row in students:
        keys.setdefault(Contender.of(row), set()).add(row["key"])
    firsts: dict[Contender, Contender] = {}
    for contender, own in keys.items():
        earlier = [first for name, first in firsts.items() if name == first]
        firsts[contender] = next((first for first in earlier if own <= keys[first]), contender)
    return firsts


def labels(several: Sequence[Contender]) -> dict[Contender, str]:
    """Give short names that still tell them apart, without what all have in common (`xent`, `logconf loss.alpha=.3`).

    Where two would have one name, as methods of two versions of a package may, the first digits of their ids follow.
    """
    from outshine.w2s.method_identity import method_word

    many_methods = len({contender.method for contender in several}) > 1
    many_losses = len({contender.loss for contender in several}) > 1
    named = {}
    for contender in several:
        method = method_word(contender.method, contender.variant) if many_methods else ""
        loss = contender.loss if many_losses or not many_methods else ""
        number = f"round {contender.round}" if contender.round else ""
        named[contender] = (
            " ".join(part for part in (method, loss, contender.variant, number) if part) or contender.method
        )
    return distinct_names(named)


def distinct_names(named: Mapping[Contender, str]) -> dict[Contender, str]:
    """Append the first six digits of each one's id to names that two contenders share."""
    times = Counter(named.values())
    return {
        contender: name if times[name] == 1 else f"{name} #{contender.method_id[:6]}"
        for contender, name in named.items()
    }


def find_baseline(wanted: str, known: dict[Contender, Contender], named: dict[Contender, str]) -> Contender:
    """Find the contender that `wanted` names by its label, or by words such as `xent` or `filtered xent round 1`.

    Of several that have all these words, the one with the fewest others; of those, the vanilla method. `known` as
    `contenders` finds them, doubles included; `named`: the labels of those that are none.
    Raises UnknownNameError where none has these words, SettingsError where several are left.
    """
    words = set(wanted.replace(",", " ").split())
    exact = [contender for contender, label in named.items() if label == wanted]
    candidates = exact or [contender for contender in known if words and contender.has(words)]
    if not candidates:
        raise UnknownNameError("baseline", wanted, named.values())
    fewest = min(len(contender.words) for contender in candidates)
    plainest = [contender for contender in candidates if len(contender.words) == fewest]
    vanilla = [contender for contender in plainest if contender.method == "vanilla"]
    chosen = list(dict.fromkeys(known[contender] for contender in (vanilla if len(vanilla) == 1 else plainest)))
    if len(chosen) > 1:
        names = " or ".join(named[contender] for contender in chosen)
        raise SettingsError(f"baseline '{wanted}' could be {names}; name one of them")
    return chosen[0]
