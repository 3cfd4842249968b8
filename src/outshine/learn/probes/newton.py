"""Penalised logistic regression with soft labels, solved by Newton's method with conjugate gradients.

F(w, b) = (1/n) Σᵢ CE(σ(xᵢ·w + b), pᵢ) + λ|w|², b unpenalised, xᵢ the rows of A less their mean and, if asked
for, divided by their scale. A Newton step solves H s = −g by products with H alone, H = Xᵀ D X / n + 2λ on w,
D = diag f(1 − f): neither an n × n nor a d × d matrix nor a copy of A is made. Gradients are in float64,
products with H in the dtype of A.
Sources: Lin, Weng & Keerthi, JMLR 2008 (truncated Newton); Frangella, Tropp & Udell, SIMAX 2023 (preconditioner).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from outshine.engine.errors import TrainingError
from outshine.engine.rng import numpy_rng

SUBOPTIMALITY = 1e-12  # of F at most: F − min F ≤ |g|² / 4λ, by strong convexity in w
MAX_STEPS = 100
RANK = 256  # of the preconditioner
PATIENCE = RANK // 4  # products after which making it costs no more time than was spent already
CHUNK_ELEMENTS = 2**19  # of A converted to float64 at once (4 MB): stays in the cache between its two uses
CHUNK_ELEMENTS_ELSEWHERE = 2**26  # on a GPU (512 MB): few launches

_ROUNDED = 10  # times the tolerance: where L-BFGS stops because the objective no longer falls in float64

Solve = Callable[[Tensor], Tensor]


class Point(NamedTuple):
    """Value, gradient and curvature of the objective at one t = (w, b)."""

    t: Float[Tensor, "d1"]
    value: float
    gradient: Float[Tensor, "d1"]
    curvature: Float[Tensor, "n"]  # f(1 − f)


def minimise(features: Features, p: Float[Tensor, "n"], penalty: float) -> Float[Tensor, "d1"]:
    """(w, b) in float64 for soft labels p and penalty λ > 0; stops where |g|² ≤ 4λ · SUBOPTIMALITY.

    Raises TrainingError where the gradient stays above that.
    """
    problem = _Problem(features, p, penalty)
    tolerance = math.sqrt(4 * penalty * SUBOPTIMALITY)
    point = problem.at(torch.zeros(features.size + 1, dtype=torch.float64, device=p.device))
    start = size = point.gradient.norm().item()
    for _ in range(MAX_STEPS):
        if size <= tolerance:
            return point.t
        # no more accurate than Newton's quadratic model is this far from the minimum, nor than is asked for
        forcing = max(min(0.2, math.sqrt(size / start)), 0.5 * tolerance / size)
        point = _advance(problem, point, problem.newton_step(point, forcing))
        size = point.gradient.norm().item()
    raise TrainingError(
        f"logistic probe: the gradient is still {size:.2g} after {MAX_STEPS} Newton steps (wanted {tolerance:.2g}); "
        "raise the penalty or use standardize: true"
    )


def _advance(problem: _Problem, point: Point, step: Float[Tensor, "d1"]) -> Point:
    """Go the whole step, or half of it as often as the objective does not fall enough (Armijo)."""
    slope = point.gradient.dot(step).item()
    share = 1.0
    while True:
        ahead = problem.at(point.t + share * step)
        enough = point.value + 1e-4 * share * slope + 1e-14 * abs(point.value)  # the last term: rounding
        if ahead.value <= enough or share < 1e-6:
            return ahead
        share /= 2


class Features:
    """X = (A − mean) / scale, without a copy of A."""

    def __init__(self, a: Float[Tensor, "n d"], standardize: bool) -> None:
        self.a = a
        self.num_rows, self.size = a.shape
        elements = CHUNK_ELEMENTS if a.device.type == "cpu" else CHUNK_ELEMENTS_ELSEWHERE
        self.chunk = max(1, elements // self.size)
        self.mean = a.new_zeros(self.size, dtype=torch.float64)
        for rows in self.chunks(torch.float64):
            self.mean += rows.sum(0) / self.num_rows
        self.variance = torch.zeros_like(self.mean)
        for rows in self.chunks(torch.float64):
            self.variance += (rows - self.mean).square_().sum(0) / self.num_rows
        deviation = self.variance.sqrt()
        varies = deviation > 1e-12 * self.mean.abs()  # a constant column stays at zero
        self.scale = deviation.where(varies, 1.0) if standardize else torch.ones_like(self.mean)
        self.variance = self.variance / self.scale.square()  # of the columns of X

    def chunks(self, dtype: torch.dtype) -> Iterator[Float[Tensor, "c d"]]:
        """Give the rows of A in order, some at a time, valid until the next are asked for."""
        if dtype == self.a.dtype:
            yield from self.a.split(self.chunk)
            return
        converted = self.a.new_empty(min(self.chunk, self.num_rows), self.size, dtype=dtype)
        for part in self.a.split(self.chunk):
            yield converted[: len(part)].copy_(part)

    def through(
        self, t: Float[Tensor, "d1"], weigh: Callable[[Tensor, slice], Tensor], dtype: torch.dtype
    ) -> Float[Tensor, "d1"]:
        """(Xᵀu, Σu) with u = weigh(Xw + b, rows), in one pass over A."""
        w = t[:-1] / self.scale
        b = (t[-1] - self.mean.dot(w)).to(dtype)
        w = w.to(dtype)
        result, start = torch.zeros_like(t), 0
        for a in self.chunks(dtype):
            rows = slice(start, start + len(a))
            u = weigh(a @ w + b, rows)
            result[:-1] += a.T @ u
            result[-1] += u.sum(dtype=torch.float64)
            start = rows.stop
        result[:-1] = (result[:-1] - self.mean * result[-1]) / self.scale
        return result

    def gram(self, basis: Float[Tensor, "d r"]) -> Float[Tensor, "d r"]:
        """XᵀX · basis / n, by products in the dtype of A."""
        scaled = basis / self.scale[:, None]
        offset = (self.mean @ scaled).to(self.a.dtype)
        factor = scaled.to(self.a.dtype)
        result = torch.zeros_like(basis)
        for a in self.a.split(8 * self.chunk):
            projected = a @ factor - offset
            result += a.T @ projected
            result -= torch.outer(self.mean, projected.sum(0, dtype=torch.float64))
        return result / self.scale[:, None] / self.num_rows


class _Problem:
    """The objective, and what Newton's method asks of it."""

    def __init__(self, features: Features, p: Float[Tensor, "n"], penalty: float) -> None:
        self.features, self.p, self.penalty = features, p, penalty
        self.products = 0
        self.low_rank: LowRank | None = None

    def at(self, t: Float[Tensor, "d1"]) -> Point:
        """Return value, gradient and curvature."""
        value, curvature = 0.0, torch.empty_like(self.p)

        def residual(z: Tensor, rows: slice) -> Tensor:
            nonlocal value
            f = z.sigmoid()
            value += (functional.softplus(z) - self.p[rows] * z).sum().item()
            curvature[rows] = f * (1 - f)
            return f - self.p[rows]

        gradient = self.features.through(t, residual, torch.float64) / len(self.p)
        gradient[:-1] += 2 * self.penalty * t[:-1]
        penalty = self.penalty * t[:-1].square().sum().item()
        return Point(t, value / len(self.p) + penalty, gradient, curvature)

    def hessian(self, curvature: Float[Tensor, "n"], v: Float[Tensor, "d1"]) -> Float[Tensor, "d1"]:
        """H v."""
        self.products += 1
        product = self.features.through(v, lambda z, rows: curvature[rows] * z, self.features.a.dtype) / len(self.p)
        product[:-1] += 2 * self.penalty * v[:-1]
        return product

    def newton_step(self, point: Point, forcing: float) -> Float[Tensor, "d1"]:
        """s with |H s + g| ≤ forcing·|g|, by preconditioned conjugate gradients.

        Where they take long the preconditioner is made on the way, and they start anew from the s reached.
        """
        curvature = point.curvature.to(self.features.a.dtype)
        solve = self._preconditioner(point)
        step, residual = torch.zeros_like(point.t), -point.gradient
        goal = forcing * residual.norm().item()
        direction, before = torch.zeros_like(step), 1.0
        while residual.norm().item() > goal:
            if self.low_rank is None and self.products >= PATIENCE:
                self.low_rank = LowRank.of(self.features)
                solve, direction = self._preconditioner(point), torch.zeros_like(step)
            prepared = solve(residual)
            now = residual.dot(prepared).item()
            direction = prepared + (now / before) * direction
            product = self.hessian(curvature, direction)
            length = now / direction.dot(product).item()
            step += length * direction
            residual -= length * product
            before = now
        return step

    def _preconditioner(self, point: Point) -> Solve:
        """Return what approximates H⁻¹: by the diagonal; once the leading eigenvectors are known, by them."""
        mean, ridge, low_rank = point.curvature.mean().item(), 2 * self.penalty, self.low_rank
        if low_rank is not None:
            return lambda v: torch.cat([low_rank.solve(v[:-1], mean, ridge), v[-1:] / mean])
        diagonal = torch.cat([mean * self.features.variance + ridge, point.curvature.mean()[None]])
        return lambda v: v / diagonal


