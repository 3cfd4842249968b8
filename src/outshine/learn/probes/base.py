"""Base classes of probes: settings, labelled activations to fit on, and the fitted probe that predicts."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from outshine.data.task import ONE_NUMBER
from outshine.engine.errors import DataError
from outshine.engine.registry import Registry
from outshine.engine.settings import Plugin

CERTAIN = 1e-12  # p is kept this far from 0 and 1 where log-odds are made of it


class Labelled(NamedTuple):
    """Activations with weak labels, always in the order of their ids.

    So whatever is made of them is the same, to the bit, for any order in which rows were given, and a tie that goes to
    the earlier row goes to the smaller id. All tensors lie on one device, the run's: what a
    probe makes of them must too.

    Attributes:
        ids: Row ids, ascending, n of them.
        acts: Hidden states of the pretrained strong model, float32, [n, d].
        p_weak: Weak labels P(y = 1), float64 in [0, 1], [n]; of K classes their probabilities, [n, K].
        hard: Classes made of the weak labels, bool, [n]; of K classes their numbers, int64, [n].
    """

    ids: list[str]
    acts: Float[Tensor, "n d"]  # float32
    p_weak: Float[Tensor, "n *k"]  # float64 in [0, 1]
    hard: Shaped[Tensor, "n"]

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return 2 if self.p_weak.dim() == 1 else self.p_weak.shape[1]

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        acts: Float[Tensor, "n d"],
        p_weak: Float[Tensor, "n *k"],
        hard: Shaped[Tensor, "n"] | None = None,
    ) -> Labelled:
        """Bring rows given in any order into the order of their ids, and check them.

        Args:
            ids: Row ids, no two equal.
            acts: Activations, [n, d].
            p_weak: Weak labels P(y = 1) in [0, 1], [n], or probabilities of K classes, [n, K].
            hard: Classes, [n]. None: `p_weak` above one half, or the likeliest class.

        Returns:
            The rows, activations in float32 and labels in float64.

        Raises:
            DataError: There are no rows, ids are repeated, labels lie outside [0, 1], or activations are not finite or
                all the same.
        """
        order = sorted(range(len(ids)), key=ids.__getitem__)
        ids, in_order = [ids[i] for i in order], order == list(range(len(order)))
        acts, p_weak = acts.float(), p_weak.double()
        if hard is None:
            hard = p_weak > 0.5 if p_weak.dim() == 1 else p_weak.argmax(1)
        _check(ids, acts, p_weak)
        if in_order:
            return cls(ids, acts, p_weak, hard)
        rows = torch.tensor(order, device=acts.device)
        return cls(ids, acts[rows], p_weak[rows], hard[rows])

    def take(self, rows: Bool[Tensor, "n"]) -> Labelled:
        """Return the rows that are marked.

        Args:
            rows: Which rows, bool, [n].

        Returns:
            These rows in the same order.
        """
        ids = [row_id for row_id, taken in zip(self.ids, rows.tolist(), strict=True) if taken]
        return Labelled(ids, self.acts[rows], self.p_weak[rows], self.hard[rows])


def _check(ids: Sequence[str], acts: Tensor, p_weak: Tensor) -> None:
    if not ids:
        raise DataError("a probe or filter needs rows; none were given")
    if any(row_id == following for row_id, following in itertools.pairwise(ids)):
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
    """Predictions of rows by a probe.

    Attributes:
        p: P(y = 1), float64, [m]; of K classes their probabilities, [m, K].
        log_odds: Log-odds of the same, by which rows are ranked, float64, [m]; of K classes logits, [m, K].
    """

    p: Float[Tensor, "m *k"]
    log_odds: Float[Tensor, "m *k"]

    @classmethod
    def of_p(cls, p: Float[Tensor, "m *k"]) -> Predicted:
        """Make predictions of probabilities.

        Args:
            p: P(y = 1) in [0, 1], [m], or probabilities of K classes, [m, K].

        Returns:
            The predictions; probabilities of exactly 0 and 1 get large finite log-odds.
        """
        p = p.double()
        if p.dim() > 1:
            return cls(p, p.clamp(min=CERTAIN).log())
        return cls(p, p.clamp(CERTAIN, 1 - CERTAIN).logit())

    @classmethod
    def of_log_odds(cls, log_odds: Float[Tensor, "m *k"]) -> Predicted:
        """Make predictions of log-odds.

        Args:
            log_odds: log P(y = 1) − log P(y = 0), [m], or logits of K classes, [m, K].

        Returns:
            The predictions in float64.
        """
        log_odds = log_odds.double()
        return cls(log_odds.sigmoid() if log_odds.dim() == 1 else log_odds.softmax(1), log_odds)


class FittedProbe(ABC):
    """A probe that was fitted on labelled activations."""

    @abstractmethod
    def predict(self, acts: Float[Tensor, "m d"]) -> Predicted:
        """Predict any rows.

        Args:
            acts: Activations of the layer that it was fitted on, [m, d].

        Returns:
            One prediction for each row, in their order.
        """

    def predict_own(self, rows: Labelled) -> Predicted:
        """Predict the very rows that it was fitted on; a probe in which a row has a vote overrides it.

        Args:
            rows: The rows that were given to `fit`.

        Returns:
            One prediction for each row, on which the row's own label has no vote.
        """
        return self.predict(rows.acts)


class Probe(Plugin):
    """How weak labels are learned from activations: fields are settings, `fit` makes the fitted probe.

    Attributes:
        title: What it is, in a few words, for listings.
        outcomes: The kinds of labels that it can work with, as `outshine.data.task.Task.outcome` names them.
    """

    title: ClassVar[str] = ""
    outcomes: ClassVar[tuple[str, ...]] = ONE_NUMBER

    @abstractmethod
    def fit(self, rows: Labelled) -> FittedProbe:
        """Fit on labelled activations.

        Args:
            rows: Activations with weak labels, in the order of their ids.

        Returns:
            A new object; the settings are left alone.

        Raises:
            DataError: These rows cannot be fitted.
        """


probes: Registry[Probe] = Registry("probe", "probes", Probe, "outshine.learn.probes")
