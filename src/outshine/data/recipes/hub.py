"""Any dataset of the hub that has a text and a label in columns of its own, used as it is."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from outshine.data.hub_source import identify_repo, paths_on_hub, splits_on_hub
from outshine.data.label_spellings import ALL_CLASSES, Spellings, Words, classes_found, listed
from outshine.data.rows import Hub, ParquetRows, Pools, Row
from outshine.data.schema import Draw, Example, Recipe, recipes
from outshine.data.task import Task
from outshine.data.user_datasets import (
    HUB_KIND,
    OWN_LABELS,
    OwnColumns,
    check_words,
    example_from_columns,
    task_by_words,
    with_labels,
)
from outshine.data.user_tables import check_columns
from outshine.engine.errors import DataError, HubError, SettingsError
from outshine.engine.settings import NotInKeyAtDefault

TRAIN = ("train", "partial-train")  # the second: of large datasets the hub exports a part
TEST = ("test", "validation", "valid", "dev", "partial-test", "partial-validation")
_SPLITS = "--set datasets.0.train=NAME --set datasets.0.test=NAME (or train and test in a study file)"


@recipes.register(HUB_KIND)
class HubDataset(Recipe):
    """Rows of a hub dataset without a recipe: a column is the text, another the label, nothing is added.

    `text_column` and `label_column` must be named. Where `config` is open, the only one, or `default`, is taken; where
    `train` and `test` are, the splits that are called so, else a validation split, else test rows are held out of
    train. Rows without a label are left out and counted.
    """

    title = "a dataset of the hub"
    positive_means = "label 1"

    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="its name on the hub, as in stanfordnlp/imdb")
    config: str | None = Field(default=None, description="which of its configurations; null: the only one, or default")
    train: str | None = Field(default=None, description="the split that train and val come from; null: train")
    test: str | None = Field(
        default=None, description="that of test; null: test, else validation, else rows held out of train"
    )
    text_column: str = Field(min_length=1, description="the column with the text that the model reads")
    label_column: str = Field(min_length=1, description="the column with the ground truth")
    id_column: str | None = Field(default=None, description="the column with a row's identity; null: its text is")
    group_column: str | None = Field(default=None, description="what rows share that must stay in one split")
    positive: Annotated[Spellings, NotInKeyAtDefault()] = Field(default=None, description=OWN_LABELS["positive"])
    negative: Annotated[Spellings, NotInKeyAtDefault()] = Field(default=None, description=OWN_LABELS["negative"])
    classes: Annotated[Spellings, NotInKeyAtDefault()] = Field(default=None, description=OWN_LABELS["classes"])
    missing: Annotated[Spellings, NotInKeyAtDefault()] = Field(default=None, description=OWN_LABELS["missing"])

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_words(self._words)
        return self

    @property
    def task(self) -> Task:  # pyright: ignore[reportIncompatibleVariableOverride]  # by the settings, not by the class
        """Of two classes, or of those that `classes` names."""
        return task_by_words(self._words)

    @property
    def name(self) -> str:
        """The repository's name without its owner, and the configuration where one is named."""
        own = self.repo.rpartition("/")[2]
        return f"{own}-{self.config}" if self.config else own

    def identify(self) -> str:
        """`hub:<repo>@<commit>`. Raises HubError where the repository cannot be read."""
        return identify_repo(self.repo)

    def resolved(self, identity: str) -> HubDataset:
        """With the classes of the label column in place of `all`."""
        if self.classes != ALL_CLASSES:
            return self
        values = [value for rows in self._readers(identity).values() for value in rows.column(self.label_column)]
        return self.model_copy(update={"classes": classes_found(values, self.label_column, self._words)})

    def open(self, identity: str) -> Pools:
        """The rows that have a label. Raises HubError, and DataError for columns and labels that cannot be used."""
        readers = self._readers(identity)
        values, where = [], []
        for split, rows in readers.items():
            what = f"{split} of '{self.repo}'"
            values += rows.column(self.label_column)
            where += [f"row {number} of {what}" for number in range(1, len(rows) + 1)]
        rows_of = list(readers.values())
        sides, notes = with_labels(rows_of, values, where, self.label_column, self._words, f"'{self.repo}'")
        for split, side in zip(readers, sides, strict=True):
            if not len(side):
                raise DataError(f"no row of {split} of '{self.repo}' has a label; name another split: {_SPLITS}")
        return Pools(sides[0], sides[1] if len(sides) > 1 else None, notes=tuple(notes))

    def format(self, row: Row, draw: Draw) -> Example | None:
        columns = OwnColumns(self.text_column, self.label_column, self.id_column, self.group_column)
        return example_from_columns(row, columns, self._words, f"a row of '{self.repo}'")

    def _readers(self, identity: str) -> dict[str, ParquetRows]:
        """The rows of the split for training and, where there is one, of that for test; both have the columns."""
        hub = self._layout(identity)
        paths = paths_on_hub(hub, identity)
        readers = {split: ParquetRows(paths[split]) for split in (hub.pooled or (hub.train, hub.test))}
        for split, rows in readers.items():
            check_columns(f"{split} of '{self.repo}'", rows.head(), self._needed)
        return readers

    @property
    def _needed(self) -> dict[str, str]:
        named = {self.text_column: "--text", self.label_column: "--label"}
        return named | {
            name: option for name, option in ((self.id_column, "--id"), (self.group_column, "--group")) if name
        }

    @property
    def _words(self) -> Words:
        return Words(self.positive, self.negative, self.missing, self.classes)

    def _layout(self, identity: str) -> Hub:
        """Which configuration and splits are meant, of those that there are at the commit of `identity`."""
        splits_of = splits_on_hub(self.repo, identity)
        if not splits_of:
            raise HubError(f"dataset '{self.repo}' has no Parquet export on the hub; download it and name the file")
        config = self.config or (next(iter(splits_of)) if len(splits_of) == 1 else "default")
        if config not in splits_of:
            names = listed(splits_of)
            raise SettingsError(f"'{self.repo}' has the configurations {names}; name one: --dataset {self.repo}:NAME")
        splits = splits_of[config]
        only = splits[0] if len(splits) == 1 else "train"
        train = self.train or next((split for split in TRAIN if split in splits), only)
        test = self.test or next((split for split in TEST if split in splits and split != train), None)
        for split in filter(None, (train, test)):
            if split not in splits:
                raise SettingsError(
                    f"'{self.repo}' ({config}) has no split '{split}'; it has {listed(splits)}: {_SPLITS}"
                )
        return Hub(self.repo, config, train, test, ()) if test else Hub(self.repo, config, train, "", (train,))
