"""Low-rank adapters (LoRA) around the linear layers of the blocks, of one model or of several on one base.

Source: Hu et al., LoRA, arXiv:2106.09685, equation 3: h = W₀x + (α/r)·B A x, A random, B zero.
Files are written in PEFT's format, so that `peft.PeftModel.from_pretrained` loads them.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from outshine.engine.errors import ModelError
from outshine.engine.rng import stream_seed
from outshine.learn.blocks import block_linears, place
from outshine.learn.nf4 import NF4Linear
from outshine.learn.spec import LoRA

NO_LINEARS = "no linear layers that adapters can be added to found in the blocks of {}; use tuning: full or head"
NAMED = 4  # kinds of layers that a note names


class LoRALinear(nn.Module):
    """A frozen linear layer plus a trained low-rank update.

    The adapters are kept in float32 and multiplied in the dtype of the input.
    """

    def __init__(self, base: nn.Module, settings: LoRA, seed: int) -> None:
        super().__init__()
        in_features, out_features = _features(base)
        self.base = base
        self.scale = settings.alpha / settings.rank
        dtype = torch.promote_types(next(base.parameters()).dtype, torch.float32)
        generator = torch.Generator().manual_seed(seed)
        bound = 1 / math.sqrt(in_features)  # kaiming_uniform with a = √5, as PEFT and nn.Linear do
        # drawn in float32 whatever the dtype: the same start in every precision
        start = torch.empty(settings.rank, in_features).uniform_(-bound, bound, generator=generator)
        device = next(base.parameters()).device
        self.lora_A = nn.Parameter(start.to(device, dtype))
        self.lora_B = nn.Parameter(torch.zeros(out_features, settings.rank, dtype=dtype, device=device))
        self.flat: FlatAdapters | None = None  # where the factors lie beside those of the other layers
        self.number = 0  # of the layer there

    def forward(self, x: Float[Tensor, "*batch in_features"]) -> Float[Tensor, "*batch out_features"]:
        return updated_linear(self.base, x, *_factors([self], self.flat, self.number, x.dtype))


class StackedLoRA(nn.Module):
    """A frozen linear layer and the updates of several members, each for its own part of the rows.

    The rows of member i are the i-th of m equal parts: h = W₀x for all of them at once, (α/r)·BᵢAᵢx by batched
    products over the members.
    """

    def __init__(self, members: Sequence[LoRALinear]) -> None:
        super().__init__()
        self.base = members[0].base
        self._members = tuple(members)  # in no list of modules: each has its names from the classifier that it is in
        self.flat: FlatAdapters | None = None
        self.number = 0

    def forward(self, x: Float[Tensor, "rows *tokens in_features"]) -> Float[Tensor, "rows *tokens out_features"]:
        if x.shape[0] % len(self._members):
            raise ModelError(f"{x.shape[0]} rows are no {len(self._members)} equal parts")
        return updated_linear(self.base, x, *_factors(self._members, self.flat, self.number, x.dtype))


class FlatAdapters:
    """The adapters of m models on one base in two tensors, so that what is done to each is done to all at once.

    `down` [m, Σ r·in] holds all A, and `up` [m, Σ out·r] all B, a row for each member, layer after layer; the layers'
    parameters are views of them, and so are the `rows` of each member. While `reading` runs, the layers take their
    factors from one cast and one multiplication by α/r of all; their gradients then are two tensors too.
    """

    def __init__(self, layers: Sequence[LoRALinear | StackedLoRA], members: Sequence[Sequence[LoRALinear]]) -> None:
        """Take the parameters over. layers: those in the backbone; members: for each its own, in the same order."""
        self._scale = members[0][0].scale
        self.down, self._down_shapes = _flat([[layer.lora_A for layer in own] for own in members])
        self.up, self._up_shapes = _flat([[layer.lora_B for layer in own] for own in members])
        self.rows = [
            {"lora_A": nn.Parameter(down), "lora_B": nn.Parameter(up)}
            for down, up in zip(self.down.data, self.up.data, strict=True)
        ]
        self._of_thread = threading.local()
        for number, layer in enumerate(layers):
            layer.flat, layer.number = self, number

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        """A copied model's parameters are views of nothing: its layers read their own."""

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let the layers read their factors here. Several threads may go through the model at once."""
        self._of_thread.factors = {}
        try:
            yield
        finally:
            del self._of_thread.factors

    def share_gradients(self) -> None:
        """Give the rows, which an optimizer steps, their parts of the gradients."""
        for name, whole in (("lora_A", self.down), ("lora_B", self.up)):
            for number, row in enumerate(self.rows):
                row[name].grad = None if whole.grad is None else whole.grad[number]

    def factors(self, number: int, dtype: torch.dtype) -> tuple[Float[Tensor, "m r i"], Float[Tensor, "m o r"]] | None:
        """Return A and (α/r)·B of a layer in this dtype; None outside `reading`, as where a block is computed again."""
        known = getattr(self._of_thread, "factors", None)
        if known is None:
            return None
        if dtype not in known:
            known[dtype] = [
                whole.split([math.prod(shape) for shape in shapes], dim=1)
                for whole, shapes in (
                    (self.down.to(dtype), self._down_shapes),
                    (_Scaled.apply(self.up, self._scale, dtype), self._up_shapes),
                )
            ]
        down, up = known[dtype]
        return down[number].view(-1, *self._down_shapes[number]), up[number].view(-1, *self._up_shapes[number])


def _flat(members: Sequence[Sequence[nn.Parameter]]) -> tuple[nn.Parameter, list[torch.Size]]:
    """Return one tensor [m, all] of the members' parameters, which become views of it, and the shapes of these."""
    whole = nn.Parameter(torch.stack([torch.cat([part.detach().flatten() for part in own]) for own in members]))
    shapes = [part.shape for part in members[0]]
    for row, own in zip(whole.data, members, strict=True):
        for part, values in zip(own, row.split([shape.numel() for shape in shapes]), strict=True):
            part.data = values.view(part.shape)
    return whole, shapes


