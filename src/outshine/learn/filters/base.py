"""What a filter is: settings that drop the rows whose weak labels look wrong from the strong model's activations."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from outshine.engine.errors import DataError
from outshine.engine.registry import Registry
from outshine.engine.settings import Plugin
from outshine.learn.probes.base import Labelled

PLACES = 12  # decimals to which scores are compared: rounding in a mean makes or breaks no tie


class Filtered(NamedTuple):
    """Which rows stay, in the order of their ids; figures that describe the filter's steps; notes for people."""

    kept: Bool[Tensor, "n"]
    facts: dict[str, float] = {}  # noqa: RUF012  # a NamedTuple's defaults are never changed
    notes: tuple[str, ...] = ()


class Filter(Plugin):
    """How rows are chosen. Fields are settings."""

    title: ClassVar[str] = ""

    @abstractmethod
    def keep(self, rows: Labelled, drop: float, train: Labelled) -> Filtered:
        """Choose among `rows`, dropping round(drop · n) of them.

        `train`: the training rows, on which probes are fitted; the same object where these are filtered.
        Raises DataError where the rows cannot be filtered.
        """


def drop_highest(scores: Float[Tensor, "n"], kept: Bool[Tensor, "n"], count: int) -> Bool[Tensor, "n"]:
    """`kept` less the `count` rows of it with the highest scores; of equal scores the smaller ids go first."""
    places = kept.nonzero()[:, 0]
    order = scores[places].round(decimals=PLACES).argsort(descending=True, stable=True)
    left = kept.clone()
    left[places[order[:count]]] = False
    return left


def num_dropped(num_rows: int, drop: float) -> int:
    """round(drop · n). Raises DataError where nothing would be left."""
    count = round(drop * num_rows)
    if count >= num_rows:
        raise DataError(f"drop = {drop:g} of {num_rows} rows leaves none; lower drop or take more rows")
    return count


filters: Registry[Filter] = Registry("filter", "filters", Filter, "outshine.learn.filters")
