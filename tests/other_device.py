"""Tensors that behave as those of another device than the CPU, on a machine that has none.

`elsewhere(tensor)` holds its numbers in CPU memory and says that its device is `meta`, a name that torch knows without
a driver. Within `other_device()` an operation on such tensors computes with their numbers and gives such a tensor. As on a
GPU, one that also takes a CPU tensor raises a RuntimeError, a single number excepted, and NumPy cannot see it; `.cpu()`
brings it back, `.to(device)` there. Stricter than a GPU: a CPU tensor is no index either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

ELSEWHERE = torch.device("meta")
_COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class _Elsewhere(Tensor):
    """A CPU tensor under the name of another device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> _Elsewhere:
        own = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, device=ELSEWHERE
        )
        own.held = held
        return own

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is Tensor.numpy:
            raise TypeError("a tensor of another device has no numpy(); use cpu() first")
        if function is Tensor.tolist:  # copies by itself, on a GPU too
            return numbers_of(args[0]).tolist()
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(operation, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(operation, args, kwargs or {})


class _Constants(TorchFunctionMode):
    """What makes tensors of Python's numbers does not reach the other mode."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in (torch.tensor, torch.as_tensor) and _is_elsewhere(kwargs.get("device")):
            return elsewhere(function(*args, **{**kwargs, "device": "cpu"}))
        return function(*args, **kwargs)


def elsewhere(tensor: Tensor) -> Tensor:
    """The same numbers on the other device."""
    return _Elsewhere(tensor)


def numbers_of(value: Any) -> Any:
    """A tensor's numbers, wherever they are; anything else as it is."""
    return value.held if isinstance(value, _Elsewhere) else value


@contextmanager
def other_device() -> Iterator[None]:
    """Let tensors be made on the other device, and mixtures be refused, as long as the block runs."""
    with _Constants(), _Mode():
        yield


def _computed(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, _Elsewhere)]
    device = kwargs.get("device")
    goes_there = bool(there) if device is None else _is_elsewhere(device)
    strangers = [tensor for tensor in tensors if not isinstance(tensor, _Elsewhere) and tensor.dim() > 0]
    if there and strangers and operation not in _COPIES:
        raise RuntimeError(
            f"{operation}: CPU tensors among those of another device, {[tuple(one.shape) for one in strangers]}"
        )
    if device is not None:
        kwargs = {**kwargs, "device": "cpu"}
    held_args, held_kwargs = tree_map(numbers_of, (args, kwargs))
    result = operation(*held_args, **held_kwargs)
    places = {id(tensor.held): tensor for tensor in there}  # what was written into stays the tensor that it was

    def placed(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return places.get(id(leaf)) if id(leaf) in places else _Elsewhere(leaf) if goes_there else leaf

    return tree_map(placed, result)


def _is_elsewhere(device: Any) -> bool:
    return device is not None and torch.device(device) == ELSEWHERE
