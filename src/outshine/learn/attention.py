"""Attention on a CPU: in bfloat16, where torch's fused kernel is slow, and of packed texts, each apart."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from inspect import signature
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

NAME = "outshine_plain"  # in transformers' registry of attention functions
MAX_KEYS = 512  # the probabilities, kept for the backward pass, grow with its square; sdpa keeps none
ALIGNMENT = 16  # keys: at other numbers torch's bfloat16 softmax and products run up to 2.5 times slower
PLAIN_DTYPES = frozenset({torch.bfloat16})  # in float32 the fused kernel is as fast or faster
NONE = -1  # in a layout: no token, padding
# of query, key, value [b, h, w, d] and the mask [b, 1, 1 or w, w] of what a token may see: [b, w, h, e]
Attention = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def use_plain_attention(backbone: nn.Module) -> None:
    """Let a transformers model that uses sdpa attention use `attend` instead. Any other model is left as it is."""
    from transformers import PreTrainedModel

    if not isinstance(backbone, PreTrainedModel) or backbone.config._attn_implementation != "sdpa":
        return
    register()
    backbone.set_attn_implementation(NAME)  # without effect on architectures with attention code of their own


def register() -> None:
    """Make `attend` known to transformers, by NAME."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def attend(
    module: nn.Module,
    query: Float[Tensor, "b h q d"],
    key: Float[Tensor, "b g k d"],
    value: Float[Tensor, "b g k e"],
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[Float[Tensor, "b q h e"], None]:
    """Attention as transformers calls it: `plain_attention` where it is faster, transformers' own sdpa elsewhere.

    A layout in place of the mask (`layout_of`) says that texts are packed, and where.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    one_way = getattr(module, "is_causal", True) if is_causal is None else is_causal
    unknown = any(others.get(name) is not None for name in ("softcap", "position_bias", "cache", "s_aux"))
    if attention_mask is not None and attention_mask.dtype == torch.int32:  # packed texts, by their bounds
        window = others.get("sliding_window")
        if dropout or unknown or (window and not one_way):
            raise NotImplementedError("packed texts with a cap, a bias, sinks, dropout or windows to both sides")
        return attend_varlen(query, key, value, attention_mask, one_way, window, scaling), None
    if attention_mask is not None and is_layout(attention_mask):  # packed texts
        own = partial(attend, module, dropout=dropout, scaling=scaling, is_causal=False, **others)
        return attend_apart(lambda *states: own(*states)[0], query, key, value, attention_mask, one_way), None
    causal = attention_mask is None and one_way
    if dropout or unknown or not _is_faster(query, key, value, attention_mask, causal):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal=is_causal, **others
        )
    if causal:
        attention_mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
    return plain_attention(query, key, value, attention_mask, scaling).transpose(1, 2).contiguous(), None


def plain_attention(
    query: Float[Tensor, "b h q d"],
    key: Float[Tensor, "b g k d"],
    value: Float[Tensor, "b g k e"],
    mask: Bool[Tensor, "..."] | None = None,
    scaling: float | None = None,
) -> Float[Tensor, "b h q e"]:
    """softmax(scaling Q K^T) V over the keys that `mask` (True: seen; broadcast to [b, h, q, k]) lets a query see.

    `scaling` None: 1 / sqrt(d). Grouped queries: h is a multiple of g, and each key serves h / g heads in
    turn. A query that sees no key gets a mean of values, whereas sdpa gives it zeros: it belongs to padding,
    which nothing reads.
    """
    b, h, q, d = query.shape
    g, k = key.shape[1:3]
    lacking = -k % ALIGNMENT
    if lacking:
        key, value = (functional.pad(states, (0, 0, 0, lacking)) for states in (key, value))
    scaled = (query * (d**-0.5 if scaling is None else scaling)).reshape(b, g, -1, d)
    scores = (scaled @ key.mT).view(b, h, q, -1)
    lowest = torch.finfo(scores.dtype).min  # not -inf, of which a softmax over nothing else makes NaN
    if mask is not None:
        unseen = torch.zeros(mask.shape, dtype=scores.dtype, device=scores.device).masked_fill_(~mask, lowest)
        scores.add_(functional.pad(unseen, (0, lacking), value=lowest))
    elif lacking:
        scores[..., k:] = lowest
    probabilities = scores.softmax(-1).view(b, g, -1, k + lacking)
    return (probabilities.to(value.dtype) @ value).view(b, h, q, -1)


def _is_faster(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> bool:
    """Whether `plain_attention` knows these inputs and has been measured to be the faster for them."""
    known_mask = mask is None or (mask.dtype == torch.bool and mask.shape[-1] == key.shape[2])
    return (
        query.device.type == "cpu"
        and query.dtype in PLAIN_DTYPES
        and query.dtype == key.dtype == value.dtype
        and query.shape[0] == key.shape[0]
        and known_mask
        and key.shape[2] <= MAX_KEYS
        and (not causal or query.shape[2] == key.shape[2])
    )


def layout_of(bounds: Int[Tensor, "n+1"], width: int) -> Int[Tensor, "1 1 n w"]:
    """Return where each token of each text is in the row, no text longer than w = `width`, in the shape of a mask.

    Models hand a mask of four dimensions on to their attention as it is.
    """
    starts = bounds[:-1].unsqueeze(1)
    steps = torch.arange(width, device=bounds.device)
    return torch.where(steps < bounds.diff().unsqueeze(1), starts + steps, NONE)[None, None]


def bounds_of_rows(bounds: Int[Tensor, "n+1"], rows: int, tokens: int, width: int) -> Int[Tensor, "1 1 w rows*n+1"]:
    """Return where texts begin in `rows` equal rows one after the other, and the end, in the shape of a mask.

    `width`, which no text exceeds, is the third dimension, so that nobody has to ask the device for it.
    """
    offsets = tokens * torch.arange(rows, device=bounds.device)
    whole = torch.cat([(bounds[:-1] + offsets.unsqueeze(1)).flatten(), bounds[-1:] + tokens * (rows - 1)])
    return whole.to(torch.int32).expand(1, 1, width, -1)


def has_varlen(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch's attention over texts of any lengths in one row knows this device and dtype."""
    return device.type == "cuda" and dtype in (torch.bfloat16, torch.float16) and _varlen() is not None


