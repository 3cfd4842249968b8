"""Parsing of labels as people and language models write them: 0 and 1, yes and no, classes, probabilities."""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from outshine.engine.errors import DataError
from outshine.engine.messages import counted

Token = float | str
"""A label in its plainest form: a number, or a text in small letters without blanks around it."""


def _as_texts(value: Any) -> Any:
    """Numbers of a study file as the texts that an option would have."""
    if isinstance(value, list | tuple):
        return tuple(map(_as_texts, value))
    return text_form(token_of(value)) if isinstance(value, bool | int | float) else value


Spellings = Annotated[str | tuple[str, ...] | None, BeforeValidator(_as_texts)]
"""Values as a user gives them: one, several separated by commas, or a list."""

KNOWN_PAIRS = (("no", "yes"), ("n", "y"), ("negative", "positive"), ("neg", "pos"))
"""Names of class 0 and class 1 that are understood by themselves; so are false and true, which are read as 0 and 1."""

MISSING = frozenset(("n/a", "na", "n.a.", "<na>", "#n/a", "nan", "nat", "null", "none", "-", "?"))
"""Texts that mean, like an empty cell, that a row has no label."""

_TRUTHS = {"false": 0.0, "true": 1.0}
_KNOWN = {name: float(truth) for pair in KNOWN_PAIRS for truth, name in enumerate(pair)} | _TRUTHS
_MARKS = " .!*\"'`"  # what stands around an answer of a language model: **Yes.**
_NUMBER = re.compile(r"[+-]?(?!0\d)(\d+\.?\d*|\.\d+)(e[+-]?\d+)?")  # 007 and 1_2 are names
_BIT = re.compile("0+[01]")  # 00 and 01, where there are two classes
_PERCENT = re.compile(r"([0-9.,]+)\s*%")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")
_WHOLE_BELOW = 1e15  # whole numbers up to which a float is written without a point
MOST_CLASSES = 1000
_MOST_CLASSES = 20  # different values beyond which a column holds no classes
_MOST_SHOWN = 5
_MOST_CHARACTERS = 40


ALL_CLASSES = "all"  # in place of the names of classes: every value of the column is one
_HINT_AT_CLASSES = f"; or that each value is a class of its own: --classes {ALL_CLASSES}"


class Words(NamedTuple):
    """Which values the user calls class 1, class 0, and no label; or which are the classes, where there are several."""

    positive: Spellings = None
    negative: Spellings = None
    missing: Spellings = None
    classes: Spellings = None

    @property
    def name_a_class(self) -> bool:
        """Whether classes are named."""
        return self.positive is not None or self.negative is not None


NO_WORDS = Words()


class WeakLabels(NamedTuple):
    """P(class 1) as the cheap labels have it, or the probabilities of several classes.

    `p` in [0, 1], [n] or [n, K], NaN where a row has no label. `hard`: all are 0 or 1. `names`: of the classes as the
    file writes them most often, where it does not write probabilities. `meaning`: token -> p, of all values in the
    file. `words`: what the user said about them.
    """

    p: NDArray[np.float64]
    hard: bool
    names: tuple[str, ...] | None
    meaning: Mapping[Token, float]
    words: Words = NO_WORDS

    @property
    def turned(self) -> bool:
        """Whether a value means another class here than by itself, as 1 does where 2 is class 1."""
        named = self.meaning.items() if self.words.name_a_class else ()
        return any(p in (0, 1) and known_label(token) == 1 - p for token, p in named)


def parse_weak_labels(values: Sequence[Any], where: Sequence[str], column: str, words: Words = NO_WORDS) -> WeakLabels:
    """Cheap labels: hard ones in any spelling of `known_label`, probabilities, percentages, or what `words` name.

    `where`: what each row is called in errors. None, "", NaN and the words of MISSING: no label.
    Raises DataError for values that are none of these, and where all rows have the same label, or none has one.
    """
    tokens = _tokens_of(values)
    meaning = _meanings(tokens, where, column, words)
    p = _read(tokens, meaning)
    present = p[~np.isnan(p)]
    if not present.size:
        raise DataError(f"no row has a cheap label in the column '{column}'")
    if np.all(present == present[0]):
        raise DataError(
            f"all {len(present)} cheap labels in the column '{column}' are {present[0]:g}: nothing can be learned from "
            f"them{_hint_at_missing(tokens)}"
        )
    hard = bool(np.all((present == 0) | (present == 1)))
    return WeakLabels(p, hard, _names(tokens, meaning) if hard else None, meaning, words)


