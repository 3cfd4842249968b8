"""Labels as people write them: 0 and 1, true and false, probabilities, names of classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from outshine.core.errors import DataError

KNOWN_PAIRS = (("no", "yes"), ("n", "y"), ("negative", "positive"), ("neg", "pos"))  # class 0, class 1
_TRUTHS = {"true": 1.0, "false": 0.0}


class CheapLabels(NamedTuple):
    """P(class 1) as the cheap labels have it.

    `p` [n] in [0, 1], NaN where a row has no label. `hard`: all are 0 or 1. `names`: of class 0 and class 1 as the
    file writes them, where it does not write probabilities.
    """

    p: NDArray[np.float64]
    hard: bool
    names: tuple[str, str] | None


def cheap_labels(values: Sequence[Any], where: Sequence[str], column: str, positive: str | None = None) -> CheapLabels:
    """Cheap labels as people write them: 0/1, true/false, probabilities, two class names, or any two values.

    `where`: what each row is called in errors. With `positive` there must be exactly two different values, and that
    one is class 1; without it, names must be one of KNOWN_PAIRS. None, "" and NaN: no label.
    Raises DataError for values that are none of these, and where all rows have the same label, or none has one.
    """
    plain = [_plain(value) for value in values]
    if all(value is None for value in plain):
        raise DataError(f"no row has a cheap label in the column '{column}'")
    if positive is not None:
        found = _by_names(plain, _two_names(plain, column, positive))
    elif any(isinstance(value, str) for value in plain):
        found = _by_names(plain, _known_names(plain, where, column))
    else:
        found = _by_numbers(plain, where, column)
    given = found.p[~np.isnan(found.p)]
    if np.all(given == given[0]):
        raise DataError(
            f"all {len(given)} cheap labels in the column '{column}' are {given[0]:g}: nothing can be learned from them"
        )
    return found


def true_labels(values: Sequence[Any], where: Sequence[str], names: tuple[str, str] | None) -> list[bool]:
    """True labels, written as the cheap ones are (`names`), or as 0/1 or true/false. Raises DataError for others."""
    found = []
    for value, place in zip(values, where, strict=True):
        plain = _plain(value)
        if plain is None:
            raise DataError(f"{place} has no true label; every trusted row needs one")
        text = _text_form(plain)
        pairs = [pair for pair in (names, ("0", "1"), *KNOWN_PAIRS) if pair and text in pair]
        if not pairs:
            told = f", {names[0]} or {names[1]}" if names else ""
            raise DataError(f"the true label of {place} is {value!r}; expected 0/1, true/false{told}")
        found.append(pairs[0].index(text) == 1)
    return found


def labels_alike(values: Sequence[Any], where: Sequence[str], column: str, labels: CheapLabels) -> NDArray[np.float64]:
    """More labels, written as those that are known, as P(class 1) [n]; NaN where there is none. Raises DataError."""
    plain = [_plain(value) for value in values]
    if labels.names:
        names = labels.names
        found = (
            math.nan if one is None else _which(one, names, place) for one, place in zip(plain, where, strict=True)
        )
        return np.array([*found], dtype=np.float64)
    for value, place in zip(plain, where, strict=True):
        if isinstance(value, str):
            raise DataError(f"the cheap label of {place} is {value!r}; the labelled file has probabilities")
    return _by_numbers(plain, where, column).p


def _plain(value: Any) -> float | str | None:
    """A label as a number or a name (in lower case); None: there is none."""
    if isinstance(value, bool | np.bool_):
        return float(value)
    if isinstance(value, int | float):
        return None if math.isnan(value) else float(value)
    if value is None:
        return None
    text = str(value).strip().lower()
    if text in _TRUTHS:
        return _TRUTHS[text]
    try:
        number = float(text)
    except ValueError:
        return text or None
    return None if math.isnan(number) else number


def _text_form(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.17g}"


def _by_numbers(plain: Sequence[Any], where: Sequence[str], column: str) -> CheapLabels:
    p = np.array([math.nan if value is None else value for value in plain])
    bad = np.flatnonzero((p < 0) | (p > 1))
    if bad.size:
        raise DataError(
            f"{column} of {where[bad[0]]} is {p[bad[0]]:g}; expected 0/1, true/false, a probability from 0 to 1 or one "
            "of two class names; with two other numbers say which is class 1 (--positive)"
        )
    given = p[~np.isnan(p)]
    hard = bool(np.all((given == 0) | (given == 1)))
    return CheapLabels(p, hard, ("0", "1") if hard else None)


def _by_names(plain: Sequence[Any], names: tuple[str, str]) -> CheapLabels:
    p = [math.nan if value is None else float(_text_form(value) == names[1]) for value in plain]
    return CheapLabels(np.array(p), True, names)


def _two_names(plain: Sequence[Any], column: str, positive: str) -> tuple[str, str]:
    names = sorted({_text_form(value) for value in plain if value is not None})
    wanted = _plain(positive)
    wanted = None if wanted is None else _text_form(wanted)
    if len(names) != 2 or wanted not in names:
        told = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        raise DataError(
            f"with --positive {positive} the column '{column}' must hold that and one other value; it holds {told}"
        )
    return (names[1], names[0]) if wanted == names[0] else (names[0], names[1])


def _known_names(plain: Sequence[Any], where: Sequence[str], column: str) -> tuple[str, str]:
    numbers = [place for place, value in zip(where, plain, strict=True) if isinstance(value, float)]
    names = sorted({value for value in plain if isinstance(value, str)})
    if numbers:
        text = next(place for place, value in zip(where, plain, strict=True) if isinstance(value, str))
        raise DataError(f"the column '{column}' mixes numbers ({numbers[0]}) and names ({text}); write all alike")
    for pair in KNOWN_PAIRS:
        if set(names) == set(pair):
            return pair
    if len(names) == 2:
        raise DataError(
            f"the cheap labels in the column '{column}' are '{names[0]}' and '{names[1]}'; say which is class 1: "
            f"--positive '{names[1]}'"
        )
    told = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    raise DataError(f"the column '{column}' holds {len(names)} different names ({told}); two classes are expected")


def _which(value: float | str, names: tuple[str, str], where: str) -> float:
    text = _text_form(value)
    if text not in names:
        raise DataError(f"the cheap label of {where} is {text!r}; the labelled file has {names[0]} and {names[1]}")
    return float(names.index(text))