@cache
def _varlen() -> Callable[..., Tensor] | None:
    """Return torch's attention over such rows as `attend_varlen` calls it; None before torch 2.10."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = signature(varlen_attn).parameters

    def varlen(
        query: Tensor, key: Tensor, value: Tensor, starts: Tensor, width: int, causal: bool, window: int, scale: Any
    ) -> Tensor:
        options: dict[str, Any] = {"window_size": (window - 1 if window else -1, 0 if causal else -1)}
        if "window_size" not in known:  # before torch 2.11
            if window:
                raise NotImplementedError("sliding windows in rows of several texts")
            options = {"is_causal": causal}
        if key.shape[1] != query.shape[1]:
            if "enable_gqa" in known:
                options["enable_gqa"] = True
            else:  # before torch 2.13
                key, value = (states.repeat_interleave(query.shape[1] // key.shape[1], 1) for states in (key, value))
        attended: Any = varlen_attn(query, key, value, starts, starts, width, width, scale=scale, **options)
        return attended

    return varlen


def attend_varlen(
    query: Float[Tensor, "m h t d"],
    key: Float[Tensor, "m g t d"],
    value: Float[Tensor, "m g t e"],
    bounds: Int[Tensor, "1 1 w n+1"],
    causal: bool,
    window: int | None,
    scaling: float | None,
) -> Float[Tensor, "m t h e"]:
    """Attention within each of the texts that begin at `bounds` (`bounds_of_rows`), by torch's kernel for such rows.

    window: keys that a query sees at most, itself among them; None: all of its text.
    """
    varlen = _varlen()
    assert varlen is not None
    members, _, tokens = query.shape[:3]
    query, key, value = (states.transpose(1, 2).flatten(0, 1) for states in (query, key, value))
    attended = varlen(query, key, value, bounds[0, 0, 0], bounds.shape[2], causal, window or 0, scaling)
    return attended.view(members, tokens, *attended.shape[1:])


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
    attended = attend(query, key, value, mask.repeat(members, 1, 1, 1))
    return _Take.apply(attended.reshape(members, -1, *attended.shape[2:]), taken)


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