def _factors(
    members: Sequence[LoRALinear], flat: FlatAdapters | None, number: int, dtype: torch.dtype
) -> tuple[Float[Tensor, "m r i"], Float[Tensor, "m o r"]]:
    """Return A and (α/r)·B of a layer's members, scaled before they are rounded to the dtype of what they multiply."""
    found = flat.factors(number, dtype) if flat else None
    if found is not None:
        return found
    down, up = (torch.stack(parts) for parts in zip(*((layer.lora_A, layer.lora_B) for layer in members), strict=True))
    return down.to(dtype), _Scaled.apply(up, members[0].scale, dtype)


class _Scaled(torch.autograd.Function):
    """Values times a number, in another dtype. Unlike autograd's own it keeps nothing: where a block is computed again,
    what is kept is matched one by one, whether the factors come from all layers' or from the layer's own.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
        ctx.scale, ctx.dtype = scale, values.dtype
        return (values * scale).to(dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0].to(ctx.dtype) * ctx.scale, None, None


def updated_linear(
    base: nn.Module,
    x: Float[Tensor, "rows *tokens i"],
    down: Float[Tensor, "m r i"],
    up: Float[Tensor, "m o r"],
) -> Float[Tensor, "rows *tokens o"]:
    """W₀x + BₖAₖx for the k-th of m equal parts of the rows (down: the Aₖ, up: the Bₖ, scaled already).

    m divides the number of rows. The base is an nn.Linear, a Conv1D or an NF4Linear. The update is added in place, and
    the gradients of the factors and of x are written out below: autograd's own would take three more passes over
    tensors as large as x and the output. Source of the method: arXiv:2106.09685, equation 3.
    """
    parts = x.reshape(len(down), -1, x.shape[-1])
    if isinstance(base, NF4Linear):
        product = _Product.apply(parts, None, base, base.bias, down, up)
    else:
        weight = base.weight.T if isinstance(base, Conv1D) else base.weight  # GPT-2 stores [in, out]
        product = _Product.apply(parts, weight, None, base.bias, down, up)
    return product.reshape(*x.shape[:-1], -1)


class _Product(torch.autograd.Function):
    """Y = X W₀ᵀ + b + (X Aᵀ) Bᵀ for each member; W₀ and b get no gradient, for they are frozen.

    W₀ is given, or made dense by `layer` for each product: then nothing of it is kept for the backward pass.
    With L = X Aᵀ and G = ∂loss/∂Y: ∂A = (G B)ᵀ X, ∂B = Gᵀ L, ∂X = G W₀ + (G B) A.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "m n i"],
        weight: Tensor | None,
        layer: NF4Linear | None,
        bias: Tensor | None,
        down: Float[Tensor, "m r i"],
        up: Float[Tensor, "m o r"],
    ) -> Float[Tensor, "rows o"]:
        low = torch.bmm(x, down.mT)
        # of two dimensions, and no view: an architecture may go on in place (DeBERTa does)
        product = functional.linear(x.flatten(0, 1), _dense(weight, layer), bias)
        product.view(len(x), -1, product.shape[-1]).baddbmm_(low, up.mT)
        ctx.save_for_backward(x, weight, low, down, up)
        ctx.layer = layer
        return product

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, low, down, up = ctx.saved_tensors
        g = gradients[0].reshape(len(x), -1, gradients[0].shape[-1])
        through = torch.bmm(g, up)
        of_down, of_up = torch.bmm(through.mT, x), torch.bmm(g.mT, low)
        of_x = None
        if ctx.needs_input_grad[0]:  # not where the layer reads the frozen embeddings
            of_x = (g.flatten(0, 1) @ _dense(weight, ctx.layer)).view(x.shape)
            of_x.baddbmm_(through, down)
        return of_x, None, None, None, of_down, of_up


