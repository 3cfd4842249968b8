"""What probes and filters are set beside: full distance matrices, and scipy's L-BFGS; and the rows that both get."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from outshine.learn.probes.base import Labelled

K, DROP, PENALTY = 50, 0.1, 1e-2
SPECTRA = ("power law", "outliers", "flat")


def clustered_rows(num_rows: int, width: int) -> Labelled:
    """Points near an eight-dimensional plane, labels that follow it: the hidden states of a task that is salient."""
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(num_rows, 8, generator=generator)
    noise = 0.5 * torch.randn(num_rows, width, generator=generator)
    acts = latent @ torch.randn(8, width, generator=generator) + noise
    p = torch.sigmoid(2 * latent[:, 0] + torch.randn(num_rows, generator=generator)).double()
    return Labelled.of(_ids(num_rows), acts, p)


def spectral_rows(spectrum: str, num_rows: int, width: int) -> Labelled:
    """Gaussian features whose standard deviations decay as i^-1/2, or are three large and the rest small, or equal.

    Hidden states of language models are of the first two sorts: few directions carry most of the variance
    (Ethayarajh 2019, arXiv:1909.00512; Timkey and van Schijndel 2021, arXiv:2109.04404).
    """
    generator = torch.Generator().manual_seed(0)
    acts = torch.randn(num_rows, width, generator=generator)
    if spectrum == "power law":
        acts = acts * torch.arange(1, width + 1).float().pow(-0.5) * 8
    if spectrum == "outliers":
        scale = torch.full((width,), 0.1)
        scale[:3] = torch.tensor([30.0, 10.0, 5.0])
        acts = acts * scale + 3 * scale
    z = acts @ torch.randn(width, generator=generator)
    z = (z - z.mean()) / z.std() * 1.5 + torch.randn(num_rows, generator=generator)
    return Labelled.of(_ids(num_rows), acts, torch.sigmoid(z).double())


def distances(rows: Labelled, dtype: torch.dtype) -> Tensor:
    """All distances [n, n], a point infinitely far from itself."""
    acts = rows.acts.to(dtype)
    return torch.cdist(acts, acts).fill_diagonal_(float("inf"))


def knn(rows: Labelled, dtype: torch.dtype) -> Tensor:
    """Mean label of the k nearest others, from the full distance matrix."""
    return rows.p_weak[distances(rows, dtype).topk(K, largest=False).indices].mean(1)


def probe_disagreement(rows: Labelled, dtype: torch.dtype) -> Tensor:
    """The mask of kept rows: those that `knn` contradicts most are left out."""
    worst = (knn(rows, dtype) - rows.p_weak).abs().argsort(descending=True, stable=True)
    kept = torch.ones(len(worst), dtype=torch.bool)
    kept[worst[: round(DROP * len(worst))]] = False
    return kept


def topofilter(rows: Labelled, dtype: torch.dtype) -> Tensor:
    """TopoFilter from the full distance matrix and a dense adjacency matrix: the mask of kept rows."""
    num_rows, far = len(rows.ids), distances(rows, dtype)
    adjacency = torch.zeros(num_rows, num_rows, dtype=torch.bool)
    adjacency.scatter_(1, far.topk(K, largest=False).indices, value=True)
    kept = torch.zeros(num_rows, dtype=torch.bool)
    for one in (False, True):
        members = (rows.hard == one).nonzero()[:, 0]
        inside = adjacency[members][:, members].numpy()
        _, component = connected_components(inside, directed=True, connection="strong")
        kept[members[torch.from_numpy(component == np.bincount(component).argmax())]] = True
    left = kept.nonzero()[:, 0]
    votes = rows.p_weak[left][far[left][:, left].topk(K, largest=False).indices].mean(1)
    worst = (rows.p_weak[left] - votes).abs().argsort(descending=True, stable=True)
    kept[left[worst[: max(0, round(DROP * num_rows) - (num_rows - len(left)))]]] = False
    return kept


def objective(rows: Labelled, dtype: type) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Mean soft cross-entropy + λ|w|² and its gradient in (w, b)."""
    acts, p = rows.acts.numpy().astype(dtype), rows.p_weak.numpy().astype(dtype)

    def value(theta: np.ndarray) -> tuple[float, np.ndarray]:
        weight = theta[:-1].astype(dtype)
        z = acts @ weight + dtype(theta[-1])
        loss = float((np.logaddexp(0, z) - p * z).mean() + PENALTY * (weight @ weight))
        residual = (1 / (1 + np.exp(-z)) - p) / len(p)
        return loss, np.append(acts.T @ residual + 2 * PENALTY * weight, residual.sum()).astype(np.float64)

    return value


def lbfgs(rows: Labelled, dtype: type) -> np.ndarray:
    """(w, b) by scipy's L-BFGS-B with its default tolerances."""
    start = np.zeros(rows.acts.shape[1] + 1)
    options = {"maxiter": 5000, "maxfun": 10_000}
    return minimize(objective(rows, dtype), start, jac=True, method="L-BFGS-B", options=options).x


def _ids(num_rows: int) -> list[str]:
    return [f"{i:06d}" for i in range(num_rows)]