def class_labels(
    values: Sequence[Any], where: Sequence[str], column: str, words: Words = NO_WORDS
) -> NDArray[np.float64]:
    """True labels of a dataset, 0 or 1 [n], NaN where a row has none; spelled as cheap ones, without probabilities.

    Raises DataError, naming the first offending row, for others.
    """
    tokens = _tokens_of(values)
    meaning = _meanings(tokens, where, column, words, hard=True)
    return _read(tokens, meaning)


def class_numbers(values: Sequence[Any], where: Sequence[str], column: str, words: Words) -> list[int | None]:
    """The number of each row's class among `words.classes`, which must be named; None where a row has no label.

    Case and blanks do not count, nor whether a number is written 1 or 1.0. Raises DataError, naming the first offending
    row, for a value that is no class.
    """
    number_of = _numbers(words.classes)
    tokens = _tokens_of(values)
    present = {token for token in tokens if token is not None}
    missing = set(_tokens(words.missing, present)) | (MISSING - set(number_of))
    for token, place in zip(tokens, where, strict=True):
        if token is not None and token not in number_of and token not in missing:
            near = difflib.get_close_matches(text_form(token), [text_form(known) for known in number_of], n=1)
            hint = f"did you mean {quote(near[0])}? " if near else ""
            raise DataError(
                f"{place} has {quote(token)} in the column '{column}', which is none of the {len(number_of)} classes; "
                f"{hint}add it to --classes, or say that it is no label: --missing {quote(token)}"
            )
    return [None if token is None else number_of.get(token) for token in tokens]


def refuse_absent_classes(values: Sequence[Any], column: str, words: Words) -> None:
    """Raise DataError for a class that is named and that no row has."""
    present = {token for token in _tokens_of(values) if token is not None}
    absent = [token for token in _numbers(words.classes) if token not in present]
    if absent:
        raise DataError(
            f"--classes names {listed(absent)}, which no row has in the column '{column}'; it holds {listed(present)}"
        )


def _numbers(classes: Spellings) -> dict[Token, int]:
    """The number of each class by its plainest form."""
    return {token: number for number, name in enumerate(class_names(classes)) if (token := token_of(name)) is not None}


def class_names(classes: Spellings) -> tuple[str, ...]:
    """The names of classes as a user gives them, by number. Raises DataError for fewer than two, and for one twice."""
    names = tuple(classes.split(",")) if isinstance(classes, str) else tuple(classes or ())
    names = tuple(" ".join(name.split()) for name in names)
    tokens = [token_of(name) for name in names]
    twice = [name for name, token in zip(names, tokens, strict=True) if token is not None and tokens.count(token) > 1]
    if twice:
        raise DataError(f"classes names {listed(set(twice))} twice; upper and lower case are one spelling")
    if None in tokens:
        raise DataError("classes names an empty class; write its name, or leave the rows without a label")
    if len(names) < 2:
        raise DataError(
            f"classes names {len(names)} class; two or more are needed, comma-separated, or {ALL_CLASSES}: every value "
            "of the column"
        )
    if len(names) > MOST_CLASSES:
        raise DataError(f"{len(names):,} classes are more than the {MOST_CLASSES:,} that a head is made for")
    return names


def classes_found(values: Sequence[Any], column: str, words: Words) -> tuple[str, ...]:
    """The different labels of a column, as they are spelled most often, in the order of numbers or of the alphabet.

    Raises DataError where there are fewer than two, or too many to be classes, and where one is `none`, which is a
    class in some files and no label in others.
    """
    tokens = _tokens_of(values)
    missing = set(_tokens(words.missing, {token for token in tokens if token is not None})) | MISSING
    spellings: dict[Token, Counter[str]] = {}
    for token, value in zip(tokens, values, strict=True):
        if token is not None and token not in missing:
            text = text_form(token) if isinstance(token, float) else " ".join(str(value).split())
            spellings.setdefault(token, Counter())[text] += 1
    spelled = {token: counts.most_common(1)[0][0] for token, counts in spellings.items()}
    if "none" in tokens and "none" not in _tokens(words.missing, ("none",)):
        names = ",".join([quote(token) for token in sorted(spelled, key=text_form)][:_MOST_SHOWN])
        raise DataError(
            f"'none' stands in {counted(tokens.count('none'), 'row')} of the column '{column}': if it is a class, name "
            f"all of them (--classes {names},none); if it is no label, say so (--missing none)"
        )
    if len(spelled) > MOST_CLASSES or (len(spelled) > _MOST_CLASSES and 2 * len(spelled) > len(values)):
        raise DataError(
            f"the column '{column}' holds {len(spelled):,} different values in {len(values):,} rows: is it the column "
            "of the labels? Say which is (--label)"
        )
    if len(spelled) < 2:
        raise DataError(f"the column '{column}' holds {listed(spelled) or 'no label'}; two or more classes are needed")
    numbers = [token for token in spelled if isinstance(token, float)]
    ordered = sorted(spelled) if len(numbers) == len(spelled) else sorted(spelled, key=text_form)
    return tuple(spelled[token] for token in ordered)


