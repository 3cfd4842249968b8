"""The probe of k nearest neighbours."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor

from outshine.data.task import EVERY_OUTCOME
from outshine.engine.errors import DataError
from outshine.learn.probes.base import FittedProbe, Labelled, Predicted, Probe, probes
from outshine.learn.probes.nearest_neighbours import Neighbours

QUERIES = 16_384  # predicted at once: bounds the lists of neighbours


class FittedKNN(FittedProbe):
    """The fitted probe: the rows that vote."""

    def __init__(self, settings: KNN, rows: Labelled) -> None:
        self.settings = settings
        self.points = settings.place(rows.acts)
        self.p_weak = rows.p_weak

    def predict(self, acts: Float[Tensor, "m d"]) -> Predicted:
        queries = self.settings.place(acts.float()).split(QUERIES)
        k = self.settings.k
        votes = [self.p_weak[Neighbours(self.points, k, part).nearest(k)].mean(1) for part in queries]
        return Predicted.of_p(torch.cat(votes))

    def predict_own(self, rows: Labelled) -> Predicted:
        """Leave-one-out votes: a row has no say about itself, unless `include_self`."""
        if self.settings.include_self:
            return self.predict(rows.acts)
        k = self.settings.k
        return Predicted.of_p(self.p_weak[Neighbours(self.points, k).nearest(k)].mean(1))


@probes.register("knn")
class KNN(Probe):
    """Mean p_weak of the k nearest activations; ties at the k-th distance go to the smaller ids.

    Source: the post, "Probe predictions".
    """

    title: ClassVar[str] = "mean weak label of the k nearest activations"
    outcomes: ClassVar[tuple[str, ...]] = EVERY_OUTCOME

    k: PositiveInt = Field(default=50, description="neighbours that vote")
    metric: Literal["euclidean", "cosine"] = Field(default="euclidean", description="euclidean or cosine distance")
    include_self: bool = Field(default=False, description="a training row is its own neighbour when it is predicted")

    def fit(self, rows: Labelled) -> FittedKNN:
        """Raise DataError where there are not more than k rows."""
        check_k(self.k, len(rows.ids), "knn")
        return FittedKNN(self, rows)

    def place(self, acts: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return where rows lie: for cosine on the unit sphere, on which Euclidean distance grows with 1 − cos."""
        return acts if self.metric == "euclidean" else torch.nn.functional.normalize(acts, dim=1)


def check_k(k: int, num_rows: int, who: str) -> None:
    """Raise DataError where k is not below the number of rows."""
    if k >= num_rows:
        raise DataError(f"{who}: k = {k} neighbours need more than {k} rows, there are {num_rows}; lower k")
