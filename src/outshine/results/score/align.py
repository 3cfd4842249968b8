"""Predictions of several models brought to the same rows, with the truth as classes and values as scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from outshine.data.label_spellings import (
    MISSING,
    NO_WORDS,
    Spellings,
    Token,
    Words,
    class_labels,
    listed,
    text_form,
    token_of,
)
from outshine.engine.errors import DataError, SettingsError
from outshine.engine.messages import counted
from outshine.results.score.predictions import CONTROL, Model, Predicted
from outshine.stats.estimates import Floats
from outshine.stats.pgr import ROLES

Kind = Literal["log-odds", "probability"]
KINDS: tuple[Kind, ...] = ("log-odds", "probability")
AUTO = "auto"

_OFF_ONE = 0.02  # by how much rounded probabilities of a row may miss a sum of 1
_TIES: dict[Token | None, float] = {"tie": 0.5, "tied": 0.5, 0.5: 0.5}
_FIRST_IS_BETTER: dict[Token | None, float] = {"a": 1.0, "b": 0.0, "first": 1.0, "second": 0.0}


class Meaning(NamedTuple):
    """What the user says of values and labels.

    Attributes:
        values: `auto`, `log-odds` or `probability`; or one for each role, such as `weak=probability,student=log-odds`.
        pairs: Whether rows are pairs, and labels and values say whether the first is better.
        classes: The names of the classes by number; empty: as the columns have them, or numbers.
        words: Which values of the label are class 1 and class 0.
    """

    values: str = AUTO
    pairs: bool = False
    classes: tuple[str, ...] = ()
    words: Words = NO_WORDS


class AlignedRows(NamedTuple):
    """A test set, its truth, and the scores of all models on the same rows.

    Attributes:
        dataset: The data set's name; "": there is one.
        test: The test set's name.
        y: The class of each row, [n].
        groups: What rows share, [n]; None: each stands alone.
        scores: Model -> seed -> log-odds [n], or logits [n, K].
    """

    dataset: str
    test: str
    y: NDArray[Any]
    groups: list[Any] | None
    scores: dict[Model, dict[str, Floats]]


class Aligned(NamedTuple):
    """All test sets, and what they are.

    Attributes:
        tests: In the order in which they are met.
        outcome: `binary`, `multiclass` or `pairwise`, as `outshine.data.task.Task.outcome`.
        metric: The name of the metric by which such labels are told if nobody says otherwise.
        only: The metrics that these values allow; None: all that measure the outcome.
        kinds: What the values of each model were taken for.
    """

    tests: list[AlignedRows]
    outcome: str
    metric: str
    only: tuple[str, ...] | None
    kinds: dict[str, str]


def align(predicted: Sequence[Predicted], meaning: Meaning, notes: list[str]) -> Aligned:
    """Bring predictions to the same rows. Notes are added to `notes`.

    Raises DataError where the values of models do not go together, where rows differ between models, where a row is
    there twice or none has a label, and for labels that are not understood.
    """
    models = [one for one in predicted if one.model.role != "truth"]
    if not any(one.model.role == "student" for one in models):
        raise DataError("there are no predictions of a student; give a column 'student', or a file with --student")
    _check_ids(predicted, notes)
    right = {one.kind == "correct" for one in models}
    if right == {True, False}:
        raise DataError(
            "some logs say only whether an answer was right, and others give scores of the choices; score either alone"
        )
    width = _width(models)
    if right == {True}:
        kinds = dict.fromkeys((one.model.words for one in models), "right or wrong")
        models = [one._replace(values=one.values - 0.5) for one in models]
    else:
        kinds = _kinds(models, meaning.values)
        models = [one._replace(values=_scores(one, kinds[one.model.words])) for one in models]
        _tell(kinds, width, notes)
    names = _class_names(models, meaning, width)
    if width == 2:  # two classes are the binary case
        models = [one._replace(values=(one.values[:, 1] - one.values[:, 0])[:, None]) for one in models]
        _refuse_nan(models)
    outcome = "pairwise" if meaning.pairs else "multiclass" if width > 2 else "binary"
    if meaning.pairs and width > 1:
        raise SettingsError("of pairs there is one value a row, the log-odds or probability that the first is better")
    truths = [one for one in predicted if one.labels is not None]
    classes = None if right == {True} else _class_of(truths, outcome, names, width, meaning.words)
    tests = [_test_rows(key, own, truths, classes) for key, own in _by_test(models).items()]
    if classes is not None:
        tests = _measurable(tests, notes)
    by_place = any(one.classes is None for one in models) and width > 2
    if classes is not None and width > 2 and not by_place:
        _tell_absent(tests, names or [str(number) for number in range(width)], notes)
    usual = {"binary": "auroc", "multiclass": "accuracy" if by_place else "macro_auroc", "pairwise": "pair_accuracy"}
    if right == {True}:
        return Aligned(tests, outcome, "accuracy", ("accuracy",), kinds)
    return Aligned(tests, outcome, usual[outcome], None, kinds)


def _check_ids(predicted: Sequence[Predicted], notes: list[str]) -> None:
    """Raises DataError where some files have ids and others have none; a note where rows are matched by place."""
    unnamed = [one for one in predicted if not one.has_ids]
    named = [one for one in predicted if one.has_ids]
    if unnamed and named:
        raise DataError(
            f"'{unnamed[0].source}' has no column 'id' and '{named[0].source}' has one; give both the "
            "ids that their rows go by, or name the column (--id)"
        )
    if len(sources := list(dict.fromkeys(one.source for one in unnamed))) > 1:
        notes.append(f"without ids row n of '{sources[0]}' was taken for row n of '{sources[1]}', and so on")


# --- values -------------------------------------------------------------------------------------------------------


def _width(models: Sequence[Predicted]) -> int:
    """How many values a row has, the same for all models; of answers by place the most, the others being filled up."""
    widths = {one.model.words: one.values.shape[1] for one in models}
    if len(set(widths.values())) > 1:
        told = ", ".join(f"{words} {number}" for words, number in widths.items())
        raise DataError(f"the models have different numbers of values a row ({told}); give each one for every class")
    return next(iter(widths.values()))


def _kinds(models: Sequence[Predicted], values: str) -> dict[str, str]:
    """What the values of each model are. Raises DataError where it cannot be told."""
    told = _told(values, {one.model.words: one.model.role for one in models})
    known = {one.model.words: told.get(one.model.words) or one.kind for one in models}
    looks = {words: _looks_like([one for one in models if one.model.words == words]) for words in known}
    guessed = {words: looks[words] for words, kind in known.items() if kind is None}
    if len(set(guessed.values())) > 1:
        example = ",".join(f"{words}={kind}" for words, kind in guessed.items())
        inside = " and ".join(words for words, kind in guessed.items() if kind == "probability")
        raise DataError(
            f"the values of {inside} lie in [0, 1] as probabilities do, and those of the others do not: say what each "
            f"is, such as --values {example}"
        )
    kinds = {words: kind or looks[words] for words, kind in known.items()}
    for one in models:
        if kinds[one.model.words] == "probability" and _looks_like([one]) != "probability":
            bad = one.values[(one.values < 0) | (one.values > 1)]
            what = f"{bad[0]:g} is none" if bad.size else "those of a row do not add up to 1"
            raise DataError(f"the values of {one.model.words} in '{one.source}' are no probabilities: {what}")
    return kinds


def _told(values: str, roles: Mapping[str, str]) -> dict[str, str]:
    """What `--values` says of each model."""
    if values in (AUTO, *KINDS):
        return {} if values == AUTO else dict.fromkeys(roles, values)
    told: dict[str, str] = {}
    for part in values.split(","):
        name, _, kind = (text.strip() for text in part.partition("="))
        whose = [words for words, role in roles.items() if name in (words, role)]
        if kind not in KINDS or not whose:
            raise SettingsError(
                f"--values {values}: {AUTO}, {' or '.join(KINDS)} is expected, or one for each role such as "
                f"weak=probability,student=log-odds; the models are {', '.join(roles)}"
            )
        told |= dict.fromkeys(whose, kind)
    return told


def _looks_like(own: Sequence[Predicted]) -> Kind:
    """What values are by their look: probabilities lie in [0, 1], and those of classes add up to 1."""
    values = np.concatenate([one.values for one in own])
    if not np.all((values >= 0) & (values <= 1)):
        return "log-odds"
    if values.shape[1] == 1:
        return "probability"
    return "probability" if np.all(np.abs(values.sum(axis=1) - 1) <= _OFF_ONE) else "log-odds"


def _scores(one: Predicted, kind: str) -> Floats:
    """Log-odds [n, 1], or logits [n, K]; of probabilities 0 and 1 they are infinite."""
    if kind != "probability":
        return one.values
    with np.errstate(divide="ignore"):
        return logit(one.values) if one.values.shape[1] == 1 else np.log(one.values)


def _refuse_nan(models: Sequence[Predicted]) -> None:
    for one in models:
        if bad := np.flatnonzero(np.isnan(one.values).any(axis=1)).tolist():
            raise DataError(f"the two values of {one.model.words} for row '{one.ids[bad[0]]}' give no probability")


def _tell(kinds: Mapping[str, str], width: int, notes: list[str]) -> None:
    names = {"log-odds": "log-odds" if width == 1 else "logits", "probability": "probabilities"}
    for kind, name in names.items():
        own = [words for words, taken in kinds.items() if taken == kind]
        if own:
            notes.append(f"the values of {', '.join(own)} were taken for {name} (--values says otherwise)")


# --- labels -------------------------------------------------------------------------------------------------------


def _class_names(models: Sequence[Predicted], meaning: Meaning, width: int) -> tuple[str, ...]:
    """The names of the classes by number; empty: they are numbers."""
    by_names = {one.classes: one.model.words for one in models if one.classes}
    if len(by_names) > 1:
        told = "; ".join(f"{', '.join(names or ())} ({words})" for names, words in by_names.items())
        raise DataError(f"the models name different classes, or in another order: {told}; name the columns alike")
    own = next(iter(by_names), None) or ()
    names = meaning.classes or own
    num_classes = max(width, 2)
    if names and (len(names) != num_classes or len(set(map(token_of, names))) < num_classes):
        raise SettingsError(f"the classes are {', '.join(names)}; there must be {num_classes} different names")
    if meaning.classes and own and meaning.classes != own:
        raise SettingsError(f"--classes names {', '.join(names)}, and the columns {', '.join(own)}; leave it out")
    return names


def _class_of(
    truths: Sequence[Predicted], outcome: str, names: Sequence[str], width: int, words: Words
) -> dict[Any, float]:
    """The number of the class that each label means, by the label as it is written; NaN: it means no class."""
    places: dict[Any, str] = {}
    for one in truths:
        for name, label in zip(one.ids, one.labels or (), strict=True):
            if isinstance(label, list | dict | tuple | np.ndarray):
                raise DataError(
                    f"the label of row '{name}' in '{one.source}' is {str(label)[:40]}; one class is expected"
                )
            places.setdefault(label, f"row '{name}' in '{one.source}'")
    if not places:
        raise DataError("there is no truth: give a column 'label', name yours with --label, or a file with --labels")
    tokens = {
        label: token_of(label if isinstance(label, str | int | float | bool | np.generic) else str(label))
        for label in places
    }
    if names or width > 2:
        missing = ({*MISSING, None} - set(map(token_of, names))) | {token_of(word) for word in _texts(words.missing)}
        present = {label: token for label, token in tokens.items() if token not in missing}
        return dict.fromkeys(tokens, math.nan) | _of_classes(present, places, names, max(width, 2))
    known: dict[Any, float] = {}
    if outcome == "pairwise":
        usual = _TIES if words.name_a_class else {**_TIES, **_FIRST_IS_BETTER}
        known = {label: usual[token] for label, token in tokens.items() if token in usual}
    rest = [label for label in tokens if label not in known]
    if rest:
        read = class_labels(rest, [places[label] for label in rest], "label", words)
        known |= dict(zip(rest, read.tolist(), strict=True))
    return known


def _texts(values: Spellings) -> tuple[str, ...]:
    return tuple(values.split(",")) if isinstance(values, str) else values or ()


def _of_classes(
    tokens: Mapping[Any, Token | None], places: Mapping[Any, str], names: Sequence[str], width: int
) -> dict[Any, float]:
    by_name: dict[Token | None, int] = {token_of(name): number for number, name in enumerate(names)}
    numbers: dict[Token | None, int] = {float(number): number for number in range(width)}
    if not names or all(token in numbers for token in tokens.values()):
        by_name = numbers
    for label, token in tokens.items():
        if token not in by_name:
            texts = [token for token in tokens.values() if token is not None]
            known = ", ".join(text_form(name) for name in by_name)
            hint = (
                "" if names else f"; the labels are {listed(texts)}: name them in the order of the values, --classes …"
            )
            raise DataError(f"{places[label]} has the label '{label}', and the classes are {known}{hint}")
    return {label: float(by_name[token]) for label, token in tokens.items()}


# --- rows ---------------------------------------------------------------------------------------------------------


def _by_test(models: Sequence[Predicted]) -> dict[tuple[str, str], list[Predicted]]:
    tests: dict[tuple[str, str], list[Predicted]] = {}
    for one in models:
        tests.setdefault((one.dataset, one.test), []).append(one)
    return tests


def _where(key: tuple[str, str]) -> str:
    return " ".join(part for part in key if part)


def _called(one: Predicted) -> str:
    return " ".join(
        part for part in (one.model.method, one.model.words, f"seed {one.seed}" if one.seed else "") if part
    )


def _test_rows(
    key: tuple[str, str], own: Sequence[Predicted], truths: Sequence[Predicted], classes: Mapping[Any, float] | None
) -> AlignedRows:
    first = own[0]
    order = pd.Index(first.ids, dtype=object)
    scores: dict[Model, dict[str, Floats]] = {}
    for one in own:
        seeds = scores.setdefault(one.model, {})
        if one.seed in seeds:
            raise DataError(
                f"there are two results of {_called(one)} on {_where(key)}; tell them apart by a column seed or method"
            )
        places = _places(one, first, order, key)
        values = one.values[places]
        seeds[one.seed] = values[:, 0] if values.shape[1] == 1 else values
    here = [one for one in truths if (one.dataset, one.test) == key]
    here = here or [one for one in truths if one.model.role == "truth" and (one.dataset, one.test) == ("", "test")]
    if classes is None:
        return AlignedRows(*key, np.ones(len(order), dtype=bool), _groups(own, first, order, key), scores)
    if not here:
        raise DataError(f"the rows of {_where(key)} have no labels; give a column 'label', or a file with --labels")
    y = _agreed(here, first, order, key, classes)
    return AlignedRows(*key, y, _groups([*own, *here], first, order, key), scores)


def _places(one: Predicted, first: Predicted, order: pd.Index, key: tuple[str, str]) -> NDArray[np.intp]:
    """Where the rows of `order` are in a model's. Raises DataError for rows that only one of them has, or has twice."""
    own = pd.Index(one.ids, dtype=object)
    if own.has_duplicates:
        twice = own[own.duplicated()]
        raise DataError(
            f"'{one.source}' has several predictions of {_called(one)} on {_where(key)} for "
            f"{counted(len(set(twice)), 'row')}, such as '{twice[0]}'; give each once, or tell seeds and test sets by "
            "columns"
        )
    places = own.get_indexer(order)
    lacking, more = order[places < 0], own[order.get_indexer(own) < 0]
    is_truth = one.model.role == "truth"
    if len(lacking) or (len(more) and not is_truth):
        example = lacking[0] if len(lacking) else more[0]
        what = "the labels" if is_truth else _called(one)
        raise DataError(
            f"{what} ('{one.source}') and {_called(first)} ('{first.source}') are not of the same rows of "
            f"{_where(key)}: {len(lacking)} are in the latter alone and {len(more)} in the former alone, such as "
            f"'{example}'"
        )
    return places


