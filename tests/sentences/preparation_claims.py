"""What `run` can say of the preparation of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from claim import Claim

from outshine.data.rows import ListRows, Pools, Row
from outshine.data.schema import Draw, Example, Recipe
from outshine.data.splits import SplitSettings, prepare
from outshine.engine.errors import DataError

MODULES: tuple[str, ...] = (
    "data/splits.py",
    "data/usable_rows.py",
    "w2s/stages/prepare.py",
)


class _Made(Recipe):
    """Rows that are (text, label, group, shared) already; never registered."""

    kind = "made"

    def format(self, row: Row, draw: Draw) -> Example | None:
        return Example(row["text"], row["label"], row.get("group"), shared=row.get("shared", ()))


def _rows(num_rows: int, positive_every: int = 2, prefix: str = "row", **more: Any) -> list[dict[str, Any]]:
    """Rows of which every so-manyth is positive. `more`: functions of the row's number for further fields."""
    made = [{"text": f"{prefix} {i}", "label": i % positive_every == 0} for i in range(num_rows)]
    return [{**row, **{name: value(i) for name, value in more.items()}} for i, row in enumerate(made)]


def _said(train: Sequence[Row], test: Sequence[Row] | None = None, **settings: Any) -> list[str]:
    """The notes of a preparation, or the error that refuses it."""

    class Source(_Made):
        def open(self, identity: str) -> Pools:
            return Pools(ListRows(train), None if test is None else ListRows(test))

    try:
        sizes = {"n_train": 40, "n_val": 10, "n_test": 20, **settings}
        return prepare(Source(), "made", SplitSettings(**sizes)).notes
    except DataError as error:
        return [str(error)]


@cache
def plain() -> list[str]:
    """As many rows as asked for, balanced, each alone, with a test side."""
    return _said(_rows(300), _rows(100, prefix="test"))


@cache
def label_as_group() -> list[str]:
    return _said(_rows(400, group=lambda i: str(i % 2)))


@cache
def a_constant_as_group() -> list[str]:
    return _said(_rows(400, group=lambda _: "one"))


@cache
def label_as_group_on_both_sides() -> list[str]:
    return _said(_rows(400, group=lambda i: str(i % 2)), _rows(400, prefix="test", group=lambda i: str(i % 2)))


@cache
def one_author_of_nearly_all() -> list[str]:
    rows = _rows(400, group=lambda i: "one" if i < 390 else f"other {i}")
    return _said(rows, _rows(100, prefix="test"))


@cache
def one_positive() -> list[str]:
    return _said(_rows(400, positive_every=400))


@cache
def six_rows() -> list[str]:
    return _said(_rows(6), _rows(100, prefix="test"))


@cache
def tiny_val() -> list[str]:
    return _said(_rows(300), _rows(100, prefix="test"), n_val=4)


@cache
def held_out() -> list[str]:
    return _said(_rows(400))


@cache
def few() -> list[str]:
    return _said(_rows(60), _rows(100, prefix="test"), n_train=400)


@cache
def skewed_test() -> list[str]:
    return _said(_rows(300), _rows(20, positive_every=4, prefix="test"), balance_test=False)


@cache
def one_author_of_half_the_test() -> list[str]:
    return _said(_rows(300), _rows(20, prefix="test", group=lambda i: "one" if i < 10 else None))


@cache
def stock_phrase() -> list[str]:
    return _said(_rows(300, shared=lambda i: ("None of these.", f"own {i}")), _rows(100, prefix="test"))


@cache
def short_passages() -> list[str]:
    return _said(_rows(300, shared=lambda i: (f"passage {i // 10}",)), _rows(100, prefix="test"))


CLAIMS: tuple[Claim, ...] = (
    Claim("the {} usable {} rows are {}", label_as_group, plain),
    Claim(
        "{}, in {}; a group (rows with one `group`, or that share a text) is never divided, so {} splits need rows of "
        "each class in {} groups or more",
        label_as_group,
        one_positive,  # too few rows of a class, whatever the groups
    ),
    Claim("one and the same group", a_constant_as_group, label_as_group),
    Claim("; training rows of a group that test has are left out", label_as_group_on_both_sides, label_as_group),
    Claim(
        "{}, and {} of them are one group, which is never divided; use smaller groups",
        one_author_of_nearly_all,
        label_as_group,  # two groups of one half each
    ),
    Claim(
        "{}, and a balanced split has as many rows of each class; give more rows of the rarer one",
        one_positive,
        six_rows,  # no class is rarer
    ),
    Claim("{}{}; give more rows or ask for other sizes", six_rows, label_as_group),
    Claim("ask for {} or more", tiny_val, six_rows),
    Claim("Fewer rows than asked for: {}.", few, plain),
    Claim("The test rows are held out of the source's rows by group.", held_out, plain),
    Claim("{} is not balanced: {} are {}.", skewed_test, plain),
    Claim("One group has {} of the {} rows of {}{}.", one_author_of_half_the_test, plain),
    Claim(": intervals count them as one", one_author_of_half_the_test, short_passages),
    Claim(
        "{} rows share a text so common that it makes no group of them: {}.",
        stock_phrase,
        short_passages,  # a passage of ten rows does make a group
    ),
)
