"""Whether a resolved model can be used at all, by its structure, before anything is trained; no weights are needed."""

from __future__ import annotations

import inspect
from functools import lru_cache

from outshine.core.errors import ModelError
from outshine.models.blocks import block_linears, block_lists
from outshine.models.classifier import hidden_size
from outshine.models.loading import load_structure
from outshine.models.lora import NO_LINEARS
from outshine.models.spec import ClassifierSpec, LoRA


@lru_cache(maxsize=32)
def check_usable(spec: ClassifierSpec) -> None:
    """Build the structure on torch's meta device and look for what training needs.

    Raises ModelError where transformers cannot build the model, where it takes no token ids with a mask, and where its
    blocks, or layers in them to adapt, are not found; HubError where its config cannot be had.
    """
    backbone, name = load_structure(spec), spec.model.name
    taken = inspect.signature(backbone.forward).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        taken = {**taken, "attention_mask": None}
    lacking = [wanted for wanted in ("input_ids", "attention_mask") if wanted not in taken]
    if lacking:
        raise ModelError(
            f"model '{name}': {type(backbone).__name__} takes no {' and no '.join(lacking)}; models that read a batch of "
            "texts of different lengths can be used"
        )
    hidden_size(backbone)
    block_lists(backbone, spec.num_layers)
    if isinstance(spec.tuning, LoRA) and not block_linears(backbone, spec.num_layers):
        raise ModelError(NO_LINEARS.format(type(backbone).__name__))
