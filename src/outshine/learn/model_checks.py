"""Trial passes through a backbone: how it uses its layers, and which texts may share a batch."""

from __future__ import annotations

import copy
import dis
import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from types import FunctionType
from typing import Any, Literal, TypeVar
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from outshine.engine.errors import ModelError, OutshineError
from outshine.learn.blocks import PLAIN, block_linears, place
from outshine.learn.lora import updated_linear
from outshine.learn.nf4 import NF4Linear

Sharing = Literal["any", "equal", "none"]
"""Texts that may share a batch: any, padded to the longest; those of equal length; none, each goes through alone."""

APART: dict[Sharing, str] = {
    "equal": "padding beside a text changes what the model computes of it: only texts of equal length share a batch",
    "none": "texts beside a text change what the model computes of it: each goes through alone",
}

M = TypeVar("M")
Read = Callable[[Int[Tensor, "n t"], Int[Tensor, "n t"]], Float[Tensor, "n d"]]
"""What is read of texts, from their token ids and the mask of real tokens."""

ROUNDING = {"float32": 3e-5, "bfloat16": 0.09}  # by compute format; some compute parts in float32 even in float64
MOST_COPIED = 10**9  # weights; no larger architecture is known in which padding reaches the real tokens
SHORT = 5  # tokens; some architectures (CANINE) take no fewer than a window
_USED_OTHERWISE: WeakKeyDictionary[nn.Module, frozenset[str]] = WeakKeyDictionary()
_BEFORE_USE = ("__init__", "_init_weights", "reset_parameters", "tie_weights")  # what they read, no forward pass reads


