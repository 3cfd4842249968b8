"""What only the structure of a model tells, looked at without its weights before anything is trained."""

from __future__ import annotations

from typing import Any

from torch import nn

from outshine.models.loading import cannot_be_cut, load_structure
from outshine.models.lora import find_blocks
from outshine.models.spec import ClassifierSpec

_PLAIN = (bool, int, float, str, tuple, type(None))


def usable_positions(spec: ClassifierSpec) -> int | None:
    """Tokens of the longest text where positions are counted from behind the padding's; None: from the first.

    Such a model's table of positions has a padding entry, as in RoBERTa and ESM. Raises ModelError where transformers
    cannot build the model.
    """
    usable = [
        len(module.weight) - module.padding_idx - 1
        for name, module in load_structure(spec).named_modules()
        if "position" in name.rpartition(".")[2] and isinstance(getattr(module, "padding_idx", None), int)
    ]
    return min(usable, default=None)


def check_cut(spec: ClassifierSpec) -> None:
    """Raises ModelError where the first blocks alone would not be what they are in the whole model."""
    whole = load_structure(spec.model_copy(update={"num_layers": spec.model.num_layers}))
    part = load_structure(spec)
    shapes = {name: parameter.shape for name, parameter in whole.named_parameters()}
    for name, parameter in part.named_parameters():
        if shapes.get(name) != parameter.shape:
            raise cannot_be_cut(spec, f"the shape of its {name} follows their number")
    path, blocks = find_blocks(part, spec.num_layers)
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