def _agreed(
    truths: Sequence[Predicted],
    first: Predicted,
    order: pd.Index,
    key: tuple[str, str],
    classes: Mapping[Any, float],
) -> NDArray[Any]:
    y: NDArray[np.float64] | None = None
    for one in truths:
        labels = np.array([classes[label] for label in one.labels or ()])
        own = labels[_places(one, first, order, key)]
        if y is not None and (bad := np.flatnonzero((own != y) & ~(np.isnan(own) & np.isnan(y))).tolist()):
            raise DataError(
                f"the labels of {_where(key)} in '{truths[0].source}' and '{one.source}' differ in "
                f"{counted(len(bad), 'row')}, such as '{order[bad[0]]}'"
            )
        y = own
    assert y is not None
    return y


def _groups(several: Sequence[Predicted], first: Predicted, order: pd.Index, key: tuple[str, str]) -> list[Any] | None:
    groups: list[Any] | None = None
    for one in several:
        if one.groups is None:
            continue
        own = [one.groups[place] for place in _places(one, first, order, key)]
        if groups is not None and own != groups:
            row = next(name for name, ours, theirs in zip(order, own, groups, strict=True) if ours != theirs)
            raise DataError(f"row '{row}' of {_where(key)} is in one group here and in another there ('{one.source}')")
        groups = own
    return groups


