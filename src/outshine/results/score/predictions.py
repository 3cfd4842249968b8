"""Tables of predictions: wide or long, or one a model, as CSV, JSON lines, Parquet or frames."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from outshine.data.label_spellings import token_of
from outshine.data.user_tables import check_columns, read_table, refuse_repeated
from outshine.data.weak_label_file import id_spellings
from outshine.engine.errors import DataError, SettingsError
from outshine.engine.messages import counted
from outshine.stats.estimates import Floats
from outshine.stats.pgr import ROLES

CONTROL = "control"
Source = Path | str | pd.DataFrame

_NOT_TESTED_ON = ("train", "training", "val", "valid", "validation", "dev", "weak_train", "strong_train")
_VALUES = {  # columns of a file of one model, and what their values are
    "log_odds": "log-odds",
    "logit": "log-odds",
    "logits": "log-odds",
    "p": "probability",
    "probability": "probability",
    "probabilities": "probability",
    "score": None,
    "scores": None,
    "prediction": None,
    "value": None,
}


class Model(NamedTuple):
    """Whose predictions they are.

    `role`: weak, student, ceiling or control. `name`: of a control, else "". `method`: of which method the student is,
    or whose supervisor, ceiling or control; "": of all.
    """

    role: str
    name: str = ""
    method: str = ""

    @property
    def words(self) -> str:
        """Its name in messages, and in columns and options: `student`, `control:shuffled`."""
        return f"{self.role}:{self.name}" if self.name else self.role


class Predicted(NamedTuple):
    """What one model, of one seed, predicts of one test set.

    Attributes:
        model: Whose predictions.
        dataset: The data set's name; "": there is one.
        test: The test set's name.
        seed: The seed's name; "": none is told.
        ids: What rows are known by, [n].
        values: A number a row, [n, 1], or one for each class, [n, K].
        labels: The truth as it is written, [n]; None: it is not here.
        groups: What rows share, [n]; None: nothing is told.
        kind: What the values are: `log-odds`, `probability`, `correct` (1 where the answer was right); None: not told.
        classes: Names of the K classes; empty: they are numbers. None: the values are those of answers by their place,
            which mean another thing in every row.
        source: The file.
        has_ids: Whether the file tells what rows are known by; else `ids` are their places.
    """

    model: Model
    dataset: str
    test: str
    seed: str
    ids: list[str]
    values: Floats
    labels: Sequence[Any] | None
    groups: Sequence[Any] | None
    kind: str | None
    classes: tuple[str, ...] | None
    source: str
    has_ids: bool = True


class Columns(NamedTuple):
    """The names of the columns of a row's truth, of what it shares with others, and of its identity; None: as usual."""

    label: str | None = None
    group: str | None = None
    id: str | None = None


class _Given(NamedTuple):
    """A table: cells by column, and what it is called."""

    cells: dict[str, list[Any]]
    num_rows: int
    source: str


def read_tables(sources: Sequence[Source], columns: Columns, notes: list[str]) -> list[Predicted]:
    """Read tables that hold several models, wide or long. Notes are added to `notes`.

    Wide: a row a test row, and in the columns weak, student, ceiling and `control:NAME` what each says of it, K columns
    such as `student_0` … or a list where there are K classes. Long: a row a model and test row, with a column role.
    Raises DataError for tables that are neither, and for cells that cannot be read.
    """
    found: list[Predicted] = []
    for source in sources:
        given = _open(source)
        found += _long(given, columns, notes) if "role" in given.cells else _wide(given, columns, notes)
    return found


def read_model(source: Source, model: Model, columns: Columns, notes: list[str]) -> list[Predicted]:
    """Read a table of one model's predictions: id, a value or K of them, and perhaps label, group, seed and test.

    The values are in a column that is called like the role, or log_odds, p, score …. Raises as `read_tables` does.
    """
    given = _open(source)
    facts = _facts(given, columns, notes)
    return _units(given, facts, {model: _single(given, model)}, notes)


def read_labels(source: Source, columns: Columns, notes: list[str]) -> list[Predicted]:
    """Read a table of the truth: id and label, perhaps group and test. Values are empty."""
    given = _open(source)
    needed = {columns.label or "label": "--label"}
    check_columns(f"'{given.source}'", _rows(given), needed, list(given.cells))
    facts = _facts(given, columns, notes)
    nothing = np.empty((given.num_rows, 0))
    return [
        Predicted(
            *(Model("truth"), dataset, test, ""),
            *(_ids(facts, rows), nothing[rows], *_truth(facts, rows), None, (), given.source, facts.ids is not None),
        )
        for (dataset, test, _, _), rows in _blocks(facts)
    ]


