"""Input tables of a labelling: the user's rows with weak labels, and trusted rows with true ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator

from outshine.data.label_spellings import (
    ALL_CLASSES,
    Spellings,
    WeakLabels,
    Words,
    class_names,
    class_numbers,
    classes_found,
    is_missing,
    parse_further_labels,
    parse_weak_labels,
    probability,
    true_labels,
)
from outshine.data.rows import Row
from outshine.data.task import Task
from outshine.data.user_datasets import check_words, plain_id, task_by_words
from outshine.data.user_tables import check_columns, refuse_repeated
from outshine.data.weak_label_file import FAR_FROM_ONE, id_spellings, normal_text
from outshine.engine.errors import DataError
from outshine.engine.messages import counted
from outshine.engine.rng import numpy_rng
from outshine.engine.settings import NotInKeyAtDefault, Settings
from outshine.labelling.annotation_tools import is_answer_of_people, read_labelling_table
from outshine.labelling.votes import ABSTAINS, Way, dawid_skene, majority


class Columns(Settings):
    """Which column of a table is what. `id` and `group` may be left to be found under these names, or be missing."""

    text: str = Field(default="text", description="the column with the text that the model reads")
    label: str = Field(default="label", description="the column with the cheap labels")
    id: str | None = Field(default=None, description="the column with a row's identity; None: `id`, if there is one")
    group: str | None = Field(
        default=None, description="rows with equal values share a fold; None: `group`, if there is one"
    )
    positive: Spellings = Field(default=None, description="the values that are class 1, comma-separated or as a list")
    negative: Annotated[Spellings, NotInKeyAtDefault()] = Field(default=None, description="the values that are class 0")
    missing: Annotated[Spellings, NotInKeyAtDefault()] = Field(
        default=None, description="values that are no label, beside an empty cell, n/a, null and none"
    )
    classes: Annotated[Spellings, NotInKeyAtDefault()] = Field(
        default=None,
        description="the classes where there are more than two, comma-separated or as a list; all: those "
        "that the cheap labels name",
    )
    trusted_label: str = Field(default="label", description="the column with the true labels of the trusted rows")
    votes: Annotated[tuple[str, ...], NotInKeyAtDefault()] = Field(
        default=(), description="several columns with cheap labels in place of one, such as annotators or rules"
    )
    combine: Annotated[Way, NotInKeyAtDefault()] = Field(
        default="dawid_skene", description="how those are made into one label"
    )
    probs: Annotated[str | None, NotInKeyAtDefault()] = Field(
        default=None,
        description="a column with P(class 1) by a model that saw no label of the row: nothing is trained; of several "
        "classes the beginning of the names of their columns, PROBS_CLASS",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Columns:
        check_words(self.words)
        return self

    @property
    def words(self) -> Words:
        """What the user says about the labels' values."""
        return Words(self.positive, self.negative, self.missing, self.classes)

    @property
    def task(self) -> Task:
        """Two classes, or those that `classes` names; `all` must have been replaced by their names."""
        return task_by_words(self.words)

    def of_classes(self, column: str) -> list[str]:
        """Return the names of the columns with the probabilities of all classes, of which `column` is the beginning."""
        return [f"{column}_{name}" for name in self.task.class_names]


PLACE = "outshine_row"
"""The column of `to_judge.csv` with a row's place in the user's table, from 1."""

NUM_TO_JUDGE = 100
"""Rows that are drawn for a person to judge, unless told otherwise."""


class LabelledTable(NamedTuple):
    """A user's rows.

    `frame`: text ("" where missing), id and group (None where not given), in the file's order, and the cheap labels in
    the columns that the task names: p, or p_0 … of several classes. `probs` in it (`probs_0` …): probabilities that the
    user brings, NaN where there are none. `drawn`: whether a row is used, which all
    are unless only some are asked for.

    `spelling`: how the file writes the classes, as it does most often; 0 and 1 where it has probabilities.
    `notes`: what a reader should know about how the file was read. `votes` [n, W]: classes by several columns, where
    the cheap label is made of them, `ABSTAINS` where one has none.
    """

    frame: pd.DataFrame
    labels: WeakLabels
    spelling: tuple[str, ...] = ("0", "1")
    notes: tuple[str, ...] = ()
    votes: NDArray[np.int_] | None = None


