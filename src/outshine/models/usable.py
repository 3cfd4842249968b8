"""Whether a model can be trained at all, by its structure alone."""

from __future__ import annotations

import inspect

from torch import nn

from outshine.core.errors import ModelError
from outshine.models.blocks import block_linears, block_lists
from outshine.models.classifier import hidden_size
from outshine.models.lora import NO_LINEARS
from outshine.models.spec import ClassifierSpec, LoRA


def check_usable(backbone: nn.Module, spec: ClassifierSpec) -> None:
    """Look for what a classifier needs of its base, which may be without weights.

    Raises ModelError where it takes no token ids with a mask, where its width is not known, and where its blocks, or
    layers in them to adapt, are not found.
    """
    taken = inspect.signature(backbone.forward).parameters
    name, kind = spec.model.name, type(backbone).__name__
    if "input_ids" not in taken:
        raise ModelError(f"model '{name}': {kind} takes no tokens; is it a language model?")
    if "attention_mask" not in taken and not any(one.kind is one.VAR_KEYWORD for one in taken.values()):
        raise ModelError(f"model '{name}': {kind} takes no attention mask, which tells a text from its padding")
    hidden_size(backbone)
    block_lists(backbone, spec.num_layers)
    if isinstance(spec.tuning, LoRA) and not block_linears(backbone, spec.num_layers):
        raise ModelError(NO_LINEARS.format(type(backbone).__name__))