def _open(source: Source) -> _Given:
    if isinstance(source, pd.DataFrame):
        if source.empty:
            raise DataError("a frame of predictions has no rows")
        return _Given({str(name): source[name].tolist() for name in source.columns}, len(source), "the frame")
    table = read_table(source)
    refuse_repeated(source, table, table.columns)
    names = list(dict.fromkeys(table.columns))
    return _Given({name: [row.get(name) for row in table.rows] for name in names}, len(table.rows), str(source))


def _rows(given: _Given) -> list[dict[str, Any]]:
    """The first rows, from which messages guess a column."""
    return [{name: cells[number] for name, cells in given.cells.items()} for number in range(min(given.num_rows, 200))]


# --- rows ---------------------------------------------------------------------------------------------------------


class _Facts(NamedTuple):
    """What is told of each row beside predictions. `blocks`: dataset, test, method and seed, a column each."""

    blocks: pd.DataFrame
    ids: list[str] | None
    labels: list[Any] | None
    groups: list[Any] | None


def _facts(given: _Given, columns: Columns, notes: list[str]) -> _Facts:
    cells = given.cells
    asked = {name: option for name, option in zip(columns, ("--label", "--group", "--id"), strict=True) if name}
    check_columns(f"'{given.source}'", _rows(given), asked, list(cells))
    test = cells.get("test") or cells.get("split")
    index = pd.DataFrame(
        {
            "dataset": _names(cells.get("dataset"), given.num_rows),
            "test": _names(test, given.num_rows, "test"),
            "method": _names(cells.get("method"), given.num_rows),
            "seed": _names(cells.get("seed"), given.num_rows),
        }
    )
    if "test" not in cells and "split" in cells:
        index["test"] = _without_training(index["test"], given.source, notes)
    id_column = columns.id or ("id" if "id" in cells else None)
    ids = _names(cells[id_column], given.num_rows) if id_column else None
    if ids and "" in ids:
        raise DataError(f"row {ids.index('') + 1} of '{given.source}' has no {id_column}; every row needs one")
    groups = cells.get(columns.group or "group")
    return _Facts(
        index,
        ids,
        cells.get(columns.label or "label"),
        None if groups is None else [None if name == "" else name for name in _names(groups, given.num_rows)],
    )


def _without_training(splits: pd.Series, source: str, notes: list[str]) -> pd.Series:
    """Splits that models were trained or chosen on are missing values, which no block has."""
    trained = splits.str.lower().isin(_NOT_TESTED_ON)
    if trained.all():
        raise DataError(f"'{source}' has rows of {', '.join(splits.unique())} alone; none is of a test set")
    if trained.any():
        names = ", ".join(splits[trained].unique())
        notes.append(f"{counted(int(trained.sum()), 'row')} of {names} left out: what models were trained or chosen on")
    return splits.where(~trained)


def _names(cells: Sequence[Any] | None, num_rows: int, default: str = "") -> list[str]:
    """Cells as texts; whole numbers are written alike, 7.0 in a CSV too; an empty cell is the default."""
    if cells is None:
        return [default] * num_rows
    return [_name(cell) or default for cell in cells]


def _name(cell: Any) -> str:
    if isinstance(cell, str):
        return min(id_spellings(cell.strip()), key=len)
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    return "" if cell is pd.NA or cell is pd.NaT else str(cell)


def _blocks(facts: _Facts) -> list[tuple[tuple[str, str, str, str], np.ndarray]]:
    """(dataset, test, method, seed) of each block with the places of its rows, in the order of the table."""
    columns = ["dataset", "test", "method", "seed"]
    groups = facts.blocks.groupby(columns, sort=False, dropna=True).indices
    return [((str(a), str(b), str(c), str(d)), np.asarray(rows)) for (a, b, c, d), rows in groups.items()]  # pyright: ignore[reportGeneralTypeIssues] -- four columns


def _ids(facts: _Facts, rows: np.ndarray) -> list[str]:
    """The ids of some rows; places in the block where the table has none."""
    return [str(number) for number in range(len(rows))] if facts.ids is None else [facts.ids[row] for row in rows]


def _truth(facts: _Facts, rows: np.ndarray) -> tuple[list[Any] | None, list[Any] | None]:
    labels, groups = (None if told is None else [told[row] for row in rows] for told in (facts.labels, facts.groups))
    return labels, groups


# --- models -------------------------------------------------------------------------------------------------------


