"""Training of several classifiers on one frozen base, with one forward pass through it for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from outshine.data.task import BINARY, Task
from outshine.engine.errors import ModelError
from outshine.learn.blocks import every_block, place
from outshine.learn.classifier import Classifier
from outshine.learn.lora import LoRALinear, adapters
from outshine.learn.low_rank import updated_linear
from outshine.learn.model_checks import Sharing
from outshine.learn.packing import Pack, Packing
from outshine.learn.spec import ClassifierSpec, Full, LoRA

SAME = 0.05  # what a pass together may differ from one alone, as a share of what the members differ by


class StackedLoRA(nn.Module):
    """A frozen linear layer and the updates of several members, each for its own part of the rows.

    The rows of member i are the i-th of m equal parts: h = W₀x for all of them at once, (α/r)·BᵢAᵢx by batched
    products over the members.
    """

    def __init__(self, members: Sequence[LoRALinear]) -> None:
        super().__init__()
        self.base = members[0].base
        self.scale = members[0].scale
        self.lora_A = nn.ParameterList(member.lora_A for member in members)
        self.lora_B = nn.ParameterList(member.lora_B for member in members)

    def forward(self, x: Float[Tensor, "rows *tokens in_features"]) -> Float[Tensor, "rows *tokens out_features"]:
        if x.shape[0] % len(self.lora_A):
            raise ModelError(f"{x.shape[0]} rows are no {len(self.lora_A)} equal parts")
        return updated_linear(self.base, x, list(self.lora_A), list(self.lora_B), self.scale)


class Cohort:
    """Classifiers of one spec and several seeds on one backbone, each the one that `Classifier` would be alone.

    Raises ValueError for full fine-tuning: nothing is frozen, nothing can be shared.
    """

    def __init__(
        self, backbone: nn.Module, spec: ClassifierSpec, head_seeds: Sequence[int], task: Task = BINARY
    ) -> None:
        if isinstance(spec.tuning, Full):
            raise ValueError("models whose every weight is trained share no base")
        self.backbone = backbone
        self.spec = spec
        self.task = task
        self.sharing: Sharing = "any"  # texts that may share a batch
        self.is_settled = False  # whether that was tried out
        self.packing: Packing | None = None  # how texts share a row; None: they are padded
        self._members: list[Classifier] = []
        self._layers: list[dict[str, LoRALinear]] = []
        self._trainable: list[dict[str, nn.Parameter]] = []
        for seed in head_seeds:
            member = Classifier(backbone, spec, seed, task)
            self._members.append(member)
            self._layers.append(dict(adapters(backbone)))
            self._trainable.append(member.trainable())
            member.release()
        self._stacks = {path: StackedLoRA([layers[path] for layers in self._layers]) for path in self._layers[0]}
        self._install(self._stacks)

    @property
    def head(self) -> nn.Parameter:
        """The first member's: all have its dtype and device."""
        return self._members[0].head

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.device

    def members(self) -> list[dict[str, nn.Parameter]]:
        """The parameters that training changes, by the names that they have in a classifier alone."""
        return self._trainable

    def blocks(self) -> list[nn.Module]:
        """The backbone's transformer blocks, which all members share."""
        return every_block(self.backbone, self.spec.num_layers)

    def log_odds(self, input_ids: Int[Tensor, "b t"], mask: Int[Tensor, "b t"]) -> Float[Tensor, "m b"]:
        """The log-odds of y = 1 that each member gives to each text."""
        stacked = self._stacked()
        return self._judged(self._members[0].pooled(input_ids.repeat(stacked, 1), mask.repeat(stacked, 1)))

    def packed_log_odds(self, pack: Pack) -> Float[Tensor, "m n"]:
        """The same of texts in one row, which becomes a row for each member. Raises ValueError without a `packing`."""
        if self.packing is None:
            raise ValueError("not known how this backbone takes packed texts; see start_packing")
        return self._judged(self._members[0].pooled_pack(pack, self.packing, self._stacked()))

    def frozen_note(self) -> str:
        """As each member's alone."""
        with self.alone(0) as member:
            return member.frozen_note()

    @contextmanager
    def alone(self, member: int) -> Iterator[Classifier]:
        """One member as a classifier of its own, on the same base, while the block runs."""
        self._install(self._layers[member])
        try:
            yield self._members[member]
        finally:
            self._install(self._stacks)

    @torch.no_grad()
    def separates(self) -> bool:
        """Whether the backbone keeps the rows of a batch apart, so that members in one pass are what they are alone.

        Tried out, with random updates that are taken back: an architecture may send other things than its rows
        through a linear layer (DeBERTa's relative positions), or only some of them (a mixture's experts).
        """
        updates = [layer.lora_B for layers in self._layers for layer in layers.values()]
        generator = torch.Generator().manual_seed(0)
        for update in updates:
            update.copy_(torch.randn(update.shape, generator=generator))
        try:
            ids = torch.tensor([[1, 2, 3, 4, 1], [3, 1, 2, 0, 0]], device=self.device)
            mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], device=self.device)
            alone = []
            for member in range(len(self._members)):
                with self.alone(member) as classifier:
                    alone.append(classifier.padded(ids, mask))
            expected = torch.stack(alone)
            spread = (expected - expected[0]).abs().max()
            return bool((self.log_odds(ids, mask) - expected).abs().max() <= SAME * spread)
        except (ModelError, RuntimeError):
            return False
        finally:
            for update in updates:
                update.zero_()

    def release(self) -> nn.Module:
        """The backbone without adapters, to be used again."""
        if self.packing is not None:
            self.packing.leave(self.backbone)
        self._install({path: stack.base for path, stack in self._stacks.items()})
        return self.backbone

    def _stacked(self) -> int:
        """How often each text goes through the base: without adapters once for all."""
        return len(self._members) if isinstance(self.spec.tuning, LoRA) else 1

    def _judged(self, pooled: Float[Tensor, "rows d"]) -> Float[Tensor, "m b"]:
        """By each member's head; the rows are the members' one after the other."""
        parts = pooled.to(self.head.dtype).reshape(self._stacked(), -1, pooled.shape[-1])
        heads = torch.stack([member.head for member in self._members])
        logits = torch.bmm(parts.expand(len(heads), -1, -1), heads.mT)
        return self.task.scores(logits)

    def _install(self, layers: dict[str, Any]) -> None:
        for path, layer in layers.items():
            place(self.backbone, path, layer)


Model: TypeAlias = Classifier | Cohort
"""One classifier, or several on one base that go through it together."""
