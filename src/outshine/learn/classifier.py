"""Language models with heads, one alone or several on a frozen base: tokens in, scores of a task out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from outshine.data.task import BINARY, Task
from outshine.engine.errors import ModelError
from outshine.engine.rng import stream_seed
from outshine.learn.blocks import every_block, place
from outshine.learn.cuda_graphs import CudaGraphs
from outshine.learn.lora import FlatAdapters, LoRALinear, StackedLoRA, adapters, add_lora, left_frozen, remove_lora
from outshine.learn.model_checks import Sharing, adaptable, is_divided
from outshine.learn.packing import Pack, Packing, settle_sharing
from outshine.learn.spec import ClassifierSpec, Full, LoRA, Pooling

HEAD_SCALE = 0.01  # of nn.Linear's default: the first predictions are all close to one half
SAME = 0.05  # what a pass together may differ from one alone, as a share of what the members differ by


def pool(hidden: Float[Tensor, "b t d"], mask: Int[Tensor, "b t"], pooling: Pooling) -> Float[Tensor, "b d"]:
    """One vector a text from the hidden states of its real tokens, wherever the padding lies."""
    if pooling == "mean":
        hidden = hidden.to(torch.promote_types(hidden.dtype, torch.float32))  # sums of bf16 lose what they add
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1)
    positions = torch.arange(mask.shape[1], device=mask.device)
    index = (positions * mask).argmax(1) if pooling == "last" else mask.argmax(1)
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), index]


class Classifier(nn.Module):
    """Backbone, pooling and a float32 head with the outputs of a task (two of a binary one) and no bias.

    Dropout is off in training too: an update then depends on neither micro-batches nor a global seed.
    `head_seed` feeds the streams of the head's and the adapters' initial weights.
    """

    def __init__(self, backbone: nn.Module, spec: ClassifierSpec, head_seed: int, task: Task = BINARY) -> None:
        super().__init__()
        self.backbone = backbone
        self.spec = spec
        self.task = task
        self.sharing: Sharing = "any"  # texts that may share a batch
        self.is_settled = False  # whether that was tried out
        self.packing: Packing | None = None  # how texts share a row; None: they are padded
        self.graphs: CudaGraphs | None = None  # captured passes; None: each is issued kernel by kernel
        backbone.eval()
        self.flat: FlatAdapters | None = None  # None: none are trained, or each has tensors of its own
        if isinstance(spec.tuning, LoRA):
            add_lora(backbone, adaptable(backbone, spec.num_layers), spec.tuning, head_seed)
            layers = [layer for _, layer in adapters(backbone)]
            self.flat = FlatAdapters(layers, [layers])
        else:
            backbone.requires_grad_(isinstance(spec.tuning, Full))
        size = hidden_size(backbone)
        generator = torch.Generator().manual_seed(stream_seed("head", head_seed))
        bound = HEAD_SCALE / math.sqrt(size)
        start = torch.empty(task.num_outputs, size).uniform_(-bound, bound, generator=generator)
        parameter = next(backbone.parameters())
        self.head = nn.Parameter(start.to(parameter.device, torch.promote_types(parameter.dtype, torch.float32)))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.device

    def forward(self, input_ids: Int[Tensor, "b t"], mask: Int[Tensor, "b t"]) -> Float[Tensor, "b *k"]:
        """The task's scores: of a binary one the log-odds of y = 1, the difference of the two logits.

        Where padding would change what the backbone computes, texts of each length go through on their own. Tried out
        at the first padding, unless that was done before, or other processes would have to join in.
        """
        if not self.is_settled and not is_divided(self.backbone) and not mask.all():
            settle_sharing(self, longest=mask.shape[1])
        if self.sharing == "any" or mask.all():
            return self.padded(input_ids, mask)
        lengths = mask.sum(1)
        alike = [(lengths == length).nonzero()[:, 0] for length in lengths.unique()]
        groups = [part for rows in alike for part in (rows.split(1) if self.sharing == "none" else [rows])]
        parts = [self.padded(*_unpadded(input_ids[rows], mask[rows])) for rows in groups]
        return torch.cat(parts)[torch.cat(groups).argsort()]

    def padded(self, input_ids: Int[Tensor, "b t"], mask: Int[Tensor, "b t"]) -> Float[Tensor, "b *k"]:
        """The log-odds of texts that go through as they are padded, whatever that does to them."""
        return self._judged(self.pooled(input_ids, mask))

    def pooled(self, input_ids: Int[Tensor, "b t"], mask: Int[Tensor, "b t"]) -> Float[Tensor, "b d"]:
        """What the head reads."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocast()), _reading(self.flat):
            outputs = self.backbone(input_ids=input_ids, attention_mask=mask)
            return self._pool(outputs, mask)

    def pooled_pack(self, pack: Pack, packing: Packing, members: int = 1) -> Float[Tensor, "mn d"]:
        """What the heads read of packed texts that each of the members in the backbone goes through."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocast()), _reading(self.flat):
            return packing.pooled(self.backbone, pack, members, self.spec.pooling)

    def log_odds(self, input_ids: Int[Tensor, "b t"], mask: Int[Tensor, "b t"]) -> Float[Tensor, "1 b *k"]:
        """As a cohort of one."""
        return self(input_ids, mask).unsqueeze(0)

    def packed_log_odds(self, pack: Pack) -> Float[Tensor, "1 n *k"]:
        """As a cohort of one. Raises ValueError where `packing` is not set."""
        if self.packing is None:
            raise ValueError("not known how this backbone takes packed texts; see start_packing")
        return self._judged(self.pooled_pack(pack, self.packing)).unsqueeze(0)

    @contextmanager
    def alone(self, member: int) -> Iterator[Classifier]:
        """As a cohort of one."""
        yield self

    def members(self) -> list[dict[str, nn.Parameter]]:
        """As a cohort of one."""
        return [self.trainable()]

    def leaves(self) -> list[nn.Parameter]:
        """The tensors that autograd differentiates by; the parameters that training changes are these, or parts."""
        return [self.flat.down, self.flat.up, self.head] if self.flat else list(self.trainable().values())

    def optimized(self) -> list[dict[str, nn.Parameter]]:
        """As a cohort of one."""
        return [{**self.flat.rows[0], "head": self.head}] if self.flat else self.members()

    def blocks(self) -> list[nn.Module]:
        """The backbone's transformer blocks."""
        return every_block(self.backbone, self.spec.num_layers)

    def frozen_note(self) -> str:
        """Which linear layers of the blocks have no adapters though others have; empty: none."""
        return left_frozen(self.backbone, self.spec.num_layers) if isinstance(self.spec.tuning, LoRA) else ""

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def release(self) -> nn.Module:
        """The backbone without adapters, to be used again (not after full fine-tuning: its weights changed)."""
        self.graphs = None
        if self.packing is not None:
            self.packing.leave(self.backbone)
        remove_lora(self.backbone)
        return self.backbone

    def _judged(self, pooled: Float[Tensor, "b d"]) -> Float[Tensor, "b *k"]:
        if pooled.shape[-1] != self.head.shape[1]:
            raise another_width(self.spec, self.backbone, pooled.shape[-1])
        logits = functional.linear(pooled.to(self.head.dtype), self.head)
        return self.task.scores(logits)

    def _pool(self, outputs: Any, mask: Int[Tensor, "b t"]) -> Float[Tensor, "b d"]:
        if self.spec.pooling == "own":
            own = getattr(outputs, "pooler_output", None)
            return pool(outputs.last_hidden_state, mask, "first") if own is None else own
        return pool(outputs.last_hidden_state, mask, self.spec.pooling)

    def _autocast(self) -> bool:
        """Full fine-tuning keeps float32 weights and computes in bf16 where that was asked for."""
        return isinstance(self.spec.tuning, Full) and self.spec.compute_dtype == "bfloat16"