def _measurable(tests: Sequence[AlignedRows], notes: list[str]) -> list[AlignedRows]:
    """The test sets without rows that have no label, and without pairs whose label is a tie."""
    found = []
    for test in tests:
        where, missing, ties = _where((test.dataset, test.test)), np.isnan(test.y), test.y == 0.5
        kept = ~missing & ~ties
        if not kept.any():
            raise DataError(f"no row of {where} has a label that can be measured: they are empty or ties")
        if missing.any():
            notes.append(f"{counted(int(missing.sum()), 'row')} of {where} left out, without a label")
        if ties.any():
            notes.append(f"{counted(int(ties.sum()), 'pair')} of {where} left out, whose label is a tie")
        groups = None if test.groups is None else [one for one, here in zip(test.groups, kept, strict=True) if here]
        scores = {model: {seed: own[kept] for seed, own in seeds.items()} for model, seeds in test.scores.items()}
        found.append(test._replace(y=test.y[kept].astype(np.int64), groups=groups, scores=scores))
    return found


def _tell_absent(tests: Sequence[AlignedRows], names: Sequence[str], notes: list[str]) -> None:
    """Note the classes that no row of a test set is of."""
    for test in tests:
        absent = [name for number, name in enumerate(names) if number not in test.y]
        if absent:
            where = _where((test.dataset, test.test))
            notes.append(f"no row of {where} is of class {', '.join(absent)}: means over classes are over the others")