def true_labels(values: Sequence[Any], where: Sequence[str], labels: WeakLabels) -> list[bool]:
    """True labels, written as the cheap ones are, or in another known spelling. Raises DataError for others."""
    truth = []
    for value, place in zip(values, where, strict=True):
        token = token_of(value)
        p = math.nan if token is None else _as_in(token, labels, (0.0, 1.0))
        if p is None:
            names = f"{labels.names[0]} or {labels.names[1]}" if labels.names else ""
            expected = ", ".join(("0/1", "true/false", names) if names else ("0/1", "true/false"))
            if labels.turned:
                expected = f"{names}, as the cheap labels are written"
            raise DataError(f"the true label of {place} is {value!r}; expected {expected}")
        if math.isnan(p):
            raise DataError(f"{place} has no true label; every trusted row needs one")
        truth.append(p == 1)
    return truth


def parse_further_labels(
    values: Sequence[Any], where: Sequence[str], column: str, labels: WeakLabels
) -> NDArray[np.float64]:
    """More labels, written as those that are known, as P(class 1) [n]; NaN where there is none. Raises DataError."""
    further = []
    for value, place in zip(values, where, strict=True):
        token = token_of(value)
        p = math.nan if token is None else _as_in(token, labels, (0.0, 1.0) if labels.hard else ())
        foreign = labels.words.name_a_class and token not in labels.meaning and p is not None and not math.isnan(p)
        if p is None or foreign:
            has = f"{labels.names[0]} and {labels.names[1]}" if labels.names else "probabilities"
            raise DataError(f"the cheap label of {place} is {text_form(token)!r}; the labelled file has {has}")
        further.append(p)
    return np.array(further, dtype=np.float64)


def probability(value: Any) -> float | None:
    """A soft label in any known spelling as P(class 1); None: it is none, or missing."""
    token = token_of(value)
    p = None if token is None else known_label(token)
    return None if p is None or math.isnan(p) else p


def is_missing(value: Any) -> bool:
    """Whether a value means that there is no label."""
    token = token_of(value)
    return token is None or token in MISSING


def reads_as_label(value: Any) -> bool:
    """Whether a value is a class, or no label, in a spelling that is understood by itself."""
    token = token_of(value)
    p = math.nan if token is None else known_label(token)
    return p is not None and (math.isnan(p) or p in (0, 1))


def known_label(token: Token) -> float | None:
    """P(class 1) of a value that is understood by itself, NaN where it means no label; None: it is not understood."""
    if isinstance(token, str):
        plain = token.strip(_MARKS)
        return math.nan if token in MISSING else float(plain) if _BIT.fullmatch(plain) else _KNOWN.get(plain)
    return token if 0 <= token <= 1 else None


def token_of(value: Any) -> Token | None:
    """A label as a number or a text; None: an empty cell. 85 % is .85, and 0,85 too; 007 and 1_2 are texts."""
    if isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating):
        try:
            number = float(value)
        except OverflowError:  # a whole number of hundreds of digits
            number = math.inf
        return None if math.isnan(number) else number
    if value is None:
        return None
    text = " ".join(str(value).lower().split())
    if text in _TRUTHS:
        return _TRUTHS[text]
    percent = _PERCENT.fullmatch(text)
    number = _number(percent[1] if percent else text)
    if number is None:
        return text or None
    return number / 100 if percent else number


def _tokens_of(values: Sequence[Any]) -> list[Token | None]:
    """The token of each value; equal texts, of which a column of labels has few, are read once."""
    known: dict[str, Token | None] = {}
    for text in {value for value in values if isinstance(value, str)}:
        known[text] = token_of(text)
    return [known[value] if isinstance(value, str) else token_of(value) for value in values]


def text_form(token: Token | None) -> str:
    """A token as one would write it."""
    if token is None or isinstance(token, str):
        return token or ""
    return str(int(token)) if abs(token) < _WHOLE_BELOW and token == int(token) else repr(token)


def _number(text: str) -> float | None:
    plain = text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text
    return float(plain) if _NUMBER.fullmatch(plain) else None


