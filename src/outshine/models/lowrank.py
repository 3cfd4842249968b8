"""The product of a frozen linear layer with low-rank updates, forward and backward, in as few passes as there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D


def updated_linear(
    base: nn.Module,
    x: Float[Tensor, "rows *tokens i"],
    down: Sequence[Float[Tensor, "r i"]],
    up: Sequence[Float[Tensor, "o r"]],
    scale: float,
) -> Float[Tensor, "rows *tokens o"]:
    """W₀x + scale · BₖAₖx for the k-th of m equal parts of the rows (down: the Aₖ, up: the Bₖ).

    m divides the number of rows. The factors are multiplied in the dtype of x. On a linear layer whose weight is a
    plain matrix the update is added in place, and the gradients of the factors and of x are written out below:
    autograd's own would take three more passes over tensors as large as x and the output. Source of the method:
    arXiv:2106.09685, equation 3.
    """
    parts = x.reshape(len(down), -1, x.shape[-1])
    if isinstance(base, nn.Linear):
        product = _Product.apply(parts, base.weight, base.bias, scale, *down, *up)
    elif isinstance(base, Conv1D):  # GPT-2 stores [in, out]
        product = _Product.apply(parts, base.weight.T, base.bias, scale, *down, *up)
    else:
        low, raise_ = torch.bmm(parts, _stacked(down, x.dtype).mT), _stacked(up, x.dtype, scale)
        return base(x) + torch.bmm(low, raise_.mT).reshape(*x.shape[:-1], -1)
    return product.reshape(*x.shape[:-1], -1)


class _Product(torch.autograd.Function):
    """Y = X W₀ᵀ + b + (X Aᵀ)(sB)ᵀ for each member; W₀ and b get no gradient, for they are frozen.

    With L = X Aᵀ, H = sB and G = ∂loss/∂Y: ∂A = (G H)ᵀ X, ∂B = s Gᵀ L, ∂X = G W₀ + (G H) A.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, scale: float, *factors: Tensor
    ) -> Float[Tensor, "m n o"]:
        down, up = _stacked(factors[: len(x)], x.dtype), _stacked(factors[len(x) :], x.dtype, scale)
        low = torch.bmm(x, down.mT)
        product = functional.linear(x, weight, bias)
        product.baddbmm_(low, up.mT)
        ctx.save_for_backward(x, weight, low, down, up)
        ctx.scale, ctx.dtype = scale, factors[0].dtype
        return product

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, low, down, up = ctx.saved_tensors
        (g,) = gradients
        through = torch.bmm(g, up)
        of_down = torch.bmm(through.mT, x).to(ctx.dtype)
        of_up = torch.bmm(g.mT, low).to(ctx.dtype).mul_(ctx.scale)
        of_x = None
        if ctx.needs_input_grad[0]:  # not where the layer reads the frozen embeddings
            of_x = (g.reshape(-1, g.shape[-1]) @ weight).view(x.shape)
            of_x.baddbmm_(through, down)
        return of_x, None, None, None, *of_down.unbind(), *of_up.unbind()


def _stacked(factors: Sequence[Tensor], dtype: torch.dtype, scale: float = 1.0) -> Float[Tensor, "m a b"]:
    """One tensor of the members' factors, scaled before they are rounded."""
    together = torch.stack(list(factors)) if len(factors) > 1 else factors[0].unsqueeze(0)
    return (together if scale == 1.0 else together * scale).to(dtype)
