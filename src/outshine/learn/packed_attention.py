"""Attention for packed texts on a CPU: each text apart, padded for this one operation.

Everything else in a model treats each token for itself, so that texts one after the other in a row cost no more than
their own tokens. Attention with a dense mask over that row would cost the square of them all. Here the texts are laid
side by side before it and taken up again after it. Source of the method: Zeng et al. 2022, arXiv:2208.08124.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

NONE = -1  # in a layout: no token, padding

# of query, key, value [b, h, w, d] and the mask [b, 1, 1 or w, w] of what a token may see: [b, w, h, e]
Attention = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def layout_of(starts: Int[Tensor, "n"], ends: Int[Tensor, "n"]) -> Int[Tensor, "1 1 n w"]:
    """Where each token of each text is in the row, w the longest text's length; in the shape of a ready-made mask.

    Models hand a mask of four dimensions on to their attention as it is.
    """
    lengths = ends - starts + 1
    steps = torch.arange(int(lengths.max()), device=starts.device)
    return torch.where(steps < lengths.unsqueeze(1), starts.unsqueeze(1) + steps, NONE)[None, None]


def is_layout(mask: Tensor) -> bool:
    """Whether what stands in a mask's place is a layout: masks are of truth values or of floating point."""
    return mask.dtype == torch.long


def attend_apart(
    attend: Attention,
    query: Float[Tensor, "m h t d"],
    key: Float[Tensor, "m g t d"],
    value: Float[Tensor, "m g t e"],
    layout: Int[Tensor, "1 1 n w"],
    causal: bool,
) -> Float[Tensor, "m t h e"]:
    """Attention within each of the texts that `layout` names, by `attend`, which sees them side by side."""
    members, slots = len(query), layout[0, 0]
    real = slots != NONE
    mask = real[:, None, None, :]
    if causal:
        mask = mask & torch.ones(slots.shape[1], slots.shape[1], dtype=torch.bool, device=slots.device).tril()
    tokens, taken = slots.clamp(min=0).flatten(), real.flatten().nonzero().squeeze(1)
    query, key, value = (_laid(states, tokens, taken, slots.shape) for states in (query, key, value))
    found = attend(query, key, value, mask.repeat(members, 1, 1, 1))
    return _Take.apply(found.reshape(members, -1, *found.shape[2:]), taken)


def _laid(
    states: Float[Tensor, "m h t d"], tokens: Int[Tensor, "s"], taken: Int[Tensor, "t"], slots: torch.Size
) -> Float[Tensor, "mn h w d"]:
    m, h, _, d = states.shape
    return _Lay.apply(states.transpose(1, 2), tokens, taken).view(m * slots[0], slots[1], h, d).transpose(1, 2)


class _Lay(torch.autograd.Function):
    """Tokens [m, t, …] into slots [m, s, …]. What lies in a slot of padding is not to be read: it has no gradient."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, tokens: Int[Tensor, "s"], taken: Int[Tensor, "t"]) -> Tensor:
        ctx.save_for_backward(taken)
        return states.index_select(1, tokens)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (taken,) = ctx.saved_tensors
        return gradients[0].index_select(1, taken), None, None


class _Take(torch.autograd.Function):
    """Slots [m, s, …] into tokens [m, t, …]; slots of padding get no gradient."""

    @staticmethod
    def forward(ctx: Any, slots: Tensor, taken: Int[Tensor, "t"]) -> Tensor:
        ctx.save_for_backward(taken)
        ctx.shape = slots.shape
        return slots.index_select(1, taken)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (taken,) = ctx.saved_tensors
        return gradients[0].new_zeros(ctx.shape).index_copy_(1, taken, gradients[0]), None
