"""Hidden states of a pretrained model after chosen blocks, pooled to one vector a text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from outshine.engine.errors import ModelError
from outshine.learn.batches import collate
from outshine.learn.blocks import find_blocks
from outshine.learn.classifier import pool
from outshine.learn.distributed import forward_only, processes_of
from outshine.learn.model_checks import (
    SHORT,
    Sharing,
    in_float32,
    padded_batch,
    random_texts,
    running,
    sharing,
)
from outshine.learn.out_of_memory import halving
from outshine.learn.spec import Pooling
from outshine.learn.tokenize import PairTokens


class _DeepestReachedError(Exception):
    """Raised inside a forward pass to end it: all layers asked for are there."""


class LayerReader:
    """Reads layers of a backbone. Layer l is what comes out of the l-th block, before any final norm; 0: what goes in.

    Hidden states are pooled like a classifier's; an encoder's own pooler reads the last layer only, so that
    `own` takes the token that it pools, the first. Whether blocks give what transformers calls the hidden states of
    layer l is tried out first: where they do not (XLM's blocks have no module of their own, Longformer pads its states
    to a window), transformers' own are taken. Raises ModelError where there are none of these layers either.
    """

    def __init__(self, backbone: nn.Module, num_layers: int, layers: Sequence[int], pooling: Pooling) -> None:
        self.backbone = backbone
        self.num_layers = num_layers
        self.blocks = find_blocks(backbone, num_layers)[1]
        self.layers = sorted(set(layers))
        self.pooling: Pooling = "first" if pooling == "own" else pooling
        self.by_blocks = self._blocks_give_layers()

    def __call__(self, input_ids: Int[Tensor, "b t"], mask: Int[Tensor, "b t"]) -> dict[int, Float[Tensor, "b d"]]:
        """Return the pooled states of each layer. The forward pass ends after the deepest of them.

        Where several processes share the backbone it goes through to its end: one that is cut short would leave
        borrowed weights behind. Neither does it end early where the states are transformers' own.
        """
        processes = processes_of(self.backbone)

        def pooled(hidden: Tensor) -> Tensor:
            return pool(hidden, mask, self.pooling)

        with forward_only(processes):
            if not self.by_blocks:
                states = self._states_of_transformers(input_ids, mask)
                return {layer: pooled(states[layer]) for layer in self.layers}
            by_layer = self._states_of_blocks(input_ids, mask, self.layers, pooled, ends=processes.size == 1)
        if self.layers[-1] in by_layer:
            return by_layer
        raise ModelError(f"the blocks of {type(self.backbone).__name__} were not run; its activations cannot be read")

    def sharing(self, longest: int, compute_dtype: str) -> Sharing:
        """Return which texts of up to `longest` tokens may share a batch. Tried out."""

        tried = in_float32(self, self.backbone)

        def read(input_ids: Tensor, mask: Tensor) -> Tensor:
            return torch.cat([states.float() for states in tried(input_ids, mask).values()], 1)

        return sharing(read, tried.backbone, longest, compute_dtype if tried is self else "float32")

    def _blocks_give_layers(self) -> bool:
        """Whether the blocks give a short text's hidden states as transformers gives them, where it gives any.

        The last layer is left out: transformers gives it after the final norm.
        """
        layers = range(self.num_layers)
        with running(self.backbone):
            batch = padded_batch(random_texts(self.backbone, [SHORT]), next(self.backbone.parameters()).device)
            expected = self._states_of_transformers(*batch)
            if not expected:
                return True
            states = self._states_of_blocks(*batch, layers, lambda hidden: hidden, ends=False)
        return len(states) == len(layers) and all(torch.equal(states[layer], expected[layer]) for layer in layers)

    def _states_of_transformers(
        self, input_ids: Int[Tensor, "b t"], mask: Int[Tensor, "b t"]
    ) -> Sequence[Float[Tensor, "b t d"]]:
        """Return the hidden states of all layers, from 0, as transformers gives them; empty: it gives none."""
        outputs = self.backbone(input_ids=input_ids, attention_mask=mask, output_hidden_states=True)
        states = getattr(outputs, "hidden_states", None) or ()
        if states and (len(states) != self.num_layers + 1 or any(layer.shape[:-1] != mask.shape for layer in states)):
            raise ModelError(
                f"{type(self.backbone).__name__} has not one hidden state for each token after each of its "
                f"{self.num_layers} blocks: no probe or filter can read it"
            )
        return states

    def _states_of_blocks(
        self,
        input_ids: Int[Tensor, "b t"],
        mask: Int[Tensor, "b t"],
        layers: Sequence[int],
        keep: Callable[[Tensor], Tensor],
        ends: bool,
    ) -> dict[int, Tensor]:
        """Return what `keep` makes of what goes into the first block or comes out of others.

        ends: whether the pass ends after the deepest of them.
        """
        states: dict[int, Tensor] = {}

        def take(layer: int, hidden: Tensor) -> None:
            states[layer] = keep(hidden)
            if ends and layer == layers[-1]:
                raise _DeepestReachedError

        with self._hooks(take, layers), suppress(_DeepestReachedError):
            self.backbone(input_ids=input_ids, attention_mask=mask)
        return states

    @contextmanager
    def _hooks(self, take: Callable[[int, Tensor], None], layers: Sequence[int]) -> Iterator[None]:
        handles = []
        for layer in layers:
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


def states_of(
    reader: LayerReader, rows: Sequence[Sequence[int]], pad_id: int, device: torch.device, sharing: Sharing
) -> dict[int, Float[Tensor, "b d"]]:
    """Return the pooled states of each layer, one of each row; of a pair of texts the first's less the second's.

    Where memory runs out fewer rows go through at once, unless several processes share the backbone, which would wait.
    """

    def in_parts(size: int) -> dict[int, Tensor]:
        parts = [_states(reader, rows[i : i + size], pad_id, device, sharing) for i in range(0, len(rows), size)]
        return {layer: torch.cat([states[layer] for states in parts]) for layer in parts[0]}

    least = 1 if processes_of(reader.backbone).size == 1 else len(rows)
    return halving(in_parts, len(rows), least)


def _states(
    reader: LayerReader, rows: Sequence[Sequence[int]], pad_id: int, device: torch.device, sharing: Sharing
) -> dict[int, Float[Tensor, "b d"]]:
    if not any(isinstance(row, PairTokens) for row in rows):
        return reader(*collate(rows, range(len(rows)), pad_id, device))
    texts = [text for row in rows if isinstance(row, PairTokens) for text in row.texts]
    if sharing == "any":
        by_layer = reader(*collate(texts, range(len(texts)), pad_id, device))
    else:
        alone = [reader(*collate(texts, [i], pad_id, device)) for i in range(len(texts))]
        by_layer = {layer: torch.cat([states[layer] for states in alone]) for layer in alone[0]}
    return {layer: states[0::2] - states[1::2] for layer, states in by_layer.items()}


def _hidden(states: Any) -> Tensor:
    """Return the hidden states among what goes into or comes out of a block: they come first."""
    return states if isinstance(states, Tensor) else states[0]
