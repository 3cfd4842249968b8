"""Base classes of datasets: the recipe that formats a row of the source, its random draws, the example that results."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

import pandas as pd

from outshine.data.hub_source import identify_hub, open_hub
from outshine.data.rows import Hub, Pools, Row
from outshine.data.task import BINARY
from outshine.engine.errors import DataError
from outshine.engine.registry import Registry
from outshine.engine.rng import python_rng
from outshine.engine.settings import Plugin

T = TypeVar("T")


class Draw:
    """The random choices for one source row, a function of (data_seed, row index) alone.

    So neither the order in which rows are formatted nor parallelism changes an example.

    Args:
        data_seed: The study's seed for data.
        row_index: The row's place in its source, or its id.
        coin: What `coin()` shall answer: an audit formats each row both ways. None: it is drawn.
    """

    def __init__(self, data_seed: int, row_index: int | str, coin: bool | None = None) -> None:
        self._rng = python_rng("format", data_seed, row_index)
        self._coin = self._rng.random() < 0.5 if coin is None else coin

    def coin(self) -> bool:
        """Tell whether this row becomes a positive example.

        Returns:
            The same answer however often it is asked.
        """
        return self._coin

    def choice(self, options: Sequence[T]) -> T:
        """Draw one of several options, each with the same probability.

        Args:
            options: What to choose from.

        Returns:
            One of them. Each call draws anew.

        Raises:
            DataError: There are no options.
        """
        if not options:
            raise DataError("a row offers no option to choose from")
        return options[self._rng.randrange(len(options))]


MOST_NAMED = 12  # classes that a sentence names


class Example(NamedTuple):
    """A formatted row.

    Rows with an equal group, or with an equal text among their `shared`, directly or by way of other rows, never lie in
    two splits (`outshine.data.usable_rows`). A row with neither stands alone.

    Attributes:
        text: What models read.
        label: The number of its class; of two classes whether it is a positive.
        group: The name that the source itself gives to rows that belong together, such as a dialogue's number.
        shorten: The part of `text` that may be cut where the text is too long for a model; empty: its left end goes.
        id: The row's own identity where its source gives one; None: the text is its identity.
        text_b: The text that `text` is compared with, in datasets of pairs; the label is then whether `text` is the
            better one.
        shorten_b: The part of `text_b` that may be cut.
        shared: Texts that other rows may show as well and that say something about their labels (a passage, each
            sentence of a pair), as the source writes them. Case, white space and compatible characters do not count.
    """

    text: str
    label: bool | int
    group: str | None = None
    shorten: str = ""
    id: str | None = None
    shared: tuple[str, ...] = ()
    text_b: str | None = None
    shorten_b: str = ""


class Size(NamedTuple):
    """What is publicly known of a dataset's size, so that a study can be planned without its rows.

    Attributes:
        train: Rows of the source's train side that the recipe can use.
        test: Rows of its test side; None: test rows are held out of train.
        characters: Mean length of a formatted text, in characters.
        positive: Share of positive rows.
    """

    train: int
    test: int | None
    characters: int
    positive: float = 0.5


class _OwnKind:
    """The value of `Recipe.family` for a class that names none: its registered name."""

    def __get__(self, instance: Recipe | None, owner: type[Recipe]) -> str:
        return owner.kind


class Recipe(Plugin):
    """How a dataset's rows become examples; those of all classes are formatted by one rule.

    Attributes:
        VERSION: Raised whenever the formatted text of any row changes; it is part of the key.
        task: What its labels are. Stages, results and reports ask it.
        family: Datasets with an equal family are made from the same source rows, so that their results are not
            independent. By default the registered name.
        hub: Where the rows lie on the hub; None: `identify` and `open` are overridden.
        size: What is known of its size; None: nothing.
        title: The dataset's name for people.
        positive_means: What a positive label says, in words.
        source: Authors, year and arXiv number or address.
        license: The licence of the rows.
        draws_label: Whether the recipe draws which candidate answer is proposed, and asks `draw.coin()` for the label.
        candidate_fields: Fields that candidates come from, such as `choices.text`; to an audit these are one place.
        note: What a user should know about the dataset.
    """

    VERSION: ClassVar[int] = 1
    task: ClassVar[Any] = BINARY  # a Task on every class, or a property of recipes whose settings say it
    family: ClassVar[Any] = _OwnKind()  # a str on every class and instance
    hub: ClassVar[Hub | None] = None
    size: ClassVar[Size | None] = None
    title: ClassVar[str] = ""
    positive_means: ClassVar[str] = ""
    source: ClassVar[str] = ""
    license: ClassVar[str] = ""
    draws_label: ClassVar[bool] = False
    candidate_fields: ClassVar[tuple[str, ...]] = ()
    note: ClassVar[str] = ""

    @property
    def label_is_drawn(self) -> bool:
        """Whether a coin decides each row's label, so that labels from a file would not be about the same rows."""
        return False

    @property
    def name(self) -> str:
        """The dataset's name in tables. Row ids are made with `kind`, so that renaming a file moves no id."""
        return self.kind

    @property
    def meaning(self) -> str:
        """What labels say: `positive means: …` of two classes, of more their names, of many the first few."""
        names = self.task.class_names
        if len(names) == 2:
            return f"positive means: {self.positive_means}"
        shown = ", ".join(names[:MOST_NAMED])
        return f"classes: {shown}" + (f" … ({len(names)} in all)" if len(names) > MOST_NAMED else "")

    def located(self) -> Recipe:
        """Return the same recipe with paths that hold in any folder.

        Returns:
            The recipe itself where it names no path.
        """
        return self

    def resolved(self, identity: str) -> Recipe:
        """Return the same recipe with nothing left that the source's rows have to tell, such as the names of classes.

        Args:
            identity: As `identify` returned it.

        Returns:
            The recipe itself where its settings say everything.
        """
        return self

    def identify(self) -> str:
        """Find out what the source's bytes are.

        Returns:
            `hub:<repo>@<commit>`, `sha256:<digest>` or the like; part of the key.

        Raises:
            HubError: The repository cannot be reached and no cached copy is known.
        """
        return identify_hub(self._own_hub())

    def open(self, identity: str) -> Pools:
        """Open the rows of exactly one source.

        Args:
            identity: As `identify` returned it.

        Returns:
            The rows that training and validation are cut from, and those that test is cut from.

        Raises:
            HubError: A file is neither cached nor to be had.
        """
        return open_hub(self._own_hub(), identity)

    def _own_hub(self) -> Hub:
        assert self.hub is not None, f"{type(self).__name__} must set `hub` or override `identify` and `open`"
        return self.hub

    @abstractmethod
    def format(self, row: Row, draw: Draw) -> Example | None:
        """Format one source row as an example.

        Args:
            row: The row as plain Python values.
            draw: The row's random choices.

        Returns:
            The example; None where the row cannot be used, such as one without an answer.
        """

    @classmethod
    def sample_row(cls, number: int) -> Row:
        """Make up a row with the columns and types of the source's, for tests and the documentation.

        Args:
            number: From 0. The texts of any two rows differ and none is a part of another, so that it can be told where
                each one went; but what rows of the source share, three in succession do (`number // 3`).

        Returns:
            The row; an empty one from a class that makes none up.
        """
        return {}


