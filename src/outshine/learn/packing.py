"""Packing: texts one after the other in one row, so that no padding is computed.

Each text has positions of its own and sees itself alone. What transformers calls packed sequences does it: without an
attention mask, the architectures that know them tell the texts apart by positions that start anew. To the others
the same mask is given ready-made. Whether either is true of a model is tried out, never assumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from outshine.learn.attention import NAME, bounds_of_rows, has_varlen, layout_of, register
from outshine.learn.model_checks import Sharing, in_float32, padded_batch, random_texts, sharing
from outshine.learn.spec import ClassifierSpec, Pooling

if TYPE_CHECKING:
    from outshine.learn.classifier import Classifier
    from outshine.learn.cuda_graphs import CudaGraphs

SHORT = (5, 1, 3)  # tokens of the texts that are tried out first: positions run over nobody's table
STIR = 0.2  # standard deviation of random updates
_SHARING: WeakKeyDictionary[nn.Module, dict[tuple[Any, ...], Sharing]] = WeakKeyDictionary()
_KNOWN: WeakKeyDictionary[nn.Module, dict[tuple[Any, ...], Packing | None]] = WeakKeyDictionary()
_UNABLE = (TypeError, ValueError, AttributeError, IndexError, KeyError, ImportError, RuntimeError, AssertionError)


class PackSize(NamedTuple):
    """How large a pack is. Of a fixed size there are few, so that what is made for one serves many packs."""

    tokens: int  # in the row
    texts: int
    width: int  # tokens that the longest text has at most

    @classmethod
    def of(cls, lengths: Sequence[int], *, fixed: bool = False) -> PackSize:
        """Return the size of a pack of texts of these lengths, or the fixed size that holds it.

        A fixed size has up to a sixteenth more tokens, or seven. They are filler: texts, no longer than the longest,
        that nobody reads. Places for texts and the width are the next powers of two; some places may be of no tokens.
        """
        total, longest = sum(lengths), max(lengths)
        if not fixed:
            return cls(total, len(lengths), longest)
        tokens = round_up(total)
        num_texts = len(lengths) + -(-(tokens - total) // longest)
        return cls(tokens, _power_of_two(num_texts), _power_of_two(longest))


def round_up(count: int, parts: int = 16, least: int = 8) -> int:
    """Return the next of a few numbers: multiples of `least`, and at most `parts` from a power of two to the next."""
    step = max(least, (1 << (count.bit_length() - 1)) // parts)
    return -(-count // step) * step


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


class Pack(NamedTuple):
    """n texts in a row of t tokens; all numbers lie in one tensor, which reaches a device by one copy."""

    size: PackSize
    numbers: Int[Tensor, "s"]
    input_ids: Int[Tensor, "t"]
    positions: Int[Tensor, "t"]  # from 0 in every text
    texts: Int[Tensor, "t"]  # the number of the text that a token belongs to
    starts: Int[Tensor, "n"]
    ends: Int[Tensor, "n"]  # where the last token of a text is
    bounds: Int[Tensor, "n+1"]  # where each text begins, and the end of the last

    @classmethod
    def over(cls, numbers: Int[Tensor, "s"], size: PackSize) -> Pack:
        """Return the pack whose numbers these are."""
        parts = numbers.split([size.tokens] * 3 + [size.texts] * 2 + [size.texts + 1])
        return cls(size, numbers, *parts)

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]], device: torch.device, *, fixed: bool = False) -> Pack:
        """Pack texts of at least one token each, in this order; with `fixed` what fills the size follows them."""
        lengths = [len(text) for text in texts]
        size = PackSize.of(lengths, fixed=fixed)
        tokens = [token for text in texts for token in text]
        whole = np.zeros(size.texts, dtype=np.int64)
        whole[: len(lengths)] = lengths
        rest = filler(size.tokens - len(tokens), max(lengths))
        whole[len(lengths) : len(lengths) + len(rest)] = rest
        bounds = np.concatenate([[0], whole.cumsum()])
        numbers = np.arange(size.texts).repeat(whole)
        positions = np.arange(size.tokens) - bounds[numbers]
        # a place of no tokens reads the first token of the row
        starts, ends = (np.where(whole > 0, place, 0) for place in (bounds[:-1], bounds[1:] - 1))
        ids = [*tokens, *[0] * (size.tokens - len(tokens))]
        together = torch.from_numpy(np.concatenate([ids, positions, numbers, starts, ends, bounds]))
        if device.type == "cuda":
            together = together.pin_memory()
        return cls.over(together.to(device, non_blocking=True), size)


def filler(tokens: int, longest: int) -> list[int]:
    """Return lengths of texts of up to `longest` tokens that are so many tokens together."""
    return [longest] * (tokens // longest) + ([tokens % longest] if tokens % longest else [])


class Packing(NamedTuple):
    """How a backbone takes packs."""

    # varlen: by a kernel that is told where texts begin; laid: texts apart (`attention.layout_of`); found: by the model
    # itself from positions; else given, with this view
    mask: Literal["varlen", "laid", "found", "causal", "full"]
    first_position: int  # number of a text's first position
    attention: str  # the implementation that is used for packs
    before: str  # and the one that was there

    def pooled(self, backbone: nn.Module, pack: Pack, members: int, pooling: Pooling) -> Float[Tensor, "mn d"]:
        """Return one vector a text and member; the backbone's rows are the members', all with the same texts."""
        hidden = self.states(backbone, pack, members)
        if pooling == "mean":
            hidden = hidden.to(torch.promote_types(hidden.dtype, torch.float32))  # sums of bf16 lose what they add
            sums = hidden.new_zeros(members, pack.size.texts, hidden.shape[-1]).index_add(1, pack.texts, hidden)
            return (sums / (pack.ends - pack.starts + 1).unsqueeze(-1)).flatten(0, 1)
        pooled = hidden[:, pack.ends if pooling == "last" else pack.starts].flatten(0, 1)
        pooler: Any = getattr(backbone, "pooler", None)
        # an encoder's own pooler looks at the first token of its row
        return pooled if pooling != "own" or pooler is None else pooler(pooled.unsqueeze(1))

    def states(self, backbone: nn.Module, pack: Pack, members: int) -> Float[Tensor, "m t d"]:
        """Return the last hidden states of every token."""
        positions = pack.positions.expand(members, -1)
        mask = self._mask(backbone, pack, positions)
        return backbone(
            input_ids=pack.input_ids.expand(members, -1),
            attention_mask=mask,
            position_ids=positions + self.first_position,
        ).last_hidden_state

    def leave(self, backbone: nn.Module) -> None:
        """Give the backbone back the attention that it had."""
        _use_attention(backbone, self.attention, self.before)

    def _mask(self, backbone: Any, pack: Pack, positions: Int[Tensor, "m t"]) -> Any:
        """In the form that the backbone's attention takes; a dictionary for an encoder with layers of several sorts."""
        from transformers import masking_utils

        if self.mask == "found":
            return None
        if self.mask == "laid":
            return layout_of(pack.bounds, pack.size.width)
        if self.mask == "varlen":
            return bounds_of_rows(pack.bounds, len(positions), pack.size.tokens, pack.size.width)
        config = backbone.config
        # only its shape, format and device are looked at
        states = torch.empty(*positions.shape, 0, dtype=next(backbone.parameters()).dtype, device=positions.device)
        arguments = {"config": config, "inputs_embeds": states, "attention_mask": None, "past_key_values": None}
        if self.mask == "causal":
            return masking_utils.create_causal_mask(**arguments, position_ids=positions)
        arguments["and_mask_function"] = masking_utils.packed_sequence_mask_function(
            pack.texts.expand(len(positions), -1)
        )
        whole = masking_utils.create_bidirectional_mask(**arguments)
        if "sliding_attention" not in (getattr(config, "layer_types", None) or ()):
            return whole
        near = masking_utils.create_bidirectional_sliding_window_mask(**arguments)
        return {"full_attention": whole, "sliding_attention": near}