def _read(tokens: Sequence[Token | None], meaning: Mapping[Token, float]) -> NDArray[np.float64]:
    return np.array([math.nan if token is None else meaning[token] for token in tokens], dtype=np.float64)


def _as_in(token: Token, labels: WeakLabels, allowed: tuple[float, ...] = ()) -> float | None:
    """What a value means in the file of `labels`, or by itself where it is not in there; NaN: no label.

    By itself it means nothing where a value of the file means another class than by itself: where 1 and 2 stand for
    class 0 and 1, a 0 is neither. `allowed`: what it may mean; empty: anything. None: it means nothing, or something
    else.
    """
    p = labels.meaning.get(token)
    if p is None:
        p = math.nan if token in _tokens(labels.words.missing, {token}) else known_label(token)
        p = None if labels.turned and p in (0, 1) else p
    return p if p is None or math.isnan(p) or not allowed or p in allowed else None


def _names(tokens: Iterable[Token | None], meaning: Mapping[Token, float]) -> tuple[str, str]:
    """How each class is written most often; the first one where two are level."""
    seen: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for token in tokens:
        if token is not None and not math.isnan(p := meaning[token]):
            seen[int(p)][text_form(token)] += 1
    return seen[0].most_common(1)[0][0], seen[1].most_common(1)[0][0]


# --- what values mean -----------------------------------------------------------------------------------------------


def _meanings(
    tokens: Sequence[Token | None], where: Sequence[str], column: str, words: Words, hard: bool = False
) -> dict[Token, float]:
    """Each value of a column as P(class 1); NaN: no label. Raises DataError where one has no meaning."""
    counts = Counter(token for token in tokens if token is not None)
    meaning = _named(counts, column, words)
    rest = [token for token in counts if token not in meaning]
    if words.name_a_class:
        meaning |= _other_class(rest, meaning, counts, column, words)
    else:
        meaning |= {token: p for token in rest if (p := known_label(token)) is not None}
    soft = [token for token, p in meaning.items() if p not in (0, 1) and not math.isnan(p)]
    unknown = [token for token in counts if token not in meaning or (hard and token in soft)]
    if unknown:
        pairs = zip(where, tokens, strict=True)
        place, example = next((place, token) for place, token in pairs if token is not None and token in unknown)
        start = f"{place} has {quote(example)} in the column '{column}'"
        raise DataError(_not_understood(unknown, start, meaning, counts, hard))
    names = [token for token in meaning if isinstance(token, str) and not math.isnan(meaning[token])]
    if soft and names:
        places = [
            next(place for place, token in zip(where, tokens, strict=True) if token == example)
            for example in (soft[0], names[0])
        ]
        raise DataError(
            f"the column '{column}' mixes probabilities ({places[0]}) and names ({places[1]}); write all alike"
        )
    return meaning


def _named(counts: Mapping[Token, int], column: str, words: Words) -> dict[Token, float]:
    """The values that the user gives a meaning. Raises DataError where a class is not there, or a value is in two."""
    meaning: dict[Token, float] = {}
    for option, values, p in (
        ("missing", words.missing, math.nan),
        ("positive", words.positive, 1.0),
        ("negative", words.negative, 0.0),
    ):
        for token in _tokens(values, counts):
            if token in meaning:
                raise DataError(f"--{option} names {quote(token)}, which another option has given a meaning already")
            if token in counts:
                meaning[token] = p
            elif option != "missing":
                raise DataError(
                    f"with --{option} {_as_typed(values)} the column '{column}' must hold {quote(token)}; it holds "
                    f"{listed(counts)}"
                )
    return meaning


def _other_class(
    rest: Sequence[Token], named: Mapping[Token, float], counts: Mapping[Token, int], column: str, words: Words
) -> dict[Token, float]:
    """What the values mean that are not named, where a class is.

    Where one class is named alone, the only other value is the other class, whatever it is called. Of several, each
    must be known by itself, and nothing that is named may contradict what is known.
    """
    typed = _as_typed(words.positive if words.positive is not None else words.negative)
    option = "positive" if words.positive is not None else "negative"
    both = words.positive is not None and words.negative is not None
    known = {token: known_label(token) for token in rest}
    others = [token for token in rest if known[token] is None or not math.isnan(known[token] or 0)]
    if not others and len(rest) == 1 and not both:  # "none" beside "toxic" is a class
        others = list(rest)
    if not both and len(others) == 1:
        left = {token: math.nan for token in rest if token not in others}
        return {others[0]: 0.0 if words.negative is None else 1.0, **left}
    turned = any(not math.isnan(p) and known_label(token) == 1 - p for token, p in named.items())
    if (not both and not others) or (turned and others) or any(known[token] not in (0, 1) for token in others):
        unclear = [token for token in others if turned or known[token] not in (0, 1)]
        expected = f"with --{option} {typed} the column '{column}' must hold one other value"
        if both:
            expected = f"the column '{column}' must hold what --positive and --negative name"
        cure = f"; {_cure(unclear, words)}" if unclear else ""
        raise DataError(f"{expected}; it holds {listed(counts)}{cure}")
    return {token: p for token, p in known.items() if p is not None}