def _dense(weight: Tensor | None, layer: NF4Linear | None) -> Float[Tensor, "o i"]:
    """Return the frozen weights as they are multiplied."""
    if weight is not None:
        return weight
    assert layer is not None
    return layer.dense_weight()


def add_lora(backbone: nn.Module, layers: Sequence[tuple[str, nn.Module]], settings: LoRA, seed: int) -> None:
    """Freeze the backbone and wrap these layers of its blocks (`model_checks.adaptable`).

    Each layer's start has its own stream, by its path. Adapters start as zero: a fresh one changes nothing. Raises
    ModelError where there are no layers.
    """
    backbone.requires_grad_(False)
    if not layers:
        raise ModelError(NO_LINEARS.format(type(backbone).__name__))
    for path, module in layers:
        place(backbone, path, LoRALinear(module, settings, stream_seed("lora", seed, path)))


def left_frozen(backbone: nn.Module, num_layers: int) -> str:
    """Return a note on the linear layers of the blocks that have no adapters beside others that do; empty: all have."""
    wrapped = {layer.base for _, layer in adapters(backbone)}
    left = [path for path, layer in block_linears(backbone, num_layers) if layer not in wrapped]
    if not left:
        return ""
    kinds = sorted({re.sub(r"\.\d+(?=\.|$)", "", path) for path in left})  # the same layer in every block is named once
    named = ", ".join(kinds[:NAMED]) + (f" and {len(kinds) - NAMED} more" if len(kinds) > NAMED else "")
    return (
        f"{len(left)} of {len(left) + len(wrapped)} linear layers of the blocks have no adapters, because the model "
        f"does more with them than multiply: {named}"
    )


def remove_lora(backbone: nn.Module) -> None:
    """Take the adapters out again: the backbone is as it was before `add_lora`."""
    for path, module in list(adapters(backbone)):
        place(backbone, path, module.base)


def adapters(backbone: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """Give the wrapped layers by their path."""
    return ((path, module) for path, module in backbone.named_modules() if isinstance(module, LoRALinear))


def save_peft(backbone: nn.Module, settings: LoRA, base_name: str, folder: Path) -> None:
    """Write the adapters as PEFT does: `adapter_model.safetensors` and `adapter_config.json`."""
    wrapped = dict(adapters(backbone))
    tensors = {}
    for path, layer in wrapped.items():
        tensors[f"base_model.model.{path}.lora_A.weight"] = layer.lora_A.detach().cpu().contiguous()
        tensors[f"base_model.model.{path}.lora_B.weight"] = layer.lora_B.detach().cpu().contiguous()
    config = {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION",
        "base_model_name_or_path": base_name,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(wrapped),
        "fan_in_fan_out": any(_stored_transposed(layer.base) for layer in wrapped.values()),
        "inference_mode": True,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(to_safetensors(tensors, metadata={"format": "pt"}))
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _features(base: nn.Module) -> tuple[int, int]:
    if isinstance(base, nn.Linear | NF4Linear):
        return base.in_features, base.out_features
    if isinstance(base, Conv1D):  # GPT-2 stores [in, out]
        return base.weight.shape[0], base.weight.shape[1]
    raise ModelError(f"{type(base).__name__} is no linear layer")


def _stored_transposed(base: nn.Module) -> bool:
    """Whether the pretrained model has the layer's weights as [in, out]."""
    return isinstance(base, Conv1D) or (isinstance(base, NF4Linear) and base.transposed)
