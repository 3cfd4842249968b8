"""Attention in bfloat16 on a CPU: matrix products and a softmax, where torch's fused kernel is slow."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from outshine.learn.packed_attention import attend_apart, is_layout

NAME = "outshine_plain"  # in transformers' registry of attention functions
MAX_KEYS = 512  # the probabilities, kept for the backward pass, grow with its square; sdpa keeps none
ALIGNMENT = 16  # keys: at other numbers torch's bfloat16 softmax and products run up to 2.5 times slower
PLAIN_DTYPES = frozenset({torch.bfloat16})  # in float32 the fused kernel is as fast or faster


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

    A layout in place of the mask (`models.unpadded`) says that texts are packed, and where.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if attention_mask is not None and is_layout(attention_mask):  # packed texts
        own = partial(attend, module, dropout=dropout, scaling=scaling, is_causal=False, **others)
        causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        return attend_apart(lambda *states: own(*states)[0], query, key, value, attention_mask, causal), None
    causal = attention_mask is None and (getattr(module, "is_causal", True) if is_causal is None else is_causal)
    unknown = any(others.get(name) is not None for name in ("softcap", "position_bias", "cache", "s_aux"))
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