# --- seeds --------------------------------------------------------------------------------------------------------


def over_seeds(test: AlignedRows, models: Sequence[Model], notes: list[str]) -> tuple[list[str], Floats]:
    """The seeds that all of these models have, and their scores [S, R, n] or [S, R, n, K].

    A model with one seed does not vary with it and is repeated. Raises DataError where no seed is left.
    """
    by_model = [test.scores[model] for model in models]
    varying = [seeds for seeds in by_model if len(seeds) > 1]
    if not varying:
        return [next(iter(by_model[-1]))], np.stack([next(iter(seeds.values())) for seeds in by_model])[None]
    shared = [seed for seed in varying[0] if all(seed in seeds for seeds in varying)]
    where = _where((test.dataset, test.test))
    if not shared:
        told = "; ".join(f"{model.words} {', '.join(test.scores[model])}" for model in models)
        raise DataError(f"no seed is there for all models on {where}: {told}")
    for model, seeds in zip(models, by_model, strict=True):
        if len(seeds) == 1:
            notes.append(f"{model.words} on {where} has one seed and is taken as the same for all {len(shared)}")
        elif len(seeds) > len(shared):
            lost = ", ".join(seed for seed in seeds if seed not in shared)
            notes.append(f"{model.words} on {where}: seed {lost} left out, which other models do not have")
    return shared, np.stack(
        [
            np.stack([seeds[seed] if len(seeds) > 1 else next(iter(seeds.values())) for seeds in by_model])
            for seed in shared
        ]
    )


def supervision(test: AlignedRows, method: str) -> dict[str, Model]:
    """The models of a method by role: its own, or those of all methods. A role that lacks is not there."""
    found = {}
    for role in ROLES:
        own = [model for model in (Model(role, "", method), Model(role)) if model in test.scores]
        if own:
            found[role] = own[0]
    return found


def controls(test: AlignedRows, method: str) -> list[Model]:
    """The controls of a method, or of all."""
    return [model for model in test.scores if model.role == CONTROL and model.method in (method, "")]
