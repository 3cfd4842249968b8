"""The product of a frozen linear layer with low-rank updates, forward and backward, in few passes over memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from outshine.learn.nf4 import NF4Linear


def updated_linear(
    base: nn.Module,
    x: Float[Tensor, "rows *tokens i"],
    down: Sequence[Float[Tensor, "r i"]],
    up: Sequence[Float[Tensor, "o r"]],
    scale: float,
) -> Float[Tensor, "rows *tokens o"]:
    """W₀x + scale · BₖAₖx for the k-th of m equal parts of the rows (down: the Aₖ, up: the Bₖ).

    m divides the number of rows. The base is an nn.Linear, a Conv1D or an NF4Linear; the factors are multiplied in the
    dtype of x. The update is added in place, and the gradients of the factors and of x are written out below:
    autograd's own would take three more passes over tensors as large as x and the output. Source of the method:
    arXiv:2106.09685, equation 3.
    """
    parts = x.reshape(len(down), -1, x.shape[-1])
    if isinstance(base, NF4Linear):
        product = _Product.apply(parts, None, base, base.bias, scale, *down, *up)
    else:
        weight = base.weight.T if isinstance(base, Conv1D) else base.weight  # GPT-2 stores [in, out]
        product = _Product.apply(parts, weight, None, base.bias, scale, *down, *up)
    return product.reshape(*x.shape[:-1], -1)


class _Product(torch.autograd.Function):
    """Y = X W₀ᵀ + b + (X Aᵀ)(sB)ᵀ for each member; W₀ and b get no gradient, for they are frozen.

    W₀ is given, or made dense by `layer` for each product: then nothing of it is kept for the backward pass.
    With L = X Aᵀ, H = sB and G = ∂loss/∂Y: ∂A = (G H)ᵀ X, ∂B = s Gᵀ L, ∂X = G W₀ + (G H) A.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        layer: NF4Linear | None,
        bias: Tensor | None,
        scale: float,
        *factors: Tensor,
    ) -> Float[Tensor, "rows o"]:
        down, up = _stacked(factors[: len(x)], x.dtype), _stacked(factors[len(x) :], x.dtype, scale)
        low = torch.bmm(x, down.mT)
        # of two dimensions, and no view: an architecture may go on in place (DeBERTa does)
        product = functional.linear(x.flatten(0, 1), _dense(weight, layer), bias)
        product.view(len(x), -1, product.shape[-1]).baddbmm_(low, up.mT)
        ctx.save_for_backward(x, weight, low, down, up)
        ctx.layer, ctx.scale, ctx.dtype = layer, scale, factors[0].dtype
        return product

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, low, down, up = ctx.saved_tensors
        g = gradients[0].reshape(len(x), -1, gradients[0].shape[-1])
        through = torch.bmm(g, up)
        of_down = torch.bmm(through.mT, x).to(ctx.dtype)
        of_up = torch.bmm(g.mT, low).to(ctx.dtype).mul_(ctx.scale)
        of_x = None
        if ctx.needs_input_grad[0]:  # not where the layer reads the frozen embeddings
            of_x = (g.flatten(0, 1) @ _dense(weight, ctx.layer)).view(x.shape)
            of_x.baddbmm_(through, down)
        return of_x, None, None, None, None, *of_down.unbind(), *of_up.unbind()


def _dense(weight: Tensor | None, layer: NF4Linear | None) -> Float[Tensor, "o i"]:
    """The frozen weights as they are multiplied."""
    if weight is not None:
        return weight
    assert layer is not None
    return layer.dense_weight()


def _stacked(factors: Sequence[Tensor], dtype: torch.dtype, scale: float = 1.0) -> Float[Tensor, "m a b"]:
    """One tensor of the members' factors, scaled before they are rounded."""
    together = torch.stack(list(factors)) if len(factors) > 1 else factors[0].unsqueeze(0)
    return (together if scale == 1.0 else together * scale).to(dtype)