def random_texts(backbone: nn.Module, lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    """Return random texts of these lengths without padding tokens, by which some architectures count positions."""
    config = getattr(backbone, "config", None)
    padding = getattr(config, "pad_token_id", None)
    known = [token for token in range(getattr(config, "vocab_size", 5)) if token != padding]
    generator = torch.Generator().manual_seed(seed)
    drawn = (torch.randint(len(known), (n,), generator=generator) for n in lengths)
    return [[known[number] for number in text.tolist()] for text in drawn]


def padded_batch(texts: Sequence[Sequence[int]], device: torch.device) -> tuple[Int[Tensor, "n t"], Int[Tensor, "n t"]]:
    """Return token ids padded on the right with zeros, and the mask of real tokens."""
    rows = [torch.tensor(text) for text in texts]
    ids = pad_sequence(rows, batch_first=True)
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    return ids.to(device), mask.to(device)


@contextmanager
def running(backbone: nn.Module) -> Iterator[None]:
    """Turn what a backbone raises in a trial into a ModelError in one line; no stream of random numbers moves."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield
    except (torch.OutOfMemoryError, MemoryError, OutshineError):
        raise
    except Exception as error:  # a stranger's code raises anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelError(f"{type(backbone).__name__} cannot be run on token ids and a mask: {reason}") from error


def adaptable(backbone: nn.Module, num_layers: int) -> list[tuple[str, nn.Module]]:
    """Return the block linears that are products and nothing else, to which adapters are added.

    Tried out once for each backbone, before it has adapters. Raises ModelError where it cannot be run on token ids.
    """
    candidates = block_linears(backbone, num_layers)
    if backbone not in _USED_OTHERWISE:
        _USED_OTHERWISE[backbone] = used_otherwise(backbone, candidates)
    return [(path, module) for path, module in candidates if path not in _USED_OTHERWISE[backbone]]


def used_otherwise(backbone: nn.Module, layers: Sequence[tuple[str, nn.Module]]) -> frozenset[str]:
    """Return the paths of the linear layers that do something else in a forward pass than multiply.

    A model may read their weights past them (Mamba, RWKV), and a subclass may do something else (a router, a layer that
    quantises what it reads). Found out by a pass over a short text in which each layer notes it. A subclass with a
    forward pass of its own that is not called counts too. Where a class reads past one of its layers, all those count
    whose weights its methods name: elsewhere, with other kernels, they may read those. So do layers that stand in
    several places, where an adapter would stand in one.
    """
    watched = {path: _Watched(layer) for path, layer in layers}
    try:
        for path, watch in watched.items():
            place(backbone, path, watch)
        with running(backbone):
            ids, mask = padded_batch(random_texts(backbone, [SHORT]), next(backbone.parameters()).device)
            backbone(input_ids=ids, attention_mask=mask)
    finally:
        for path, layer in layers:
            place(backbone, path, layer)
    places = Counter(child for module in backbone.modules() for child in module.children())
    seen = {path for path, watch in watched.items() if not watch.is_product or places[watch.base] > 1}
    readers = {reader for path in seen for reader in _readers(backbone, path)}
    return frozenset(path for path in watched if path in seen or not readers.isdisjoint(_readers(backbone, path)))


def is_divided(backbone: nn.Module) -> bool:
    """Whether several processes hold a part of the weights each, and go through every pass together."""
    return any(hasattr(weight, "placements") for weight in backbone.parameters())


def in_float32(model: M, backbone: nn.Module) -> M:
    """Return a copy in float32 of a model that computes in bfloat16, whose rounding would hide what padding does.

    The model itself where that is not so, and where a copy takes too much memory. `backbone`: the model's.
    """
    sizes = [weight.numel() for weight in backbone.parameters()]
    lossy = any(weight.dtype == torch.bfloat16 for weight in backbone.parameters())
    quantised = any(isinstance(part, NF4Linear) for part in backbone.modules())
    if not lossy or is_divided(backbone) or quantised or sum(sizes) > MOST_COPIED:
        return model
    copied = copy.deepcopy(model)
    for part in (copied, getattr(copied, "backbone", None)):
        if isinstance(part, nn.Module):
            part.float()
    return copied


def sharing(read: Read, backbone: nn.Module, longest: int, compute_dtype: str) -> Sharing:
    """Find out which texts of up to `longest` tokens may share a batch: what is read of each is then as if alone.

    Padding reaches real tokens in some architectures (convolutions, averages over the whole row). Tried out; each
    number read may differ by ROUNDING, as a share of itself and of the most by which texts differ. Where what is read
    is not finite nothing can be found out. Raises ModelError where the same text gives different results each time.
    """
    if longest < 2:
        return "any"
    device = next(backbone.parameters()).device
    wide, half, short = random_texts(backbone, (longest, longest // 2 + 1, min(SHORT, longest - 1)))
    like = random_texts(backbone, (len(half),), seed=1)[0]

    def together(*texts: list[int]) -> Float[Tensor, "n d"]:
        return read(*padded_batch(texts, device)).double()

    with running(backbone):
        alone = torch.cat([together(half), together(short)])
        if not alone.isfinite().all():
            return "any"
        rounding = ROUNDING.get(compute_dtype, ROUNDING["float32"])
        most = rounding * (alone.abs() + (alone[0] - alone[1]).abs().max())

        def as_alone(rows: Float[Tensor, "n d"]) -> bool:
            return bool(((rows - alone[: len(rows)]).abs() <= most[: len(rows)]).all())

        if as_alone(together(wide, half, short)[1:]):
            return "any"
        if not as_alone(together(half)):
            name = type(backbone).__name__
            raise ModelError(f"{name} gives the same text other results each time; it cannot be used")
        return "equal" if as_alone(together(like, half)[1:]) else "none"


class _Watched(nn.Module):
    """A linear layer that notes whether it is only ever called, on one tensor, and whether its output is the product.

    As an adapter's layer it has none of the attributes of the layer that it wraps.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.base = layer
        self.is_product = any(isinstance(layer, kind) and type(layer).forward is kind.forward for kind in PLAIN)
        self._seen = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = self.base(*args, **kwargs)
        alone = len(args) == 1 and not kwargs and isinstance(output, Tensor)
        self.is_product = (self.is_product or not self._seen) and alone and _is_product(self.base, args[0], output)
        self._seen = True
        return output

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            attribute = getattr(self.base, name)
            self.is_product, self._seen = False, True
            return attribute


def _is_product(layer: nn.Module, x: Tensor, output: Tensor) -> bool:
    """Whether it is what an adapter gives whose update is zero, to rounding."""
    like = {"dtype": x.dtype, "device": x.device}
    down, up = torch.zeros(1, 1, x.shape[-1], **like), torch.zeros(1, output.shape[-1], 1, **like)
    try:
        expected = updated_linear(layer, x, down, up)
    except RuntimeError:  # shapes that are none of a product
        return False
    most = torch.finfo(output.dtype).eps ** 0.5
    return expected.shape == output.shape and torch.allclose(output, expected, rtol=most, atol=most, equal_nan=True)


def _readers(backbone: nn.Module, path: str) -> set[type[nn.Module]]:
    """Return the classes of the modules around a layer whose methods read its weight or bias, by its name."""
    *above, name = path.split(".")
    parents = (backbone.get_submodule(".".join(above[:depth])) for depth in range(len(above) + 1))
    return {type(parent) for parent in parents if name in _read_past(type(parent))}


@cache
def _read_past(kind: type[nn.Module]) -> frozenset[str]:
    """Return the names of the submodules whose weight or bias a class reads, as in `self.out_proj.weight`."""
    methods = (
        inspect.unwrap(method)
        for above in kind.__mro__[: kind.__mro__.index(nn.Module)]
        for name, method in vars(above).items()
        if name not in _BEFORE_USE and isinstance(method, FunctionType)
    )
    return frozenset(
        owner.argval
        for method in methods
        if isinstance(method, FunctionType)
        for owner, read in pairwise(dis.get_instructions(method))
        if owner.opname == read.opname == "LOAD_ATTR" and read.argval in ("weight", "bias")
    )
