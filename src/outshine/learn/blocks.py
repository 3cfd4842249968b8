"""The transformer blocks of a backbone and their linear layers."""

from __future__ import annotations

from torch import nn
from transformers.pytorch_utils import Conv1D

from outshine.engine.errors import ModelError
from outshine.learn.nf4 import NF4Linear

PLAIN = (nn.Linear, Conv1D, NF4Linear)


def block_lists(backbone: nn.Module, num_layers: int) -> list[tuple[str, nn.ModuleList]]:
    """Return the lists that hold the blocks, with their paths, the heaviest first: most models have one.

    XLM keeps attentions, norms and feed-forward layers in lists of their own, side by side. Of lists beside the
    heaviest, those count whose modules have layers to adapt. Raises ModelError where there is none of `num_layers`
    modules.
    """
    lists = [
        (name, module)
        for name, module in backbone.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == num_layers
    ]
    if not lists:
        raise ModelError(
            f"no list of {num_layers} blocks found in {type(backbone).__name__}; "
            "models whose blocks share their weights (such as ALBERT) cannot be used"
        )
    first, *others = sorted(lists, key=lambda item: (-sum(p.numel() for p in item[1].parameters()), len(item[0])))
    return [first, *(item for item in others if _lies_beside(item, first[0]))]


def find_blocks(backbone: nn.Module, num_layers: int) -> tuple[str, nn.ModuleList]:
    """Return the heaviest of `block_lists`."""
    return block_lists(backbone, num_layers)[0]


def every_block(backbone: nn.Module, num_layers: int) -> list[nn.Module]:
    """Return the modules of all `block_lists`."""
    return [block for _, blocks in block_lists(backbone, num_layers) for block in blocks]


def block_linears(backbone: nn.Module, num_layers: int) -> list[tuple[str, nn.Module]]:
    """Return every linear layer inside the blocks, by its path in the backbone (pooler and projections are outside).

    Weights that are no linear layers of their own (the stacked experts of a mixture, XLNet's attention) are not among
    them. Which of the layers can have adapters is tried out (`model_checks.adaptable`).
    """
    return [
        (f"{prefix}.{name}", module)
        for prefix, blocks in block_lists(backbone, num_layers)
        for name, module in blocks.named_modules()
        if isinstance(module, PLAIN)
    ]


def place(root: nn.Module, path: str, new: nn.Module) -> None:
    """Put a module in the place that `path` names."""
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, new)


def _lies_beside(item: tuple[str, nn.ModuleList], first: str) -> bool:
    """Whether a list holds parts of blocks, and the same module holds the list `first`."""
    path, modules = item
    is_bare = any(isinstance(module, PLAIN) for module in modules)  # a list of layers: projections, not blocks
    has_layers = any(isinstance(module, PLAIN) for module in modules.modules())
    return path.rpartition(".")[0] == first.rpartition(".")[0] and has_layers and not is_bare
