"""Base classes of filters, which drop rows whose weak labels look wrong from the strong model's activations."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from outshine.data.task import ONE_NUMBER
from outshine.engine.errors import DataError
from outshine.engine.registry import Registry
from outshine.engine.settings import Plugin
from outshine.learn.probes.base import Labelled

PLACES = 12  # decimals to which scores are compared: rounding in a mean makes or breaks no tie


class Filtered(NamedTuple):
    """Which rows a filter keeps.

    Attributes:
        kept: Whether each row stays, in the order of the ids, bool, [n].
        facts: Figures that describe the filter's steps, by name.
        notes: What a user should know, in sentences.
    """

    kept: Bool[Tensor, "n"]
    facts: dict[str, float] = {}  # noqa: RUF012  # a NamedTuple's defaults are never changed
    notes: tuple[str, ...] = ()


class Filter(Plugin):
    """How training rows are chosen by their weak labels: fields are settings, `keep` chooses.

    Attributes:
        title: What it is, in a few words, for listings.
        outcomes: The kinds of labels that it can work with, as `outshine.data.task.Task.outcome` names them.
    """

    title: ClassVar[str] = ""
    outcomes: ClassVar[tuple[str, ...]] = ONE_NUMBER

    @abstractmethod
    def keep(self, rows: Labelled, drop: float, train: Labelled) -> Filtered:
        """Choose among rows.

        Args:
            rows: The rows to choose among, n of them.
            drop: Share of them to drop: exactly round(drop · n) go.
            train: The rows of strong_train, on which probes are fitted; the same object as `rows` where these are
                filtered.

        Returns:
            Which rows stay.

        Raises:
            DataError: The rows cannot be filtered, or none would be left.
        """


def disagreement(p: Float[Tensor, "n *k"], q: Float[Tensor, "n *k"]) -> Float[Tensor, "n"]:
    """Compute how far two predictions of each row are apart: their total variation distance.

    Args:
        p: P(y = 1), [n], or probabilities of K classes, [n, K].
        q: Others of the same rows and shape.

    Returns:
        |p − q|; of K classes ½ Σₖ |pₖ − qₖ|, which for two is the same, [n].
    """
    apart = (p - q).abs()
    return apart if apart.dim() == 1 else apart.sum(1) / 2


def drop_highest(scores: Float[Tensor, "n"], kept: Bool[Tensor, "n"], count: int) -> Bool[Tensor, "n"]:
    """Drop the kept rows with the highest scores.

    Args:
        scores: One for each row, [n]. They are compared to 12 decimals, so that rounding makes or breaks no tie.
        kept: The rows that are still there, bool, [n].
        count: How many of these to drop; of equal scores the smaller ids go first.

    Returns:
        `kept` without them, bool, [n].
    """
    places = kept.nonzero()[:, 0]
    order = scores[places].round(decimals=PLACES).argsort(descending=True, stable=True)
    left = kept.clone()
    left[places[order[:count]]] = False
    return left


def num_dropped(num_rows: int, drop: float) -> int:
    """Count the rows to drop: round(drop · n).

    Args:
        num_rows: n.
        drop: The share to drop, in [0, 1].

    Returns:
        How many rows go.

    Raises:
        DataError: None would be left.
    """
    count = round(drop * num_rows)
    if count >= num_rows:
        raise DataError(f"drop = {drop:g} of {num_rows} rows leaves none; lower drop or take more rows")
    return count


filters: Registry[Filter] = Registry("filter", "filters", Filter, "outshine.learn.filters")