def _wide(given: _Given, columns: Columns, notes: list[str]) -> list[Predicted]:
    classes = [name.removeprefix("student_") for name in _columns_of(given, "student")]
    stems = [*ROLES, *_controls(given, classes)]
    models = {
        Model(*stem.split(":", 1)): _ValueColumns(stem, names) for stem in stems if (names := _columns_of(given, stem))
    }
    if Model("student") not in models:
        needed: dict[str, str] = {"student": ""}
        hint = "wide: columns weak, student, ceiling; long: a column role; a file a model: --weak, --student, --ceiling"
        try:
            check_columns(f"'{given.source}'", _rows(given), needed, list(given.cells))
        except DataError as error:
            raise DataError(f"{error} ({hint})") from None
        raise DataError(f"'{given.source}' has no column 'student' ({hint})")
    facts = _facts(given, columns, notes)
    if facts.ids is None and len(_blocks(facts)) > len({key[:2] for key, _ in _blocks(facts)}):
        check_columns(f"'{given.source}'", _rows(given), {"id": "--id"}, list(given.cells))
    return _units(given, facts, models, notes)


class _ValueColumns(NamedTuple):
    """The columns of a model's values: one called `stem`, or `stem_CLASS` for each class. `kind`: what they are."""

    stem: str
    names: list[str]
    kind: str | None = None


def _columns_of(given: _Given, stem: str) -> list[str]:
    if stem in given.cells:
        return [stem]
    several = [name for name in given.cells if name.startswith(f"{stem}_")]
    return several if len(several) > 1 else []


def _controls(given: _Given, classes: Sequence[str]) -> list[str]:
    """The names of controls with the word before them: `control:shuffled`, whose columns may end in a class."""
    found = []
    for name in given.cells:
        if name.startswith(f"{CONTROL}:"):
            ending = next((f"_{one}" for one in classes if one != "student" and name.endswith(f"_{one}")), "")
            stem = name.removesuffix(ending)
            if stem == f"{CONTROL}:":
                raise DataError(f"'{given.source}' has a column '{name}'; write which control it is: {CONTROL}:NAME")
            found.append(stem)
    return list(dict.fromkeys(found))


def _long(given: _Given, columns: Columns, notes: list[str]) -> list[Predicted]:
    values = _single(given, None)
    check_columns(f"'{given.source}'", _rows(given), {columns.id or "id": "--id"}, list(given.cells))
    facts = _facts(given, columns, notes)
    roles = _names(given.cells["role"], given.num_rows)
    found: list[Predicted] = []
    for words in dict.fromkeys(roles):
        role, _, name = words.partition(":")
        if role not in (*ROLES, CONTROL) or (role == CONTROL) != bool(name):
            known = f"{', '.join(ROLES)} and {CONTROL}:NAME"
            raise DataError(f"'{given.source}' has '{words}' in the column role; there are {known}")
        own = np.flatnonzero(np.array(roles) == words)
        part = _Given(
            {column: [cells[row] for row in own] for column, cells in given.cells.items()}, len(own), given.source
        )
        found += _units(part, _part(facts, own), {Model(role, name): values}, notes)
    return found


def _part(facts: _Facts, rows: np.ndarray) -> _Facts:
    labels, groups = _truth(facts, rows)
    ids = None if facts.ids is None else [facts.ids[row] for row in rows]
    return _Facts(facts.blocks.iloc[rows].reset_index(drop=True), ids, labels, groups)


def _single(given: _Given, model: Model | None) -> _ValueColumns:
    """The columns with the values of a table of one model, or of a long one."""
    stems = [*([model.role] if model else []), *_VALUES]
    for stem in stems:
        names = _columns_of(given, stem)
        if names:
            return _ValueColumns(stem, names, _VALUES.get(stem))
    raise DataError(
        f"'{given.source}' has no column with predictions; it has: {', '.join(given.cells)}; call it "
        f"{' or '.join(stems[:3])}, or with K classes {stems[0]}_0 … {stems[0]}_K−1"
    )


def _units(given: _Given, facts: _Facts, models: Mapping[Model, _ValueColumns], notes: list[str]) -> list[Predicted]:
    """Each model's predictions block by block; a block without any value of a model is none of it, with a note."""
    found: list[Predicted] = []
    blocks = _blocks(facts)
    told: set[tuple[str, ...]] = set()  # blocks whose truth is with a model already
    for model, own_columns in models.items():
        values, classes = _values(given, own_columns)
        for (dataset, test, method, seed), rows in blocks:
            own = values[rows]
            missing = np.isnan(own).any(axis=1)
            where = " ".join(part for part in (dataset, test, method, f"seed {seed}" if seed else "") if part)
            if np.isnan(own).all():
                notes.append(f"{model.words} has no value on {where}: left out there")
                continue
            ids = _ids(facts, rows)
            if missing.any():
                first = ids[int(np.flatnonzero(missing)[0])]
                raise DataError(
                    f"the values of {model.words} on {where} in '{given.source}' are missing or NaN in "
                    f"{counted(int(missing.sum()), 'row')}, such as '{first}'"
                )
            whose = model if method == "" else model._replace(method=method)
            key = (dataset, test, method, seed)
            labels, groups = (None, None) if key in told else _truth(facts, rows)
            told.add(key)
            told_of = (labels, groups, own_columns.kind, classes, given.source, facts.ids is not None)
            found.append(Predicted(whose, dataset, test, seed, ids, own, *told_of))
    return found


