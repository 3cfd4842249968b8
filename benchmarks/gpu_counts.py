"""What an update asks of a GPU, counted without one: kernels, FLOPs, bytes moved and bytes kept, and the least time.

    PYTHONPATH=src python -m benchmarks.gpu_counts

The product's own packed pass runs on torch's device without memory, which knows shapes and types alone. A kernel takes
no less than its FLOPs at the rate of a matrix product, nor than its bytes at the rate of the memory (the roofline
model, Williams et al., 2009, doi:10.1145/1498765.1498785), and each one more costs a little, also in a CUDA graph.
What is left out: the host, products of few rows, which are slower, and memory in the caches, which is faster.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from math import prod
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

META = torch.device("meta")
RANK = 8
# of an H200: measured for products, four fifths of the data sheet's 4.8 TB/s, and what is usual for a graph's kernels
FLOPS, BYTES, SECONDS_A_KERNEL = 750e12, 3.84e12, 1e-6
BYTES_OF_ADAMW = 40  # for a float32 value: norm 4, clipping 8, parameter and two moments 24, gradient 4
LLAMA_8B: dict[str, Any] = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}
SUPERVISOR: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
}
SCIQ, BOOLQ = 31, 150  # tokens of a text in the mean


class Counted(NamedTuple):
    """What a pass asks for."""

    kernels: int
    flops: float  # of matrix products
    moved: float  # bytes read and written by all kernels
    seconds: float  # at least
    kept: int  # bytes for the way back, at the end of the forward pass
    useful: float  # FLOPs by convention: 2N a token forward, 4N in training


def count(shape: dict[str, Any], lengths: Sequence[int], members: int = 1, training: bool = True) -> Counted:
    """Count a pass through a Llama of this shape with LoRA on all linear layers, and where it trains the way back too.

    lengths: tokens of the texts, which lie in one row for each of the members of a cohort.
    """
    from outshine.learn.packing import Pack, PackSize

    model = _model(shape, members)
    pack = Pack.of([[0] * length for length in lengths], torch.device("cpu"), fixed=True)
    size, numbers = PackSize.of(lengths, fixed=True), pack.numbers.to(META)
    weights = sum(part.numel() for name, part in model.backbone.named_parameters() if _is_of_a_product(name))
    useful = (4 if training else 2) * weights * sum(lengths) * members
    kernels, kept = _Kernels(), dict[int, int]()

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter) or tensor.requires_grad:
            storage = tensor.untyped_storage()
            kept[storage._cdata] = storage.nbytes()
        return tensor

    no_autocast = patch.object(torch, "autocast", lambda *args, **kwargs: nullcontext())  # knows no such device
    with no_autocast, kernels, _norms_as_on_a_gpu(kernels), torch.set_grad_enabled(training):
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            z = model.packed_log_odds(Pack.over(numbers, size))
        if training:
            torch.autograd.grad(z.sum(), model.leaves())
    if training:
        kernels.add("AdamW", BYTES_OF_ADAMW * sum(leaf.numel() for leaf in model.leaves()), 0)
    return Counted(
        sum(kernels.by_name.values()), kernels.flops, kernels.moved, kernels.seconds, sum(kept.values()), useful
    )


def table() -> str:
    """Return the counts of what `benchmarks.gpu` measures, as a table in Markdown."""
    sciq, boolq = [SCIQ] * 32, [BOOLQ] * 32
    cases = {
        "Llama 3 8B: training, SciQ-like, update of 32": (LLAMA_8B, sciq, 1, True),
        "the same, cohort of four": (LLAMA_8B, sciq, 4, True),
        "training, BoolQ-like, half an update": (LLAMA_8B, boolq[:16], 1, True),
        "evaluation, SciQ-like, 512 texts": (LLAMA_8B, sciq * 16, 1, False),
        ".34 B: training, SciQ-like, update of 32": (SUPERVISOR, sciq, 1, True),
    }
    lines = [
        "| one pass | kernels | TFLOP | GB moved | ms at least | share at most | GiB kept |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (shape, lengths, members, training) in cases.items():
        found = count(shape, lengths, members, training)
        share = found.useful / FLOPS / found.seconds
        lines.append(
            f"| {name} | {found.kernels:,} | {found.flops / 1e12:.1f} | {found.moved / 1e9:.0f} "
            f"| {found.seconds * 1e3:.1f} | {100 * share:.0f} % | {found.kept / 2**30:.1f} |"
        )
    return "\n".join(lines)


def _is_of_a_product(name: str) -> bool:
    return "_proj" in name and "lora" not in name


def _model(shape: dict[str, Any], members: int) -> Any:
    """Return a classifier, or a cohort, on a base without numbers, packed as on a GPU."""
    from transformers import LlamaConfig, LlamaModel

    from outshine.learn import classifier
    from outshine.learn.attention import NAME, register
    from outshine.learn.blocks import block_linears
    from outshine.learn.packing import Packing
    from outshine.learn.rotary import fuse_rotary
    from outshine.learn.spec import ClassifierSpec, LoRA, ModelRef

    register()
    groups = min(8, shape["num_attention_heads"])
    config = LlamaConfig(**shape, vocab_size=1024, num_key_value_heads=groups, use_cache=False)
    with META:
        base = LlamaModel._from_config(config, dtype=torch.bfloat16, attn_implementation=NAME)
    base.requires_grad_(False).eval()
    fuse_rotary(base)
    layers = shape["num_hidden_layers"]
    spec = ClassifierSpec(
        model=ModelRef(identity="sha256:none", name="none", num_layers=layers),
        num_layers=layers,
        pooling="last",
        tuning=LoRA(rank=RANK, alpha=RANK),
        max_length=1024,
        compute_dtype="bfloat16",
    )
    with patch.object(classifier, "adaptable", block_linears):  # which is tried out with numbers
        made = classifier.Classifier(base, spec, 0) if members == 1 else classifier.Cohort(base, spec, range(members))
    made.packing = Packing("varlen", 0, NAME, "sdpa")
    return made


class _Kernels(TorchDispatchMode):
    """Counts what is issued while it is entered."""

    NO_KERNEL = frozenset({"detach", "empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"})

    def __init__(self) -> None:
        super().__init__()
        self.by_name: Counter[str] = Counter()
        self.flops = self.moved = self.seconds = 0.0

    def add(self, name: str, moved: int, flops: int) -> None:
        """Count a kernel that moves so many bytes."""
        self.by_name[name] += 1
        self.flops += flops
        self.moved += moved
        self.seconds += max(moved / BYTES, flops / FLOPS) + SECONDS_A_KERNEL

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.name().removeprefix("aten::").partition(".")[0]
        returned = func._schema.returns
        is_view = any(part.alias_info is not None and not part.alias_info.is_write for part in returned)
        if not is_view and name not in self.NO_KERNEL and name != "_unsafe_view":
            given, made = (
                [part for part in tree_flatten(some)[0] if isinstance(part, Tensor)] for some in ((args, kwargs), out)
            )
            read = [part.numel() * part.element_size() for part in (*given, *made)]
            if name == "embedding":  # the rows that are looked up
                read[0] = read[-1]
            self.add(name, sum(read), _flops(name, given))
        return out


def _flops(name: str, given: Sequence[Tensor]) -> int:
    """Return the FLOPs of a matrix product; 0 of all else."""
    factors = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1, "baddbmm_": 1}
    if name not in factors:
        return 0
    left, right = given[factors[name] :][:2]
    return 2 * prod(left.shape) * right.shape[-1]


@contextmanager
def _norms_as_on_a_gpu(kernels: _Kernels) -> Iterator[None]:
    """Let an RMS norm be one kernel, and its gradient another, as torch's are on CUDA; here they are in pieces."""
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    class Norm(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            kernels.add("rms_norm", 2 * x.numel() * x.element_size(), 0)
            return torch.empty_like(x)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            kernels.add("rms_norm_backward", 3 * x.numel() * x.element_size(), 0)
            return torch.empty_like(x)

    with patch.object(LlamaRMSNorm, "forward", lambda self, x: Norm.apply(x)):
        yield


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
