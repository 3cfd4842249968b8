"""Probes and filters beside straightforward dense implementations, in turns in one process; medians of several runs.

    python benchmarks/probes_and_filters.py [--threads 1] [--repeats 3] [--only neighbours,logistic]

Prints one line a comparison: seconds of both, their ratio, whether the results are equal, extra memory.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from outshine.filters.topofilter import TopoFilter
from outshine.probes.base import Labelled
from outshine.probes.knn import KNN
from outshine.probes.logistic import Logistic

NUM_ROWS, K, DROP, PENALTY = 10_000, 50, 0.1, 1e-2
SPECTRA = ("power law", "outliers", "flat")


def clustered_rows(d: int) -> Labelled:
    """Points near an eight-dimensional plane, labels that follow it: the hidden states of a task that is salient."""
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(NUM_ROWS, 8, generator=generator)
    noise = 0.5 * torch.randn(NUM_ROWS, d, generator=generator)
    acts = latent @ torch.randn(8, d, generator=generator) + noise
    p = torch.sigmoid(2 * latent[:, 0] + torch.randn(NUM_ROWS, generator=generator)).double()
    return Labelled.of(_ids(), acts, p)


def spectral_rows(spectrum: str, d: int) -> Labelled:
    """Gaussian features whose standard deviations decay as i^-1/2, or are three large and the rest small, or equal.

    Hidden states of language models are of the first two sorts: few directions carry most of the variance
    (Ethayarajh 2019, arXiv:1909.00512; Timkey and van Schijndel 2021, arXiv:2109.04404).
    """
    generator = torch.Generator().manual_seed(0)
    acts = torch.randn(NUM_ROWS, d, generator=generator)
    if spectrum == "power law":
        acts = acts * torch.arange(1, d + 1).float().pow(-0.5) * 8
    if spectrum == "outliers":
        scale = torch.full((d,), 0.1)
        scale[:3] = torch.tensor([30.0, 10.0, 5.0])
        acts = acts * scale + 3 * scale
    z = acts @ torch.randn(d, generator=generator)
    z = (z - z.mean()) / z.std() * 1.5 + torch.randn(NUM_ROWS, generator=generator)
    return Labelled.of(_ids(), acts, torch.sigmoid(z).double())


def dense_distances(rows: Labelled, dtype: torch.dtype) -> Tensor:
    """All distances [n, n], a point infinitely far from itself."""
    acts = rows.acts.to(dtype)
    distances = torch.cdist(acts, acts)
    return distances.fill_diagonal_(float("inf"))


def dense_knn(rows: Labelled, dtype: torch.dtype) -> Tensor:
    """Mean label of the k nearest others, from the full distance matrix."""
    return rows.p_weak[dense_distances(rows, dtype).topk(K, largest=False).indices].mean(1)


def dense_topofilter(rows: Labelled, dtype: torch.dtype) -> Tensor:
    """TopoFilter from the full distance matrix and a dense adjacency matrix: the mask of kept rows."""
    distances = dense_distances(rows, dtype)
    adjacency = torch.zeros(NUM_ROWS, NUM_ROWS, dtype=torch.bool)
    adjacency.scatter_(1, distances.topk(K, largest=False).indices, value=True)
    kept = torch.zeros(NUM_ROWS, dtype=torch.bool)
    for one in (False, True):
        members = (rows.hard == one).nonzero()[:, 0]
        inside = adjacency[members][:, members].numpy()
        _, component = connected_components(inside, directed=True, connection="strong")
        kept[members[torch.from_numpy(component == np.bincount(component).argmax())]] = True
    left = kept.nonzero()[:, 0]
    votes = rows.p_weak[left][distances[left][:, left].topk(K, largest=False).indices].mean(1)
    worst = (rows.p_weak[left] - votes).abs().argsort(descending=True, stable=True)
    kept[left[worst[: round(DROP * NUM_ROWS) - (NUM_ROWS - len(left))]]] = False
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


def plain_lbfgs(rows: Labelled, dtype: type) -> np.ndarray:
    """(w, b) by scipy's L-BFGS-B with its default tolerances."""
    start = np.zeros(rows.acts.shape[1] + 1)
    options = {"maxiter": 5000, "maxfun": 10_000}
    return minimize(objective(rows, dtype), start, jac=True, method="L-BFGS-B", options=options).x


def in_turns(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> tuple[Any, Any, float, float]:
    """Results and median seconds of both, run alternately."""
    results: list[Any] = [None, None]
    seconds: list[list[float]] = [[], []]
    for _ in range(repeats):
        for which, run in enumerate((ours, theirs)):
            began = time.perf_counter()
            results[which] = run()
            seconds[which].append(time.perf_counter() - began)
    return results[0], results[1], statistics.median(seconds[0]), statistics.median(seconds[1])


def peak_mb() -> float:
    """Largest resident size so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def neighbours(d: int, repeats: int) -> None:
    """kNN and TopoFilter."""
    rows = clustered_rows(d)
    before = peak_mb()
    KNN(k=K).fit(rows).predict_own(rows)
    TopoFilter(k=K).keep(rows, DROP, rows)
    report(f"{NUM_ROWS:,} × {d}: kNN and TopoFilter, extra memory {peak_mb() - before:.0f} MB")
    for dtype in (torch.float64, torch.float32):
        name = str(dtype).removeprefix("torch.")
        mine, dense, own, other = in_turns(
            lambda: KNN(k=K).fit(rows).predict_own(rows).p, lambda dtype=dtype: dense_knn(rows, dtype), repeats
        )
        off = (mine - dense).abs().max().item()
        report(
            f"  kNN        {own:.2f} s, dense {name} {other:.2f} s: {other / own:.2f}x, largest difference {off:.1e}"
        )
        kept, dense, own, other = in_turns(
            lambda: TopoFilter(k=K).keep(rows, DROP, rows).kept,
            lambda dtype=dtype: dense_topofilter(rows, dtype),
            repeats,
        )
        same = "identical kept set" if torch.equal(kept, dense) else f"{int((kept != dense).sum())} rows differ"
        report(f"  TopoFilter {own:.2f} s, dense {name} {other:.2f} s: {other / own:.2f}x, {same}")


def logistic(d: int, repeats: int) -> None:
    """The logistic probe beside plain L-BFGS, at an objective no worse."""
    for spectrum in SPECTRA:
        rows = spectral_rows(spectrum, d)
        exact = objective(rows, np.float64)
        before = peak_mb()
        Logistic(penalty=PENALTY).fit(rows)
        report(f"{NUM_ROWS:,} × {d}: logistic, {spectrum} spectrum, extra memory {peak_mb() - before:.0f} MB")
        for dtype in (np.float64, np.float32):
            fitted, theirs, own, other = in_turns(
                lambda rows=rows: Logistic(penalty=PENALTY).fit(rows),
                lambda rows=rows, dtype=dtype: plain_lbfgs(rows, dtype),
                repeats,
            )
            mine = np.append(fitted.weight.numpy(), float(fitted.bias))
            gap = exact(theirs)[0] - exact(mine)[0]
            name = dtype.__name__
            report(f"  {own:.2f} s, L-BFGS {name} {other:.2f} s: {other / own:.2f}x, its objective − ours {gap:+.1e}")


def report(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)  # noqa: T201


def main() -> None:
    """Read the options and run what they ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="neighbours,logistic")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if "neighbours" in given.only:
        neighbours(384, given.repeats)
    if "logistic" in given.only:
        logistic(4096, given.repeats)


def _ids() -> list[str]:
    return [f"{i:06d}" for i in range(NUM_ROWS)]


if __name__ == "__main__":
    main()
