"""Frozen linear layers in 4-bit NF4, by bitsandbytes, an optional extra.

Source: Dettmers et al., QLoRA, arXiv:2305.14314: 4-bit NormalFloat (section 3), double quantisation, equations 5 and 6.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from outshine.engine.errors import ModelError, SettingsError

BLOCK = 64  # weights that share one constant, in the order of the rows; that constant has 8 bits, 256 of them 32 more


class NF4Linear(nn.Module):
    """h = W x + b with W kept in 4.127 bits a weight, made dense for each product, forward and backward.

    W is multiplied in the format that it had; of it nothing is kept for the backward pass. bitsandbytes' own layer
    does the same on a GPU, but on a CPU with AVX-512 it repacks its weights in the first pass without gradients, after
    which no gradient goes through it (0.50.2). Neither is its CPU kernel right for rows that are no whole number of
    blocks, so that the weights are handed over as one row: the blocks are the same.
    """

    def __init__(self, dense: nn.Module, device: torch.device) -> None:
        super().__init__()
        assert isinstance(dense, nn.Linear | Conv1D)
        self.transposed = isinstance(dense, Conv1D)  # GPT-2 stores [in, out]; here it is [out, in] like any other
        weight = dense.weight.detach().T if self.transposed else dense.weight.detach()
        self.out_features, self.in_features = weight.shape
        packed, self._constants = _quantised(weight.to(device))
        self.packed = nn.Parameter(packed, requires_grad=False)
        self.bias = None if dense.bias is None else nn.Parameter(dense.bias.detach().to(device), requires_grad=False)

    def forward(self, x: Float[Tensor, "*batch in_features"]) -> Float[Tensor, "*batch out_features"]:
        return _Product.apply(x, self)

    def dense_weight(self) -> Float[Tensor, "out_features in_features"]:
        """Return the weights that are multiplied, in the format that they had before."""
        whole = _bitsandbytes().functional.dequantize_4bit(self.packed, self._constants)
        return whole.view(self.out_features, self.in_features)


class _Product(torch.autograd.Function):
    """W x + b and its gradient Wᵀ g for x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: NF4Linear) -> Tensor:
        ctx.layer = layer
        return functional.linear(x, layer.dense_weight(), layer.bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return grad @ ctx.layer.dense_weight(), None


def check_nf4(device: torch.device, dtype: torch.dtype) -> None:
    """Raise SettingsError where bitsandbytes is missing or cannot keep weights of this format on this device."""
    try:
        version = _bitsandbytes().__version__
    except ImportError:
        raise SettingsError(
            "tuning.base: nf4 needs bitsandbytes, which is not installed; pip install 'bitsandbytes>=0.50' (outshine's "
            "extra 4bit), or use base: dense"
        ) from None
    try:
        layer = NF4Linear(nn.Linear(BLOCK, 1, bias=False, dtype=dtype), device)
        layer(torch.ones(1, BLOCK, dtype=dtype, device=device))
    except (RuntimeError, ValueError, AttributeError, NotImplementedError, ModelError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SettingsError(
            f"tuning.base: nf4 cannot be computed here: bitsandbytes {version} on device "
            f"'{device.type}' in {str(dtype).removeprefix('torch.')} says: {reason}; use base: dense"
        ) from error


def _quantised(weight: Float[Tensor, "out_features in_features"]) -> tuple[Tensor, Any]:
    quantize = _bitsandbytes().functional.quantize_4bit
    return quantize(weight.reshape(-1), blocksize=BLOCK, compress_statistics=True, quant_type="nf4")


def _bitsandbytes() -> Any:
    """Return the package, which need not be there and takes seconds to import. Raises ImportError."""
    return import_module("bitsandbytes")
