"""What torch's attention over rows of several texts computes, written out: its kernel needs a GPU."""

import itertools

import pytest
import torch

from outshine.learn import attention, packing


def plain_varlen(query, key, value, starts, width, causal, window, scale):
    """What torch's kernel computes, text by text: softmax(scale Q Kᵀ) V over the keys that a query sees."""
    assert starts[0] == 0
    assert starts[-1] == len(query)
    assert starts.dtype == torch.int32
    found = torch.empty_like(query)
    groups = query.shape[1] // key.shape[1]
    for first, last in itertools.pairwise(starts.tolist()):
        assert 0 <= last - first <= width
        q, k, v = (part[first:last].transpose(0, 1).double() for part in (query, key, value))
        scores = (query.shape[-1] ** -0.5 if scale is None else scale) * q @ k.repeat_interleave(groups, 0).mT
        steps = torch.arange(last - first)
        back = steps[:, None] - steps  # how far a key lies behind a query
        hidden = (back < 0 if causal else back != back) | (back >= window if window else back != back)
        weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        found[first:last] = (weights @ v.repeat_interleave(groups, 0)).transpose(0, 1).to(query.dtype)
    return found


def use_plain_varlen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The formula in the kernel's place, and a CPU that is said to have it."""
    monkeypatch.setattr(attention, "_varlen", lambda: plain_varlen)
    monkeypatch.setattr(packing, "has_varlen", lambda device, dtype: True)
