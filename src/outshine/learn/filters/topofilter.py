"""TopoFilter, as adapted by the post: once, on pretrained features, with soft labels, by quota."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from pydantic import Field, PositiveInt
from torch import Tensor

from outshine.data.task import EVERY_OUTCOME
from outshine.engine.errors import DataError
from outshine.learn.filters.base import Filter, Filtered, disagreement, drop_highest, filters, num_dropped
from outshine.learn.probes.base import Labelled
from outshine.learn.probes.knn import check_k
from outshine.learn.probes.nearest_neighbours import Neighbours


@filters.register("topofilter")
class TopoFilter(Filter):
    """Keep each class's largest component of the kNN graph, then drop rows unlike their neighbours.

    1. Directed graph of each row's k nearest rows (itself excluded). Of each hard class the largest
       strongly connected component of the class's subgraph is kept (of equal ones that with the smallest id).
    2. Score |p_weak − mean p_weak of the k nearest kept rows| (K classes: `disagreement`); the highest go until
    round(drop · n) of all
       rows are gone (ties by id). Where step 1 alone dropped as many or more, nothing further goes.

    Sources: Wu et al., NeurIPS 2020, arXiv:2012.04835, who filter repeatedly during training with hard
    labels; the post, "Data filtration".
    """

    outcomes: ClassVar[tuple[str, ...]] = EVERY_OUTCOME
    title: ClassVar[str] = "largest component of each class in the kNN graph, then disagreement with neighbours"

    k: PositiveInt = Field(default=50, description="neighbours, in the graph and in the score")

    def keep(self, rows: Labelled, drop: float, train: Labelled) -> Filtered:
        """Return the largest components, less the rows that disagree most with their kept neighbours, up to the quota.

        `removed_by_components` is the first step's share of all rows; where that alone reaches the quota, nothing
        further is dropped. Raises DataError for a single class, and for k that is no less than the rows there are.
        """
        num_rows = len(rows.ids)
        count = num_dropped(num_rows, drop)
        check_k(self.k, num_rows, "topofilter")
        if len(rows.hard.unique()) < 2:
            raise DataError("topofilter: all rows are of one class; weak labels of two or more are needed")
        neighbours = Neighbours(rows.acts, self.k + self.k // 4)  # some will not be kept: spares a second search
        kept = largest_components(neighbours.nearest(self.k), rows.hard)
        gone = num_rows - int(kept.sum())
        facts = {"removed_by_components": gone / num_rows}
        if gone >= count:
            note = f"topofilter: components alone removed {gone / num_rows:.1%} of the rows; nothing further is dropped"
            return Filtered(kept, facts, (note,) if gone > count else ())
        check_k(self.k, num_rows - gone, "topofilter, among the rows that its components keep")
        votes = rows.p_weak[neighbours.nearest_among(self.k, kept)].mean(1)
        scores = torch.zeros(num_rows, dtype=rows.p_weak.dtype, device=rows.p_weak.device)
        scores[kept] = disagreement(rows.p_weak[kept], votes)
        return Filtered(drop_highest(scores, kept, count - gone), facts)


def largest_components(nearest: Int[Tensor, "n k"], hard: Shaped[Tensor, "n"]) -> Bool[Tensor, "n"]:
    """Return rows in the largest strongly connected component of their own class's subgraph."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    num_rows, k = nearest.shape
    classes = hard.cpu().numpy()
    sources, targets = np.repeat(np.arange(num_rows), k), nearest.cpu().numpy().ravel()
    inside = classes[sources] == classes[targets]
    sources, targets = sources[inside], targets[inside]
    graph = csr_array((np.ones(len(sources), dtype=np.int8), (sources, targets)), shape=(num_rows, num_rows))
    _, component = connected_components(graph, directed=True, connection="strong")
    kept = np.zeros(num_rows, dtype=bool)
    for label in np.unique(classes):
        members = component[classes == label]
        names, first, sizes = np.unique(members, return_index=True, return_counts=True)
        best = max(range(len(names)), key=lambda i: (sizes[i], -first[i]))
        kept |= (component == names[best]) & (classes == label)
    return torch.from_numpy(kept).to(hard.device)
