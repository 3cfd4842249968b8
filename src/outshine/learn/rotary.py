"""Rotary positions in few passes over memory: every block turns its queries and keys by them.

Source: Su et al., RoFormer, arXiv:2104.09864, equation 34, with halves in place of neighbours, as Llama has it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import FunctionType, MethodType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

NAME = "apply_rotary_pos_emb"  # of the function in transformers' files
ROUNDING = 1e-14  # of sums of two products in float64
Rotate = Callable[..., Any]  # of queries, keys, cosines and sines: queries and keys


def fuse_rotary(backbone: nn.Module) -> int:
    """Let the backbone's attention turn queries and keys as here, where that gives the same, and return in how many.

    What a file's function does is tried out, for its name says little: some turn neighbours, or a part alone.
    """
    fused = 0
    for module in backbone.modules():
        forward = _with_rotate(type(module).forward)
        if forward is not None and "forward" not in vars(module):
            module.forward = MethodType(forward, module)  # hides the class's own; a copy gets one of its own
            fused += 1
    return fused


def rotated(x: Float[Tensor, "*b t d"], cos: Float[Tensor, "*#b t d"], sin: Float[Tensor, "*#b t d"]) -> Tensor:
    """x · cos + half(x) · sin, where half((x₁, x₂)) = (−x₂, x₁). The angles get no gradient."""
    return _Rotated.apply(x, cos, sin)


class _Rotated(torch.autograd.Function):
    """Five passes over tensors as large as x, and five for the gradient, in place of ten and twenty.

    half is its own inverse but for the sign: ∂loss/∂x = g · cos − half(g · sin).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        y = x * cos
        (x_1, x_2), (y_1, y_2), (s_1, s_2) = (part.chunk(2, -1) for part in (x, y, sin))
        y_1.addcmul_(x_2, s_1, value=-1)
        y_2.addcmul_(x_1, s_2)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (g,), (cos, sin) = gradients, ctx.saved_tensors
        of_x = g * cos
        (g_1, g_2), (x_1, x_2), (s_1, s_2) = (part.chunk(2, -1) for part in (g, of_x, sin))
        x_1.addcmul_(g_2, s_2)
        x_2.addcmul_(g_1, s_1, value=-1)
        return of_x, None, None


def _rotate(own: Rotate) -> Rotate:
    """Return what stands in for a file's own function, which is called where formats, widths or arguments differ."""

    def rotate(*given: Any, **others: Any) -> Any:
        if len(given) != 4 or others.keys() - {"unsqueeze_dim"} or not _same_format(*given):
            return own(*given, **others)
        q, k, *angles = given
        cos, sin = (part.unsqueeze(others.get("unsqueeze_dim", 1)) for part in angles)
        return rotated(q, cos, sin), rotated(k, cos, sin)

    return rotate


def _same_format(q: Any, k: Any, cos: Any, sin: Any) -> bool:
    """Whether all are tensors of one format and width, and the angles need no gradient."""
    if not all(isinstance(part, Tensor) for part in (q, k, cos, sin)) or cos.requires_grad:
        return False
    return q.dtype == k.dtype == cos.dtype == sin.dtype and q.shape[-1] == k.shape[-1] == cos.shape[-1]


@cache
def _with_rotate(forward: Any) -> FunctionType | None:
    """Return the same code with another function of this NAME; None: it calls none, or one that does other things."""
    if not isinstance(forward, FunctionType) or NAME not in forward.__code__.co_names:
        return None
    own: Any = forward.__globals__.get(NAME)
    rotate = _rotate(own)
    if not _same(own, rotate):
        return None
    known = {**forward.__globals__, NAME: rotate}
    copied = FunctionType(forward.__code__, known, forward.__name__, forward.__defaults__, forward.__closure__)
    copied.__kwdefaults__ = forward.__kwdefaults__
    return copied


def _same(own: Rotate, other: Rotate) -> bool:
    """Whether two functions turn random queries and keys of unequal numbers of heads alike."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 4, 5, 8), (2, 2, 5, 8), (2, 5, 8), (2, 5, 8))
    given = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    try:
        return all(
            theirs.shape == ours.shape and torch.allclose(theirs, ours, rtol=0, atol=ROUNDING)
            for theirs, ours in zip(own(*given), other(*given), strict=True)
        )
    except Exception:  # a stranger's function may want anything else
        return False
