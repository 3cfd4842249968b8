"""What a probe is: settings, labelled activations to fit it on, and the fitted probe that predicts."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from outshine.engine.errors import DataError
from outshine.engine.registry import Registry
from outshine.engine.settings import Plugin

CERTAIN = 1e-12  # p is kept this far from 0 and 1 where log-odds are made of it


class Labelled(NamedTuple):
    """Activations with weak labels, always in the order of their ids.

    So whatever is made of them is the same, to the bit, for any order in which rows were given, and a tie
    that goes to the earlier row goes to the smaller id. `hard`: classes made of the soft labels.
    """

    ids: list[str]
    acts: Float[Tensor, "n d"]  # float32
    p_weak: Float[Tensor, "n"]  # float64 in [0, 1]
    hard: Bool[Tensor, "n"]

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        acts: Float[Tensor, "n d"],
        p_weak: Float[Tensor, "n"],
        hard: Bool[Tensor, "n"] | None = None,
    ) -> Labelled:
        """Rows given in any order. `hard` None: p_weak above one half.

        Raises DataError for repeated ids, labels outside [0, 1], activations that are not finite or do not
        vary at all.
        """
        order = sorted(range(len(ids)), key=ids.__getitem__)
        ids, in_order = [ids[i] for i in order], order == list(range(len(order)))
        acts, p_weak = acts.float(), p_weak.double()
        hard = p_weak > 0.5 if hard is None else hard
        _check(ids, acts, p_weak)
        if in_order:
            return cls(ids, acts, p_weak, hard)
        return cls(ids, acts[order], p_weak[order], hard[order])

    def take(self, rows: Bool[Tensor, "n"]) -> Labelled:
        """The rows that are marked."""
        ids = [one for one, taken in zip(self.ids, rows.tolist(), strict=True) if taken]
        return Labelled(ids, self.acts[rows], self.p_weak[rows], self.hard[rows])


def _check(ids: Sequence[str], acts: Tensor, p_weak: Tensor) -> None:
    if not ids:
        raise DataError("a probe or filter needs rows; none were given")
    if any(one == other for one, other in itertools.pairwise(ids)):
        raise DataError("activations with repeated ids; each row must have an id of its own")
    if not ((p_weak >= 0) & (p_weak <= 1)).all():  # also false for NaN
        raise DataError("weak labels must be numbers in [0, 1]")
    if not acts.isfinite().all():
        raise DataError("activations that are not finite; choose another layer or compute_dtype: float32")
    if len(ids) > 1 and (acts == acts[0]).all():
        raise DataError(
            f"the activations of all {len(ids)} rows are the same: nothing can be told from them; choose another layer "
            "(layer 0 of a causal model sees the last token only)"
        )


class Predicted(NamedTuple):
    """P(y = 1) of rows, and the log-odds by which they are ranked; both float64, shape [m]."""

    p: Float[Tensor, "m"]
    log_odds: Float[Tensor, "m"]

    @classmethod
    def of_p(cls, p: Float[Tensor, "m"]) -> Predicted:
        """From probabilities; those of exactly 0 and 1 get large finite log-odds."""
        p = p.double()
        return cls(p, p.clamp(CERTAIN, 1 - CERTAIN).logit())

    @classmethod
    def of_log_odds(cls, log_odds: Float[Tensor, "m"]) -> Predicted:
        """From log-odds."""
        log_odds = log_odds.double()
        return cls(log_odds.sigmoid(), log_odds)


class FittedProbe(ABC):
    """A probe that knows its rows."""

    @abstractmethod
    def predict(self, acts: Float[Tensor, "m d"]) -> Predicted:
        """Predictions for any rows."""

    def predict_own(self, rows: Labelled) -> Predicted:
        """Predictions for the very rows that it was fitted on. Probes in which a row has a vote override it."""
        return self.predict(rows.acts)


class Probe(Plugin):
    """How weak labels are learned from activations. Fields are settings; `fit` makes the fitted probe."""

    title: ClassVar[str] = ""

    @abstractmethod
    def fit(self, rows: Labelled) -> FittedProbe:
        """Fit on labelled activations. Raises DataError where these rows cannot be fitted."""


probes: Registry[Probe] = Registry("probe", "probes", Probe, "outshine.learn.probes")