class Packable(Protocol):
    """A classifier or a cohort."""

    backbone: nn.Module
    spec: ClassifierSpec
    sharing: Sharing
    is_settled: bool
    packing: Packing | None
    graphs: CudaGraphs | None

    def alone(self, member: int) -> AbstractContextManager[Classifier]:
        """Return a member as a classifier of its own."""
        ...

    def members(self) -> list[dict[str, nn.Parameter]]:
        """Return what training changes, by name, of each member."""
        ...

    def leaves(self) -> list[nn.Parameter]:
        """Return the tensors that autograd differentiates by."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        ...

    def log_odds(self, input_ids: Int[Tensor, "n t"], mask: Int[Tensor, "n t"]) -> Float[Tensor, "m n *k"]:
        """Of padded texts."""
        ...

    def packed_log_odds(self, pack: Pack) -> Float[Tensor, "m n *k"]:
        """Of packed ones; `packing` says how."""
        ...


def settle_sharing(model: Packable, *, longest: int) -> Sharing:
    """Set `sharing`, which texts of up to `longest` tokens may share a batch. Tried out once.

    Raises ModelError where the model cannot be run, or gives the same text other results each time.
    """
    most = min(longest, model.spec.max_length)
    known = _SHARING.setdefault(model.backbone, {})
    case = (type(model.spec.tuning), model.spec.pooling, most)
    if case not in known:
        with model.alone(0) as member:
            tried = in_float32(member, member.backbone)
            exact = model.spec.compute_dtype if tried is member else "float32"
            tried.spec = tried.spec.model_copy(update={"compute_dtype": exact})
            with _stirred(tried.members()[0]):
                known[case] = sharing(tried.pooled, tried.backbone, most, exact)
    model.sharing, model.is_settled = known[case], True
    return model.sharing


@contextmanager
def _stirred(member: dict[str, nn.Parameter]) -> Iterator[None]:
    """Fresh adapters with random updates while the block runs: what training will do may show what the base hides."""
    fresh = [part for name, part in member.items() if name.endswith("lora_B") and not part.any()]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in fresh:
            part.copy_(torch.randn(part.shape, generator=generator) * STIR)
    try:
        yield
    finally:
        with torch.no_grad():
            for part in fresh:
                part.zero_()


def start_packing(model: Packable, *, longest: int | None = None, dense: bool = True) -> bool:
    """Set the `packing` with which the log-odds of packed texts are those of padded ones, and say whether there is one.

    longest: tokens of the longest text, None: the model's limit. dense: also a way whose attention goes over all pairs
    of tokens in a row. What a backbone can is tried out once, for classifiers and for cohorts. Texts that may not share
    a batch (`sharing`) may not share a row.
    """
    if model.sharing != "any":
        return False
    most = model.spec.max_length if longest is None else min(longest, model.spec.max_length)
    known = _KNOWN.setdefault(model.backbone, {})
    case = (type(model), type(model.spec.tuning), model.spec.pooling, most, dense)
    if case not in known:
        known[case] = _way(model, most, dense)
    model.packing = known[case]
    if model.packing is not None:
        _use_attention(model.backbone, model.packing.before, model.packing.attention)
    return model.packing is not None


@torch.no_grad()
def _way(model: Packable, longest: int, dense: bool) -> Packing | None:
    """Return the first way that holds on short texts, and on the longest.

    No sliding window holds those, and together they are longer than any table of positions. Log-odds may differ by √ε
    of the compute format (float32's in float64: some architectures compute parts in it), as a share of what the texts
    differ by. The model is left as it was.
    """
    lengths = (SHORT, (longest, 2, longest))
    short, long = (random_texts(model.backbone, [min(n, longest) for n in some]) for some in lengths)
    expected = [_padded(model, texts) for texts in (short, long)]
    for packing in _ways(model.backbone, model.device, dense):
        model.packing = packing
        try:
            _use_attention(model.backbone, packing.before, packing.attention)
            # the long ones only once the short ones have shown that positions are heeded
            if all(_agree(model, *pair) for pair in zip((short, long), expected, strict=True)):
                if packing.attention != packing.before:
                    _differentiate(model, (short, long))
                return packing
        except _UNABLE:
            pass
        finally:
            packing.leave(model.backbone)
            model.packing = None
    return None


def _agree(model: Packable, texts: list[list[int]], expected: Float[Tensor, "m n *k"]) -> bool:
    packed = model.packed_log_odds(Pack.of(texts, model.device))
    precision = max(torch.finfo(getattr(torch, name)).eps for name in (model.spec.compute_dtype, "float32"))
    spread = expected.max() - expected.min()
    return bool((packed - expected).abs().max() <= precision**0.5 * spread)


@torch.enable_grad()
def _differentiate(model: Packable, packs: Sequence[list[list[int]]]) -> None:
    """An attention may be known forward alone, or be compiled for one length alone: raises what it raises."""
    for texts in packs:
        torch.autograd.grad(
            model.packed_log_odds(Pack.of(texts, model.device)).sum(), model.leaves(), allow_unused=True
        )


def _padded(model: Packable, texts: list[list[int]]) -> Float[Tensor, "m n *k"]:
    return model.log_odds(*padded_batch(texts, model.device))


def _ways(backbone: nn.Module, device: torch.device, dense: bool) -> Iterator[Packing]:
    """Give all that may work, the one to be preferred first."""
    before = getattr(getattr(backbone, "config", None), "_attn_implementation", None) or "eager"
    first = _first_position(backbone)
    if before in ("sdpa", NAME):
        register()
        if has_varlen(device, next(backbone.parameters()).dtype):
            yield Packing("varlen", first, NAME, before)
        if device.type == "cpu":
            yield Packing("laid", first, NAME, before)
    if dense:
        for mask in ("found", "causal", "full"):
            yield Packing(mask, first, before, before)


def _first_position(backbone: nn.Module) -> int:
    """RoBERTa and its kin count positions behind the number of the padding token."""
    tables = (module for name, module in backbone.named_modules() if name.endswith("position_embeddings"))
    return next(
        (int(padding) + 1 for table in tables if (padding := getattr(table, "padding_idx", None)) is not None), 0
    )


def _use_attention(backbone: Any, now: str, wanted: str) -> None:
    if now != wanted:
        backbone.set_attn_implementation(wanted)