def _cure(unclear: Sequence[Token], words: Words) -> str:
    """The options that give values a meaning."""
    names = ",".join(quote(token) for token in unclear[:_MOST_SHOWN])
    free = [f"--{name}" for name in ("positive", "negative") if getattr(words, name) is None]
    return f"say what the others mean: {' or '.join([*free, '--missing'])} (no label), such as --missing {names}"


def _not_understood(
    unknown: Sequence[Token],
    start: str,
    meaning: Mapping[Token, float],
    counts: Mapping[Token, int],
    hard: bool,
) -> str:
    """The message about values that mean nothing by themselves, with the options that would give them a meaning.

    `start`: what it begins with, a row that has one of them.
    """
    classes = {p for p in meaning.values() if p in (0, 1)}
    numbers = [token for token in counts if isinstance(token, float)]
    if all(token in numbers for token in unknown) and not (
        len(counts) <= _MOST_CLASSES and all(token.is_integer() for token in numbers)
    ):
        if hard:
            return f"{start}, which is not binary; true labels are 0/1, yes/no … (`outshine label` takes probabilities)"
        return f"{start}; expected 0/1, yes/no …, a probability from 0 to 1, or a percentage with its sign, such as 85%"
    if len(counts) > _MOST_CLASSES:
        return (
            f"{start}, and {len(counts)} different values in all; two classes are expected: is it the column of the "
            f"labels? Say which is (--label){_HINT_AT_CLASSES}"
        )
    if len(classes) == 2:
        several = f"one of {len(unknown)} values that are" if len(unknown) > 1 else "which is"
        names = ",".join(quote(token) for token in sorted(unknown, key=text_form)[:_MOST_SHOWN])
        return (
            f"{start}, {several} no class that is known; say what it means: --missing {names} (no label), --positive "
            f"{names} or --negative {names}{_HINT_AT_CLASSES}"
        )
    values = sorted((token for token in counts if not math.isnan(meaning.get(token, 0.0))), key=text_form)
    if len(values) == 1:
        name, hint = quote(values[0]), _hint_at_missing(counts)
        return f"{start}, the only value; say what it means: --positive {name} or --negative {name}{hint}"
    if len(values) == 2:
        return f"{start}; it holds {listed(values)}: say which is class 1: --positive {quote(values[1])}"
    return (
        f"{start}; it holds {len(values)} different values ({listed(values)}) and two classes are expected: say which "
        "are class 1 and which are class 0, comma-separated (--positive … --negative …), and which are no label "
        f"(--missing …){_HINT_AT_CLASSES}"
    )


def _hint_at_missing(tokens: Iterable[Token | None]) -> str:
    """A hint where all labels are of one class: values that were read as no label may be the other class."""
    names = sorted({token for token in tokens if token in MISSING and isinstance(token, str)})
    if not names:
        return ""
    return (
        f"; {listed(names)} counts as no label: if it is a class, name it (--positive or --negative {quote(names[0])})"
    )


def _tokens(values: Spellings, present: Container[Token]) -> list[Token]:
    """The values that an option names: the whole text where the column holds it, else what its commas separate."""
    if isinstance(values, str):
        whole = token_of(values)
        values = (values,) if isinstance(whole, str) and whole in present else tuple(values.split(","))
    tokens = [token for text in values or () if (token := token_of(text)) is not None]
    return list(dict.fromkeys(tokens))


def _as_typed(values: Spellings) -> str:
    return values if isinstance(values, str) else ",".join(values or ())


def quote(token: Token) -> str:
    """A value as one types it on a command line; a long one is cut."""
    text = text_form(token)
    text = text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
    return text if re.fullmatch(r"[\w./+-]+", text) else f'"{text}"'


def listed(values: Iterable[Token]) -> str:
    """The first of some values, in order."""
    names = [quote(token) for token in sorted(values, key=text_form)]
    return ", ".join(names[:_MOST_SHOWN]) + (" …" if len(names) > _MOST_SHOWN else "")