def _values(given: _Given, columns: _ValueColumns) -> tuple[Floats, tuple[str, ...]]:
    """The numbers of a model [n, k], and the names of its classes; empty: numbers."""
    names = columns.names
    if len(names) == 1:
        return _numbers(given.cells[names[0]], names[0], given.source), ()
    suffixes = [name.removeprefix(f"{columns.stem}_") for name in names]
    if all(suffix.isdecimal() for suffix in suffixes):
        order = np.argsort([int(suffix) for suffix in suffixes])
        if [int(suffixes[place]) for place in order] != list(range(len(names))):
            listed = ", ".join(names)
            raise DataError(f"'{given.source}' has the columns {listed}; classes are numbered 0, 1, 2 … without a gap")
        names, suffixes = [names[place] for place in order], []
    parts = [_numbers(given.cells[name], name, given.source) for name in names]
    if any(part.shape[1] != 1 for part in parts):
        raise DataError(f"'{given.source}' has lists in {', '.join(names)}; a column of a class holds a number a row")
    return np.concatenate(parts, axis=1), tuple(suffixes)


def _numbers(cells: Sequence[Any], column: str, source: str) -> Floats:
    """Cells as numbers [n, 1], or lists of K numbers [n, K]; NaN where a cell is empty. Raises DataError for others."""
    is_list = [_is_list(cell) for cell in cells]
    if any(is_list):
        return _lists(cells, is_list, column, source)
    try:
        numbers = np.array(pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce"), dtype=np.float64)
    except OverflowError:  # a whole number of hundreds of digits
        numbers = np.full(len(cells), math.nan)
    for place in np.flatnonzero(np.isnan(numbers)).tolist():
        numbers[place] = _number(cells[place], place, column, source)
    return numbers[:, None]


def _number(cell: Any, place: int, column: str, source: str) -> float:
    """A cell that is no plain number: 85 %, 0,85, or nothing."""
    token = token_of(cell if isinstance(cell, str | int | float) else _name(cell))
    if token is None or token in ("nan", "na", "n/a", "null", "none", "<na>"):
        return math.nan
    if isinstance(token, str):
        shown = token if len(token) <= 40 else f"{token[:40]}…"
        raise DataError(f"row {place + 1} of '{source}' has '{shown}' in the column '{column}'; a number is expected")
    return token


def _is_list(cell: Any) -> bool:
    return isinstance(cell, list | tuple | np.ndarray) or (isinstance(cell, str) and cell.lstrip().startswith("["))


def _lists(cells: Sequence[Any], is_list: Sequence[bool], column: str, source: str) -> Floats:
    rows: list[list[float]] = []
    for place, (cell, listed) in enumerate(zip(cells, is_list, strict=True)):
        where = f"row {place + 1} of '{source}'"
        try:
            items = json.loads(cell) if listed and isinstance(cell, str) else list(cell) if listed else None
            row = None if items is None else [math.nan if item is None else float(item) for item in items]
        except (ValueError, TypeError, RecursionError, OverflowError):
            row = None
        if not row:
            raise DataError(f"{where} has no list of numbers in the column '{column}', as other rows have")
        if rows and len(row) != len(rows[0]):
            raise DataError(
                f"{where} has {counted(len(row), 'value')} in the column '{column}', where the rows before have "
                f"{len(rows[0])}"
            )
        rows.append(row)
    if len(rows[0]) < 2:
        raise DataError(f"'{source}' has lists of one value in the column '{column}'; write the value alone")
    return np.array(rows, dtype=np.float64)


def numbered_seeds(several: Iterable[list[Predicted]], option: str) -> list[Predicted]:
    """Files of one model, of which each is another seed unless it names its own."""
    files = list(several)
    if len(files) < 2:
        return [one for file in files for one in file]
    told = [any(one.seed for one in file) for file in files]
    if any(told) and not all(told):
        raise SettingsError(f"of the files of {option} some have a column seed and some have none; give it to all")
    if all(told):
        return [one for file in files for one in file]
    return [one._replace(seed=str(number)) for number, file in enumerate(files) for one in file]
