"""What `run` can say of the preparation of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from claim import Claim

from outshine.data.rows import ListRows, Pools, Row
from outshine.data.schema import Draw, Example, Recipe
from outshine.data.splits import OtherTest, SplitSettings, prepare
from outshine.data.task import MultiClass
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


class _Classes(_Made):
    """Rows of four classes."""

    task = MultiClass(class_names=("red", "green", "blue", "grey"))


def _said_of_classes(*counts: int, **settings: Any) -> list[str]:
    """The same of so many rows of each of four classes, from which test is held out."""
    labels = [number for number, count in enumerate(counts) for _ in range(count)]
    rows = [{"text": f"row {i}", "label": label} for i, label in enumerate(labels)]

    class Source(_Classes):
        def open(self, identity: str) -> Pools:
            return Pools(ListRows(rows), None)

    try:
        sizes = {"n_train": 80, "n_val": 40, "n_test": 60, **settings}
        return prepare(Source(), "made", SplitSettings(**sizes)).notes
    except DataError as error:
        return [str(error)]


@cache
def four_classes() -> list[str]:
    return _said_of_classes(100, 100, 100, 100)


@cache
def a_rare_class() -> list[str]:
    return _said_of_classes(200, 150, 150, 20)


@cache
def a_class_of_two_rows() -> list[str]:
    return _said_of_classes(200, 150, 150, 2)


def _other_test(shared: bool) -> list[str]:
    """Notes of a preparation with another test set, whose rows are those of the dataset or others."""

    class Source(_Made):
        def open(self, identity: str) -> Pools:
            return Pools(ListRows(_rows(300)), ListRows(_rows(100, prefix="test")))

    class Other(_Made):
        kind = "other"

        def open(self, identity: str) -> Pools:
            own = _rows(100, prefix="other")
            return Pools(ListRows([*_rows(300), *own] if shared else own), None)

    tests = [OtherTest(name="other", recipe=Other(), recipe_version=1, source="made")]
    return prepare(Source(), "made", SplitSettings(n_train=40, n_val=10, n_test=20), tests).notes


CLAIMS: tuple[Claim, ...] = (
    Claim("{} rows and none of {}", a_class_of_two_rows, four_classes),
    Claim(
        "{}, and each of {} splits needs rows of every class; give more rows of {}, or leave out of `classes` what is too "
        "rare",
        a_class_of_two_rows,
        six_rows,  # of two classes
    ),
    Claim("Rare classes in {}, fewer than {} rows: {}; {}.", a_rare_class, four_classes),
    Claim(
        "they weigh as much as the others in a mean over classes, and are measured on few rows",
        a_rare_class,
        four_classes,
    ),
    Claim("Test set {}: {} left out that the dataset has too.", lambda: _other_test(True), lambda: _other_test(False)),
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