def minimise_softmax(features: Features, p: Float[Tensor, "n k"], penalty: float) -> Float[Tensor, "d1 k"]:
    """(W, b) in float64 for soft labels p of K classes and penalty λ > 0 of λ Σₖ|wₖ|²; stops as `minimise` does.

    By L-BFGS of scipy: a step costs two products with A, and K classes of d features are too many for H. Raises
    TrainingError where the gradient stays above what is wanted.
    """
    from scipy.optimize import minimize

    shape = (features.size + 1, p.shape[1])
    tolerance = math.sqrt(4 * penalty * SUBOPTIMALITY)
    # in units in which the features have a mean square of one, the problem is better conditioned
    unit = features.variance.mean().sqrt().item() or 1.0

    def objective(flat: Any) -> tuple[float, Any]:
        t = torch.from_numpy(flat).reshape(shape).to(p.device)
        t = torch.cat([t[:-1] / unit, t[-1:]])
        value, gradient = 0.0, torch.zeros_like(t)
        w = t[:-1] / features.scale[:, None]
        b, start = t[-1] - features.mean @ w, 0
        for a in features.chunks(torch.float64):
            log_f = (a @ w + b).log_softmax(1)
            y = p[start : start + len(a)]
            value -= (y * log_f).sum().item()
            residual = log_f.exp() * y.sum(1, keepdim=True) - y
            gradient[:-1] += a.T @ residual
            gradient[-1] += residual.sum(0)
            start += len(a)
        gradient[:-1] = (gradient[:-1] - torch.outer(features.mean, gradient[-1])) / features.scale[:, None]
        gradient /= len(p)
        gradient[:-1] += 2 * penalty * t[:-1]
        gradient[:-1] /= unit
        return value / len(p) + penalty * t[:-1].square().sum().item(), gradient.reshape(-1).cpu().numpy()

    # scipy compares the largest entry of the gradient; the norm of all entries is to be below the tolerance
    wanted = tolerance / math.sqrt(shape[0] * shape[1]) / max(1.0, unit)
    options = {"maxiter": 100 * MAX_STEPS, "maxfun": 200 * MAX_STEPS, "ftol": 0.0, "gtol": wanted, "maxcor": 20}
    start = torch.zeros(shape, dtype=torch.float64).reshape(-1).numpy()
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    t = torch.from_numpy(found.x).reshape(shape).to(p.device)
    gradient = torch.from_numpy(found.jac).reshape(shape)
    size = math.hypot(unit * gradient[:-1].norm().item(), gradient[-1].norm().item())
    if size > _ROUNDED * tolerance:
        raise TrainingError(
            f"logistic probe: the gradient is still {size:.2g} after {found.nit} steps (wanted {tolerance:.2g}); "
            "raise the penalty or use standardize: true"
        )
    return torch.cat([t[:-1] / unit, t[-1:]])


