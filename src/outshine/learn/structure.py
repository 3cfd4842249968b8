"""Checks of a model's structure, and its size, before anything is trained; no weights are fetched or loaded."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from outshine.engine.errors import ModelError
from outshine.learn.blocks import block_linears, block_lists, every_block, find_blocks
from outshine.learn.classifier import another_width, hidden_size
from outshine.learn.known_models import Shape
from outshine.learn.load import cannot_be_cut, load_structure
from outshine.learn.lora import NO_LINEARS
from outshine.learn.spec import ClassifierSpec, LoRA

_PLAIN = (bool, int, float, str, tuple, type(None))


def check_structure(spec: ClassifierSpec) -> int | None:
    """Return how long a text may be where positions begin behind the padding's as in RoBERTa; None: elsewhere.

    Raises ModelError where transformers cannot build the model, where it cannot be trained, and where the first blocks
    alone would not be what they are in the whole model.
    """
    model = load_structure(spec)
    _check_usable(model, spec)
    path, blocks = find_blocks(model, spec.num_layers)
    if spec.num_layers < spec.model.num_layers:
        _check_cut(spec, model, path, blocks)
    _check_width(model, spec)  # last: a forward pass may leave something in the model
    tables = [module for name, module in model.named_modules() if "position" in name.rpartition(".")[2]]
    return min((usable for table in tables if (usable := _behind_padding(table)) is not None), default=None)


def _check_usable(backbone: nn.Module, spec: ClassifierSpec) -> None:
    """Look for what a classifier needs of its base.

    Raises ModelError where it takes no token ids with a mask, where its width is not known, and where its blocks, or
    layers in them to adapt, are not found.
    """
    taken = inspect.signature(backbone.forward).parameters
    name, kind = spec.model.name, type(backbone).__name__
    if "input_ids" not in taken:
        raise ModelError(f"model '{name}': {kind} takes no tokens; is it a language model?")
    if "attention_mask" not in taken and not any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()
    ):
        raise ModelError(f"model '{name}': {kind} takes no attention mask, which tells a text from its padding")
    hidden_size(backbone)
    block_lists(backbone, spec.num_layers)
    if isinstance(spec.tuning, LoRA) and not block_linears(backbone, spec.num_layers):
        raise ModelError(NO_LINEARS.format(kind))


def _check_width(backbone: nn.Module, spec: ClassifierSpec) -> None:
    """Compare the states that it returns with what its config says of them, where its code runs without weights."""
    ids = torch.zeros(1, 8, dtype=torch.long, device="meta")
    try:
        with torch.no_grad():
            width = backbone(input_ids=ids).last_hidden_state.shape[-1]
    except Exception:  # code that looks into its tensors, which are empty here: the head's first use tells
        return
    if width != hidden_size(backbone):
        raise another_width(spec, backbone, width)


def _behind_padding(table: Any) -> int | None:
    """Return positions behind that of the padding; None: the table has none for it, or is computed and has no end."""
    padding, weight = getattr(table, "padding_idx", None), getattr(table, "weight", None)
    return len(weight) - padding - 1 if isinstance(padding, int) and isinstance(weight, Tensor) else None


def _check_cut(spec: ClassifierSpec, part: nn.Module, path: str, blocks: nn.ModuleList) -> None:
    whole = load_structure(spec.model_copy(update={"num_layers": spec.model.num_layers}))
    shapes = {name: parameter.shape for name, parameter in whole.named_parameters()}
    for name, parameter in part.named_parameters():
        if shapes.get(name) != parameter.shape:
            raise cannot_be_cut(spec, f"the shape of its {name} follows their number")
    of_whole = dict(whole.get_submodule(path).named_modules())
    counts = (spec.num_layers, spec.model.num_layers)
    for name, module in blocks.named_modules():
        if name and _differ(module, of_whole.get(name), counts):
            raise cannot_be_cut(spec, f"what {path}.{name} is depends on their number")


def _differ(module: nn.Module, of_whole: nn.Module | None, counts: tuple[int, int]) -> bool:
    """Whether a module is built otherwise than in the whole model; the number of blocks itself may be known to it."""
    if type(module) is not type(of_whole):
        return True
    own, other = _plain(module), _plain(of_whole)
    return own.keys() != other.keys() or any(
        own[name] != other[name] and (own[name], other[name]) != counts for name in own
    )


def _plain(module: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if isinstance(value, _PLAIN)}


def shape_of(spec: ClassifierSpec) -> Shape:
    """Return the shape of a classifier's base, cut to its blocks. Of a mixture all experts count.

    Raises ModelError where the model cannot be built from its config, HubError where that cannot be had.
    """
    backbone = load_structure(spec)
    blocks = nn.ModuleList(every_block(backbone, spec.num_layers))
    return Shape(spec.num_layers, hidden_size(backbone), _count(backbone), _count(blocks), spec.pooling)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