def _reading(flat: FlatAdapters | None) -> AbstractContextManager[None]:
    return flat.reading() if flat else nullcontext()


def _unpadded(input_ids: Int[Tensor, "b t"], mask: Int[Tensor, "b t"]) -> tuple[Int[Tensor, "b s"], Int[Tensor, "b s"]]:
    """Texts of one length without their padding, wherever it lies."""
    length = int(mask[0].sum())
    return input_ids[mask.bool()].view(-1, length), mask[mask.bool()].view(-1, length)


def hidden_size(backbone: nn.Module) -> int:
    """Width of the hidden states that the head reads."""
    config = getattr(backbone, "config", None)
    for name in ("hidden_size", "d_model", "n_embd"):
        size = getattr(config, name, None)
        if isinstance(size, int):
            if getattr(config, "model_type", None) == "reformer":  # its two streams lie side by side
                return 2 * size
            # OPT-350m projects its states back to the embedding size
            return getattr(config, "word_embed_proj_dim", None) or size
    raise ModelError(f"the hidden size of {type(backbone).__name__} is not in its config")


def another_width(spec: ClassifierSpec, backbone: nn.Module, width: int) -> ModelError:
    """What is said of a model whose states are not as wide as its config says."""
    problem = f"returns states of width {width}, and its config says {hidden_size(backbone)}"
    return ModelError(f"model '{spec.model.name}': {type(backbone).__name__} {problem}")


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
        self.graphs: CudaGraphs | None = None  # captured passes; None: each is issued kernel by kernel
        self._members: list[Classifier] = []
        self._layers: list[dict[str, LoRALinear]] = []
        self._trainable: list[dict[str, nn.Parameter]] = []
        for seed in head_seeds:
            member = Classifier(backbone, spec, seed, task)
            self._members.append(member)
            self._layers.append(dict(adapters(backbone)))
            self._trainable.append(member.trainable())
            member.release()
            member.flat = None  # its adapters are parts of the cohort's
        self._stacks = {path: StackedLoRA([layers[path] for layers in self._layers]) for path in self._layers[0]}
        self.flat: FlatAdapters | None = None
        if self._stacks:
            self.flat = FlatAdapters([*self._stacks.values()], [[*layers.values()] for layers in self._layers])
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

    def leaves(self) -> list[nn.Parameter]:
        """The tensors that autograd differentiates by; the members' parameters are these, or parts of them."""
        heads = [member.head for member in self._members]
        return [self.flat.down, self.flat.up, *heads] if self.flat else heads

    def optimized(self) -> list[dict[str, nn.Parameter]]:
        """What an optimizer is to step, by name: of each member the same values as `members`, in fewer tensors."""
        if not self.flat:
            return self.members()
        return [{**rows, "head": member.head} for rows, member in zip(self.flat.rows, self._members, strict=True)]

    def blocks(self) -> list[nn.Module]:
        """The backbone's transformer blocks, which all members share."""
        return every_block(self.backbone, self.spec.num_layers)

    def log_odds(self, input_ids: Int[Tensor, "b t"], mask: Int[Tensor, "b t"]) -> Float[Tensor, "m b *k"]:
        """The log-odds of y = 1 that each member gives to each text."""
        stacked = self._stacked()
        with _reading(self.flat):
            return self._judged(self._members[0].pooled(input_ids.repeat(stacked, 1), mask.repeat(stacked, 1)))

    def packed_log_odds(self, pack: Pack) -> Float[Tensor, "m n *k"]:
        """The same of texts in one row, which becomes a row for each member. Raises ValueError without a `packing`."""
        if self.packing is None:
            raise ValueError("not known how this backbone takes packed texts; see start_packing")
        with _reading(self.flat):
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
        self.graphs = None
        if self.packing is not None:
            self.packing.leave(self.backbone)
        self._install({path: stack.base for path, stack in self._stacks.items()})
        return self.backbone

    def _stacked(self) -> int:
        """How often each text goes through the base: without adapters once for all."""
        return len(self._members) if isinstance(self.spec.tuning, LoRA) else 1

    def _judged(self, pooled: Float[Tensor, "rows d"]) -> Float[Tensor, "m b *k"]:
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