class TrustedTable(NamedTuple):
    """Rows whose true label is known.

    `frame`: row (place in the user's table; -1: not one of its rows), truth (whether it is class 1, or the number of
    one of several classes), text, the cheap label (p, or p_0 …; NaN where there is none), group (of a new row, None
    where not given), number (place among the trusted rows). `listed`: it is a to_judge.csv, rows of which may have been
    left empty. `notes`: what a reader should know.
    """

    frame: pd.DataFrame
    listed: bool = False
    notes: tuple[str, ...] = ()

    @property
    def new(self) -> pd.DataFrame:
        """The rows that are not in the user's table."""
        return self.frame[self.frame["row"] < 0]


def resolve_classes(path: str, columns: Columns) -> Columns:
    """Return the columns with the names of the classes in place of `all`; two classes become negative and positive.

    Raises DataError where the file holds too few or too many.
    """
    if columns.classes is None:
        return columns
    names = () if columns.classes == ALL_CLASSES else class_names(columns.classes)
    if not names:
        table = read_labelling_table(path, {columns.text: "--text"})
        if not columns.votes and columns.label not in table.columns:
            start = f"{columns.label}_"
            names = class_names(tuple(name.removeprefix(start) for name in table.columns if name.startswith(start)))
        else:
            read = columns.votes or (columns.label,)
            values = [row.get(name) for name in read for row in table.rows]
            names = classes_found(values, ", ".join(read), columns.words)
    if len(names) > 2:
        return columns.model_copy(update={"classes": names})
    return columns.model_copy(update={"classes": None, "negative": names[:1], "positive": names[1:]})


def read_labelled(path: str, columns: Columns, limit: int | None = None) -> LabelledTable:
    """Return the user's table. `limit`: how many of its rows are drawn at random; None: all.

    Of several classes the cheap labels are a column of names, or columns of probabilities, LABEL_CLASS for each class.
    Raises DataError, naming the first offending row, for what cannot be used.
    """
    table = read_labelling_table(path, {columns.text: "--text"})
    task, cheap = columns.task, dict.fromkeys(columns.votes, "--votes") or {columns.label: "--label"}
    soft = task.outcome != "binary" and not columns.votes and columns.label not in table.columns
    if soft and any(name in table.columns for name in columns.of_classes(columns.label)):
        cheap = dict.fromkeys(columns.of_classes(columns.label), "--label")
    table = read_labelling_table(path, {columns.text: "--text", **cheap, **_named(columns)})
    refuse_repeated(path, table, (columns.id or "id", columns.group or "group"))
    rows = table.rows
    where = [f"row {number} of '{path}'" for number in range(1, len(rows) + 1)]
    votes = None
    if columns.votes:
        labels, votes, spelling = _combined(rows, where, columns)
    elif task.outcome != "binary":
        labels, spelling = _class_labels(rows, where, columns, list(cheap)), task.class_names
    else:
        values = [row.get(columns.label) for row in rows]
        labels = parse_weak_labels(values, where, columns.label, columns.words)
        spelling = _spelling(values, labels)
    frame = pd.DataFrame(
        {
            "text": _texts(rows, columns.text, where),
            **dict(zip(task.label_columns, _by_class(labels.p), strict=True)),
            "id": _ids(rows, columns.id or "id", where),
            "group": [_group(row.get(columns.group or "group")) for row in rows],
            **dict(zip(probs_columns(task), _by_class(_probs(rows, where, columns)), strict=True)),
            "drawn": _drawn(len(rows), limit),
        }
    )
    notes = list(table.notes)
    if task.outcome != "binary":
        likeliest = labels.p[~np.isnan(labels.p[:, 0])].argmax(axis=1)
        counts = np.bincount(likeliest, minlength=len(task.class_names)).tolist()
        notes.append(f"{len(counts)} classes; labels: {task.counts_text(counts)}")
    if limit is not None and limit < len(rows):
        notes.append(
            f"a random draw of {limit:,} of {len(rows):,} rows (limit): the others are left out, their new columns "
            "stay empty"
        )
    return LabelledTable(frame, labels, spelling, tuple(notes), votes)


