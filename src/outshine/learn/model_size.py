"""The size of a model, counted on its structure; no weights are fetched or loaded."""

from __future__ import annotations

from torch import nn

from outshine.learn.blocks import every_block
from outshine.learn.classifier import hidden_size
from outshine.learn.known_models import Shape
from outshine.learn.load import load_structure
from outshine.learn.spec import ClassifierSpec


def shape_of(spec: ClassifierSpec) -> Shape:
    """The shape of a classifier's base, cut to its blocks. Of a mixture all experts count, used for a token or not.

    Raises ModelError where the model cannot be built from its config, HubError where that cannot be had.
    """
    backbone = load_structure(spec)
    blocks = nn.ModuleList(every_block(backbone, spec.num_layers))
    return Shape(spec.num_layers, hidden_size(backbone), _count(backbone), _count(blocks), spec.pooling)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