recipes: Registry[Recipe] = Registry("dataset", "recipes", Recipe, "outshine.data.recipes")

NO_PROMPT = "-no-prompt"  # ends the name of a dataset that is shown without the words of its prompt


def families(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the datasets of each family among `names`, in the order given: those of one family share source rows.

    `names`: as `Recipe.name` gives them. A name that is no built-in or installed recipe's is a family of its own.
    """
    known = dict(recipes)
    by_family: dict[str, list[str]] = {}
    for name in names:
        recipe = known.get(name.removesuffix(NO_PROMPT))
        by_family.setdefault(recipe.family if recipe else name, []).append(name)
    return by_family


def row_id(dataset: str, text: str) -> str:
    """The identity by which texts, labels, activations and predictions are joined: 16 hex digits.

    `text`: the row's text, or its own id where the source gives one. Hashed in either case, so that the
    order of ids says nothing about the order of rows or their labels.
    """
    return hashlib.sha256(f"{dataset}\x1f{text}".encode()).hexdigest()[:16]


def digest(frame: pd.DataFrame) -> str:
    """sha256 (hex) of the columns' names and values, in order; the index and the storage types do not count.

    Each column is written as canonical JSON (missing values as null), so that the digest depends neither on
    the version of pandas or pyarrow nor on how the frame was stored in between.
    Raises ValueError for infinite numbers and for values that JSON does not know.
    """
    hasher = hashlib.sha256()
    for name in frame.columns:
        column = frame[name]
        values = [None if missing else value for value, missing in zip(column.tolist(), column.isna(), strict=True)]
        hasher.update(json.dumps([name, values], ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode())
        hasher.update(b"\n")
    return hasher.hexdigest()