class LowRank(NamedTuple):
    """U diag(values) Uᵀ ≈ XᵀX / n."""

    vectors: Float[Tensor, "d r"]
    values: Float[Tensor, "r"]  # descending

    @classmethod
    def of(cls, features: Features) -> LowRank:
        """Nyström's approximation from products with a random orthonormal basis (Frangella et al., algorithm 2.1)."""
        rank = min(RANK, features.size, features.num_rows)
        drawn = torch.from_numpy(numpy_rng("nystrom", features.size).standard_normal((features.size, rank)))
        basis = torch.linalg.qr(drawn.to(features.a.device))[0]
        image = features.gram(basis)
        shift = math.sqrt(features.size) * torch.finfo(features.a.dtype).eps * image.norm().item()
        image += shift * basis
        factor = torch.linalg.cholesky(basis.T @ image)
        root = torch.linalg.solve_triangular(factor, image.T, upper=False).T
        vectors, roots, _ = torch.linalg.svd(root, full_matrices=False)
        return cls(vectors, (roots.square() - shift).clamp(min=0))

    def solve(self, v: Float[Tensor, "d"], curvature: float, ridge: float) -> Float[Tensor, "d"]:
        """(curvature·XᵀX/n + ridge)⁻¹ v, what is unknown of XᵀX/n taken to be as large as the least known value."""
        inside = self.vectors.T @ v
        rest = curvature * self.values[-1] + ridge
        return v / rest + self.vectors @ (inside / (curvature * self.values + ridge) - inside / rest)
