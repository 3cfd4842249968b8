"""Low-rank adapters (LoRA) around the linear layers of the blocks.

Source: Hu et al., LoRA, arXiv:2106.09685, equation 3: h = W₀x + (α/r)·B A x, A random, B zero.
Files are written in PEFT's format, so that `peft.PeftModel.from_pretrained` loads them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from outshine.engine.errors import ModelError
from outshine.engine.rng import stream_seed
from outshine.learn.blocks import block_linears, place
from outshine.learn.low_rank import updated_linear
from outshine.learn.model_checks import used_otherwise
from outshine.learn.nf4 import NF4Linear
from outshine.learn.spec import LoRA

NO_LINEARS = "no linear layers that adapters can be added to found in the blocks of {}; use tuning: full or head"
NAMED = 4  # kinds of layers that a note names
_USED_OTHERWISE: WeakKeyDictionary[nn.Module, frozenset[str]] = WeakKeyDictionary()


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

    def forward(self, x: Float[Tensor, "*batch in_features"]) -> Float[Tensor, "*batch out_features"]:
        return updated_linear(self.base, x, [self.lora_A], [self.lora_B], self.scale)


def add_lora(backbone: nn.Module, num_layers: int, settings: LoRA, seed: int) -> None:
    """Freeze the backbone and wrap its block linears. Each layer's start has its own stream, by its path.

    Layers that the model uses otherwise than as a product are left as they are (`left_frozen`): adapters start as zero,
    and a fresh one changes nothing. Raises ModelError where no layer is left, or the model cannot be tried out.
    """
    backbone.requires_grad_(False)
    targets = adaptable(backbone, num_layers)
    if not targets:
        raise ModelError(NO_LINEARS.format(type(backbone).__name__))
    for path, module in targets:
        place(backbone, path, LoRALinear(module, settings, stream_seed("lora", seed, path)))


def adaptable(backbone: nn.Module, num_layers: int) -> list[tuple[str, nn.Module]]:
    """The block linears that are products and nothing else, to which adapters are added.

    Tried out once for each backbone, before it has adapters (`models.trials`).

    Raises ModelError where the backbone cannot be run on token ids.
    """
    candidates = block_linears(backbone, num_layers)
    if backbone not in _USED_OTHERWISE:
        _USED_OTHERWISE[backbone] = used_otherwise(backbone, candidates)
    return [(path, module) for path, module in candidates if path not in _USED_OTHERWISE[backbone]]


def left_frozen(backbone: nn.Module, num_layers: int) -> str:
    """A note on the linear layers of the blocks that have no adapters beside others that do; empty: all have."""
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
    """The wrapped layers by their path."""
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