def probs_columns(task: Task) -> list[str]:
    """Return the columns of `LabelledTable.frame` with the user's probabilities."""
    return [name.replace("p", "probs", 1) for name in task.label_columns]


def _by_class(p: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return labels [n] or [n, K] as columns."""
    return [p] if p.ndim == 1 else list(p.T)


def _class_labels(rows: Sequence[Row], where: Sequence[str], columns: Columns, given: Sequence[str]) -> WeakLabels:
    """Return the probabilities of K classes [n, K], from one column of names or from one of probabilities for each."""
    names = columns.task.class_names
    if len(given) == 1:
        numbers = class_numbers([row.get(given[0]) for row in rows], where, given[0], columns.words)
        p = _certain(numbers, len(names))
    else:
        p = _probabilities(rows, where, given)
    known = p[~np.isnan(p[:, 0])]
    if not len(known):
        raise DataError(f"no row has a cheap label in the column '{columns.label}'")
    if (known == known[0]).all():
        raise DataError(
            f"all {len(known)} cheap labels in the column '{columns.label}' are {names[int(known[0].argmax())]}: "
            "nothing can be learned from them"
        )
    return WeakLabels(p, bool(np.isin(known, (0, 1)).all()), names, {}, columns.words)


def _certain(numbers: Sequence[int | None], num_classes: int) -> NDArray[np.float64]:
    """Return 1 for each row's class and 0 for the others [n, K]; NaN where a row has none."""
    p = np.full((len(numbers), num_classes), math.nan)
    for number, row in zip(numbers, p, strict=True):
        if number is not None:
            row[:] = np.arange(num_classes) == number
    return p


def _probabilities(rows: Sequence[Row], where: Sequence[str], given: Sequence[str]) -> NDArray[np.float64]:
    """Return probabilities of K classes from a column each [n, K], NaN where a row has none of them."""
    p = np.full((len(rows), len(given)), math.nan)
    for number, (row, place) in enumerate(zip(rows, where, strict=True)):
        values = [row.get(name) for name in given]
        if all(map(is_missing, values)):
            continue
        found = [probability(value) for value in values]
        for name, value, own in zip(given, values, found, strict=True):
            if own is None or math.isnan(own):
                raise DataError(f"'{name}' of {place} is {value!r}; expected a probability, from 0 to 1")
        total = math.fsum(own or 0.0 for own in found)
        if abs(total - 1) > FAR_FROM_ONE:
            raise DataError(
                f"the probabilities of {place} ({', '.join(given)}) add up to {total:.3g}; those of all classes add up "
                "to 1"
            )
        p[number] = np.array(found) / total
    return p


def _combined(
    rows: Sequence[Row], where: Sequence[str], columns: Columns
) -> tuple[WeakLabels, NDArray[np.int_], tuple[str, ...]]:
    """Return one soft label made of several columns of classes, the votes [n, W], and how classes are spelled.

    All columns are read as one, so that a rule that knows one class only is understood by what the others hold.
    """
    names = columns.votes
    values = [row.get(name) for name in names for row in rows]
    places = [f"{place} (column '{name}')" for name in names for place in where]
    task = columns.task
    if task.outcome != "binary":
        numbers = class_numbers(values, places, ", ".join(names), columns.words)
        cast = np.array([ABSTAINS if number is None else number for number in numbers])
        votes = cast.reshape(len(names), -1).T
        p = _combine(votes, len(task.class_names), columns.combine)
        return WeakLabels(p, False, task.class_names, {}, columns.words), votes, task.class_names
    read = parse_weak_labels(values, places, ", ".join(names), columns.words)
    if not read.hard:
        raise DataError(
            f"the columns {', '.join(names)} hold probabilities; votes are classes: give one column of probabilities "
            "with --label, or the classes"
        )
    votes = np.where(np.isnan(read.p), ABSTAINS, np.nan_to_num(read.p)).astype(int).reshape(len(names), -1).T
    p = _combine(votes, 2, columns.combine)
    return read._replace(p=p[:, 1], hard=False), votes, _spelling(values, read)


def _combine(votes: NDArray[np.int_], num_classes: int, way: Way) -> NDArray[np.float64]:
    return dawid_skene(votes, num_classes).p if way == "dawid_skene" else majority(votes, num_classes)


def _probs(rows: Sequence[Row], where: Sequence[str], columns: Columns) -> NDArray[np.float64]:
    """Return the probabilities that the user brings [n] or [n, K], NaN where there are none."""
    task, column = columns.task, columns.probs
    if column is None:
        return np.full((len(rows), *task.score_shape), math.nan)
    if task.outcome != "binary":
        return _probabilities(rows, where, columns.of_classes(column))
    found = []
    for row, place in zip(rows, where, strict=True):
        value = row.get(column)
        p = math.nan if is_missing(value) else probability(value)
        if p is None:
            raise DataError(
                f"'{column}' of {place} is {value!r}; expected P(class 1), from 0 to 1: name another column (--probs)"
            )
        found.append(p)
    return np.array(found, dtype=np.float64)


def _spelling(values: Sequence[Any], labels: WeakLabels) -> tuple[str, str]:
    """Return how each class is written most often; the first one where two are level."""
    if not labels.hard:
        return "0", "1"
    seen: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for value, p in zip(values, labels.p, strict=True):
        if not math.isnan(p):
            whole = isinstance(value, float) and value.is_integer()
            seen[int(p)][str(int(value) if whole else value).strip()] += 1
    return seen[0].most_common(1)[0][0], seen[1].most_common(1)[0][0]


def read_trusted(path: str, columns: Columns, table: LabelledTable) -> TrustedTable:
    """Return the trusted rows, matched with the user's table by an id that it has, else by their whole text.

    A row of neither known id nor known text is a new one and needs a text. Two trusted rows that are one row of the
    table count once. `to_judge.csv` has the place in the table (`outshine_row`) and may be filled in part: its rows
    without a true label are left out. Raises DataError, naming the first offending row, for a missing or unknown
    label, two labels for one row, and an id or place whose text is another one in the table.
    """
    rows = _read_trusted_rows(path, columns)
    where = [f"row {number} of '{path}'" for number in range(1, len(rows) + 1)]
    listed = any(_group(row.get(PLACE)) is not None for row in rows)
    if listed:
        rows, where = _judged(rows, where, columns, path)
    truth = _true_classes([row.get(columns.trusted_label) for row in rows], where, columns, table.labels)
    texts = _texts(rows, columns.text, where)
    own_labels = _by_class(_own_weak_labels(rows, where, columns, table.labels))
    places, by_text = _places(rows, texts, where, columns, table.frame)
    frame = pd.DataFrame(
        {
            "row": places,
            "truth": truth,
            "text": texts,
            **dict(zip(columns.task.label_columns, own_labels, strict=True)),
            "group": [_group(row.get(columns.group or "group")) for row in rows],
            "number": range(len(rows)),
        }
    )
    notes = (*by_text, *_nearly_known(frame, table.frame))
    _make_new(frame, table.frame, columns.task)
    return TrustedTable(_once(frame, where), listed, notes)


def _true_classes(
    values: Sequence[Any], where: Sequence[str], columns: Columns, labels: WeakLabels
) -> Sequence[bool] | Sequence[int]:
    """Return the true classes, of two whether it is class 1. Raises DataError for a row without one."""
    if columns.task.outcome == "binary":
        return true_labels(values, where, labels)
    numbers = class_numbers(values, where, columns.trusted_label, columns.words)
    for number, place in zip(numbers, where, strict=True):
        if number is None:
            raise DataError(f"{place} has no true label; every trusted row needs one")
    return [number for number in numbers if number is not None]


def _nearly_known(frame: pd.DataFrame, rows: pd.DataFrame) -> tuple[str, ...]:
    """Return what is said where new texts are texts of the file but for how they are written."""
    known = {normal_text(text) for text in rows["text"] if text}
    alike = int(sum(normal_text(text) in known for text in frame.loc[frame["row"] < 0, "text"]))
    if not alike:
        return ()
    return (
        f"{counted(alike, 'trusted row')} differ from a row of the file by line ends, Unicode form or blanks alone: "
        "taken for new texts",
    )


def _read_trusted_rows(path: str, columns: Columns) -> list[Row]:
    """Return the rows; those of a `to_judge.csv` without the apostrophes that kept its header from computing."""
    table = read_labelling_table(path)
    needed = {columns.trusted_label: "--trusted-label"}
    if PLACE not in table.columns:
        check_columns(f"'{path}'", table.rows, needed, table.columns)
        refuse_repeated(path, table, needed)
        if is_answer_of_people(columns.trusted_label, table.columns):  # people have answered some tasks, not all
            return [row for row in table.rows if not is_missing(row.get(columns.trusted_label))]
        return table.rows
    own = {f"'{name}": name for name in (columns.text, columns.id, columns.trusted_label) if name}
    rows: list[Row] = [{own.get(name, name): value for name, value in row.items()} for row in table.rows]
    check_columns(f"'{path}'", rows, needed)
    return rows


def _make_new(frame: pd.DataFrame, rows: pd.DataFrame, task: Task) -> None:
    """A trusted row of the file that was not drawn is a new one, with what the file says of it."""
    left = frame.index[[row >= 0 and not rows["drawn"][row] for row in frame["row"]]]
    for name in ("text", *task.label_columns, "group"):
        frame.loc[left, name] = rows.loc[frame.loc[left, "row"], name].to_numpy()
    frame.loc[left, "row"] = -1


def _drawn(num_rows: int, limit: int | None) -> NDArray[np.bool_]:
    """Return which rows are used. A larger draw contains every smaller one."""
    drawn = np.zeros(num_rows, dtype=bool)
    drawn[numpy_rng("label-limit").permutation(num_rows)[:limit]] = True
    return drawn


def _judged(rows: Sequence[Row], where: Sequence[str], columns: Columns, path: str) -> tuple[list[Row], list[str]]:
    """Return the rows of a `to_judge.csv` that have a true label, without an apostrophe against computing."""
    kept = [
        ({**row, columns.trusted_label: value.lstrip("'") if isinstance(value, str) else value}, place)
        for row, place in zip(rows, where, strict=True)
        if _group(value := row.get(columns.trusted_label)) is not None and not is_missing(str(value).strip(" '"))
    ]
    if not kept:
        raise DataError(f"no row of '{path}' has a true label yet; fill in its column '{columns.trusted_label}'")
    return [row for row, _ in kept], [place for _, place in kept]


def _texts(rows: Sequence[Row], column: str, where: Sequence[str]) -> list[str]:
    texts = []
    for row, place in zip(rows, where, strict=True):
        text = row.get(column)
        if not (text is None or isinstance(text, str)):
            raise DataError(f"'{column}' of {place} is {text!r}, not text")
        texts.append(text if text and text.strip() else "")
    return texts


def _ids(rows: Sequence[Row], column: str, where: Sequence[str]) -> list[str | None]:
    """Ids are given for all rows or for none, and never twice."""
    if not any(_group(row.get(column)) for row in rows):
        return [None] * len(rows)
    seen: dict[str, str] = {}
    for row, place in zip(rows, where, strict=True):
        name = plain_id(row.get(column), place, what=column)
        if name in seen:
            raise DataError(f"{place} has the {column} {name!r}, so has {seen[name]}; ids must be unique")
        seen[name] = place
    return list(seen)


def _group(value: Any) -> str | None:
    return None if value is None or value == "" or value != value else str(value)


def _named(columns: Columns) -> dict[str, str]:
    """Return columns that the user named and that must hence be there, with their options."""
    named = {name: option for name, option in ((columns.id, "--id"), (columns.group, "--group")) if name}
    if columns.probs is None:
        return named
    of_probs = [columns.probs] if columns.task.outcome == "binary" else columns.of_classes(columns.probs)
    return named | dict.fromkeys(of_probs, "--probs")


def _places(
    rows: Sequence[Row], texts: Sequence[str], where: Sequence[str], columns: Columns, frame: pd.DataFrame
) -> tuple[list[int], tuple[str, ...]]:
    """Return the place of each trusted row in the user's table, -1 for a new one; and what is said about ids."""
    ids = {name: place for place, name in enumerate(frame["id"]) if isinstance(name, str)}
    by_text: dict[str, int] = {}
    for place, text in enumerate(frame["text"]):
        by_text.setdefault(text, place)
    known = frame["text"].tolist()
    places: list[int] = []
    num_by_text = 0
    for row, text, position in zip(rows, texts, where, strict=True):
        if _group(row.get(PLACE)) is not None:
            places.append(_checked_place(row, text, position, known))
            continue
        row_id = row.get(columns.id or "id")
        name = plain_id(row_id, position) if ids and _group(row_id) is not None else None
        place = next((ids[spelling] for spelling in id_spellings(name or "") if spelling in ids), -1)
        if place >= 0 and text and text != known[place]:
            raise DataError(f"{position} has the id {name!r} of a row with another text; mend the id or the text")
        if place < 0 and text in by_text and text:
            place = by_text[text]
            num_by_text += name is not None
        if place < 0 and not text:
            hint = f"; its id is {name!r}, and the file has such as {next(iter(ids))!r}" if name is not None else ""
            raise DataError(
                f"{position} is no row of the labelled file and has no text in the column '{columns.text}'{hint}"
            )
        places.append(place)
    notes = (f"{counted(num_by_text, 'trusted row')} found by text, since the file lacks the id",)
    return places, notes if num_by_text else ()


def _checked_place(row: Row, text: str, position: str, known: Sequence[str]) -> int:
    """Return the place in the table that a row of `to_judge.csv` names, whose text it must have."""
    name = plain_id(row[PLACE], position, what=PLACE)
    place = int(name) - 1 if name.isdigit() else -1
    if not 0 <= place < len(known) or _loosely(text) != _loosely(known[place]):
        raise DataError(
            f"{position} has the {PLACE} {name!r}, which is another text, or none, in the labelled file: hand back the "
            "to_judge.csv of this very file, with its texts as they were"
        )
    return place


def _loosely(text: str) -> str:
    """Return a text without what a table program may change: white space, an apostrophe before a formula."""
    return " ".join(text.split()).lstrip("'")


def _own_weak_labels(
    rows: Sequence[Row], where: Sequence[str], columns: Columns, labels: WeakLabels
) -> NDArray[np.float64]:
    """Return the cheap labels that the trusted file has itself: a new row is compared by its own."""
    nothing = np.full((len(rows), *columns.task.score_shape), math.nan)
    if columns.label == columns.trusted_label or columns.votes:
        return nothing
    if columns.task.outcome != "binary":
        if not any(columns.label in row for row in rows):
            given = columns.of_classes(columns.label)
            return _probabilities(rows, where, given) if any(given[0] in row for row in rows) else nothing
        values = [row.get(columns.label) for row in rows]
        return _certain(class_numbers(values, where, columns.label, columns.words), nothing.shape[1])
    return parse_further_labels([row.get(columns.label) for row in rows], where, columns.label, labels)


def _once(frame: pd.DataFrame, where: Sequence[str]) -> pd.DataFrame:
    """Return one entry for each row of the user's table, and for each new text."""
    kept: dict[int | str, tuple[int, int]] = {}
    for number, (row, truth, text) in enumerate(zip(frame["row"], frame["truth"], frame["text"], strict=True)):
        name = int(row) if row >= 0 else text
        before = kept.setdefault(name, (truth, number))
        if before[0] != truth:
            raise DataError(f"{where[number]} and {where[before[1]]} are one row and have different true labels")
    return frame.iloc[[number for _, number in kept.values()]].reset_index(drop=True)
