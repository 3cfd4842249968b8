"""Hidden states of a pretrained model after chosen blocks, pooled to one vector a text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from outshine.core.errors import ModelError
from outshine.models.classifier import pool
from outshine.models.lora import find_blocks
from outshine.models.sharding import forward_only, team_of
from outshine.models.spec import Pooling


class _DeepestReachedError(Exception):
    """Raised inside a forward pass to end it: all layers asked for are there."""


class LayerReader:
    """Reads layers of a backbone. Layer l is what comes out of the l-th block, before any final norm; 0: what goes in.

    Hidden states are pooled like a classifier's; an encoder's own pooler reads the last layer only, so that
    `own` takes the token that it pools, the first.
    """

    def __init__(self, backbone: nn.Module, num_layers: int, layers: Sequence[int], pooling: Pooling) -> None:
        self.backbone = backbone
        self.blocks = find_blocks(backbone, num_layers)[1]
        self.layers = sorted(set(layers))
        self.pooling: Pooling = "first" if pooling == "own" else pooling

    def __call__(self, input_ids: Int[Tensor, "b t"], mask: Int[Tensor, "b t"]) -> dict[int, Float[Tensor, "b d"]]:
        """The pooled states of each layer. The forward pass ends after the deepest of them.

        Where several processes share the backbone it goes through to its end: one that is cut short would leave
        borrowed weights behind.
        """
        found: dict[int, Tensor] = {}
        team = team_of(self.backbone)

        def take(layer: int, hidden: Tensor) -> None:
            found[layer] = pool(hidden, mask, self.pooling)
            if layer == self.layers[-1] and team.size == 1:
                raise _DeepestReachedError

        with forward_only(team), self._hooks(take):
            try:
                self.backbone(input_ids=input_ids, attention_mask=mask)
            except _DeepestReachedError:
                return found
        if self.layers[-1] in found:
            return found
        raise ModelError(f"the blocks of {type(self.backbone).__name__} were not run; its activations cannot be read")

    @contextmanager
    def _hooks(self, take: Callable[[int, Tensor], None]) -> Iterator[None]:
        handles = []
        for layer in self.layers:
            if layer == 0:
                hook = self.blocks[0].register_forward_pre_hook(
                    lambda _, args, kwargs: take(0, _hidden(args or tuple(kwargs.values()))), with_kwargs=True
                )
            else:
                hook = self.blocks[layer - 1].register_forward_hook(
                    lambda _, args, output, layer=layer: take(layer, _hidden(output))
                )
            handles.append(hook)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _hidden(states: Any) -> Tensor:
    """The hidden states among what goes into or comes out of a block: they come first."""
    return states if isinstance(states, Tensor) else states[0]
