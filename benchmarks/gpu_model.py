"""A Llama of random weights with LoRA in three forms: PEFT's, a lean module, and a stack for a cohort of students.

Needs torch and transformers; peft and bitsandbytes only where a setup names them.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, LlamaConfig, LlamaModel

RANK, ALPHA = 8, 8
Adapters = dict[str, tuple[Tensor, Tensor]]  # by path of the linear: A [m, r, in], B [m, out, r]

LLAMA_3_8B = LlamaConfig(
    vocab_size=128_256,
    hidden_size=4096,
    intermediate_size=14_336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    max_position_embeddings=8192,
    rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
    use_cache=False,
)
TINY = LlamaConfig(
    vocab_size=256,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=1024,
    use_cache=False,
)


class UnsupportedError(RuntimeError):
    """What a setup needs is not there; the message says what."""


class Setup(NamedTuple):
    """One way to run the model. `budget`: padded tokens of a micro-batch over all members; 0: one text at a time."""

    name: str
    adapter: Literal["peft", "lean"] = "lean"
    budget: int = 16_384
    members: int = 1
    packed: bool = False
    attention: Literal["sdpa", "flex_attention", "varlen"] = "sdpa"
    compiled: bool = False
    checkpointing: bool = False
    four_bit: bool = False


class Batch(NamedTuple):
    """Token ids [b, t] padded on the right, or [1, t] packed. `ends`: rows and columns where texts end."""

    rows: Tensor  # [n] numbers of the texts
    ids: Tensor
    mask: Tensor | None  # [b, t]; None: packed
    ends: tuple[Tensor, Tensor]  # [n], [n]
    positions: Tensor | None = None  # [1, t], from 0 in every packed text
    starts: Tensor | None = None  # [texts + 1] int32: cumulated lengths of the packed texts
    longest: int = 0


class LeanLoRA(nn.Module):
    """A frozen linear layer plus the low-rank updates of m students, h = W₀x + (α/r)·B A x (arXiv:2106.09685, eq. 3).

    With m > 1 the rows of x are those of student 0, then of student 1, and so on; A is [m, r, in], B [m, out, r].
    """

    def __init__(self, base: nn.Linear, members: int, generator: torch.Generator) -> None:
        super().__init__()
        self.base = base
        self.scale = ALPHA / RANK
        device = base.weight.device
        bound = 1 / math.sqrt(base.in_features)
        start = torch.empty(members, RANK, base.in_features).uniform_(-bound, bound, generator=generator)
        self.lora_A = nn.Parameter(start.to(device))
        self.lora_B = nn.Parameter(torch.zeros(members, base.out_features, RANK, device=device))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.lora_A.to(x.dtype), self.lora_B.to(x.dtype)
        if len(a) == 1:
            update = functional.linear(functional.linear(x, a[0]), b[0])
        else:
            rows = x.reshape(len(a), -1, x.shape[-1])
            update = torch.bmm(torch.bmm(rows, a.mT), b.mT).view(*x.shape[:-1], -1)
        return self.base(x) + update * self.scale


class Students(nn.Module):
    """The backbone with adapters and m two-way heads [m, 2, d]: a batch in, log-odds [m, n] out."""

    def __init__(self, backbone: nn.Module, hidden_size: int, setup: Setup, autocast: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.members = setup.members
        self.autocast = autocast
        device = next(backbone.parameters()).device
        start = torch.randn(setup.members, 2, hidden_size, generator=torch.Generator().manual_seed(1))
        self.head = nn.Parameter((start * 0.01).to(device))

    def forward(self, batch: Batch) -> Tensor:
        with torch.autocast(batch.ids.device.type, torch.bfloat16, enabled=self.autocast):
            hidden = self._hidden(batch)
        hidden = hidden.view(self.members, *batch.ids.shape, -1)
        pooled = hidden[:, batch.ends[0], batch.ends[1]].to(self.head.dtype)
        logits = torch.bmm(pooled, self.head.mT)
        return logits[..., 1] - logits[..., 0]

    def trainable(self) -> list[nn.Parameter]:
        """Adapters and heads."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def _hidden(self, batch: Batch) -> Tensor:
        ids = batch.ids.repeat(self.members, 1)
        if batch.mask is not None:
            mask = batch.mask.repeat(self.members, 1)
            return self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        bounds = {"starts": batch.starts, "longest": batch.longest} if _attention(self.backbone) == "varlen" else {}
        return self.backbone(input_ids=ids, position_ids=batch.positions, **bounds).last_hidden_state


def build(config: LlamaConfig, device: torch.device, dtype: torch.dtype) -> LlamaModel:
    """A frozen model of random weights, made where it will be used: no 16 GB pass through the host."""
    torch.manual_seed(0)
    with torch.device(device):
        model = LlamaModel._from_config(config, dtype=dtype, attn_implementation="sdpa")
    return model.requires_grad_(False).eval()


def parameters_of_blocks(config: LlamaConfig) -> int:
    """N of the cost model: weights of all blocks, without embeddings and final norm."""
    d, f = config.hidden_size, config.intermediate_size
    kv = key_value_width(config)
    return config.num_hidden_layers * (2 * d * d + 2 * d * kv + 3 * d * f + 2 * d)


def key_value_width(config: LlamaConfig) -> int:
    """Width of keys and of values: grouped heads share them."""
    groups = config.num_attention_heads // (config.num_key_value_heads or config.num_attention_heads)
    return config.hidden_size // groups


@contextlib.contextmanager
def students(backbone: LlamaModel, setup: Setup, autocast_peft: bool, compile_backend: str) -> Iterator[Students]:
    """The backbone dressed for a setup, and bare again afterwards; only 4-bit weights stay, so run them last.

    Raises UnsupportedError or ImportError where the installed packages or the device cannot do it.
    """
    device = next(backbone.parameters()).device
    backbone.set_attn_implementation(_attention_for(setup, device))
    with contextlib.ExitStack() as undo:
        undo.callback(backbone.set_attn_implementation, "sdpa")
        if setup.four_bit:
            _quantise(backbone, device)
        if setup.adapter == "peft":
            dressed = _with_peft(backbone, undo)
        else:
            dressed = backbone
            undo.callback(_strip, backbone)
            _add_lean(backbone, setup.members)
        if setup.checkpointing:
            _checkpoint(backbone, undo)
        if setup.compiled:
            undo.callback(_forget_compiled, backbone)
            for layer in backbone.layers:
                # the compiled code is kept with the class's forward: all layers share it
                layer.compile(dynamic=True, backend=compile_backend)
        autocast = setup.adapter == "peft" and autocast_peft
        yield Students(dressed, backbone.config.hidden_size, setup, autocast)


def lean_adapters(backbone: nn.Module) -> Mapping[str, LeanLoRA]:
    """The wrapped linears by their path."""
    return {path: module for path, module in backbone.named_modules() if isinstance(module, LeanLoRA)}


def load_adapters(backbone: nn.Module, adapters: Adapters) -> None:
    """Put the same adapter weights into lean layers or into PEFT's."""
    lean = lean_adapters(backbone)
    with torch.no_grad():
        for path, (a, b) in adapters.items():
            if lean:
                lean[path].lora_A.copy_(a)
                lean[path].lora_B.copy_(b)
            else:
                layer: Any = backbone.get_submodule(f"base_model.model.{path}")
                layer.lora_A["default"].weight.copy_(a[0])
                layer.lora_B["default"].weight.copy_(b[0])


def _add_lean(backbone: nn.Module, members: int) -> None:
    generator = torch.Generator().manual_seed(0)
    linears = [(path, module) for path, module in backbone.named_modules() if isinstance(module, nn.Linear)]
    for path, module in linears:
        _replace(backbone, path, LeanLoRA(module, members, generator))


def _strip(backbone: nn.Module) -> None:
    for path, layer in lean_adapters(backbone).items():
        _replace(backbone, path, layer.base)


def _with_peft(backbone: LlamaModel, undo: contextlib.ExitStack) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    targets = sorted({path.rpartition(".")[2] for path, m in backbone.named_modules() if isinstance(m, nn.Linear)})
    wrapped = get_peft_model(backbone, LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=targets))
    undo.callback(lambda: backbone.requires_grad_(False))
    undo.callback(wrapped.unload)
    return wrapped


def _checkpoint(backbone: LlamaModel, undo: contextlib.ExitStack) -> None:
    kind = "activation" if hasattr(backbone, "activation_checkpointing_enable") else "gradient"  # before 5.20 or so
    getattr(backbone, f"{kind}_checkpointing_enable")({"use_reentrant": False})
    undo.callback(getattr(backbone, f"{kind}_checkpointing_disable"))
    backbone.train()  # transformers checkpoints in training mode only; Llama has no dropout
    undo.callback(backbone.eval)


def _replace(root: nn.Module, path: str, new: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, new)


def _forget_compiled(backbone: LlamaModel) -> None:
    for layer in backbone.layers:
        layer._compiled_call_impl = None  # nn.Module.compile has no public way back


def _quantise(backbone: nn.Module, device: torch.device) -> None:
    bnb: Any = importlib.import_module("bitsandbytes")

    if device.type != "cuda":
        raise UnsupportedError("4-bit weights are measured on CUDA only")
    for path, module in [(p, m) for p, m in backbone.named_modules() if type(m) is nn.Linear]:
        small = bnb.nn.Linear4bit(
            module.in_features, module.out_features, bias=False, compute_dtype=module.weight.dtype, quant_type="nf4"
        )
        small.weight = bnb.nn.Params4bit(module.weight.detach().cpu(), requires_grad=False, quant_type="nf4")
        _replace(backbone, path, small.to(device))


def _attention(backbone: Any) -> str:
    return backbone.config._attn_implementation


def _attention_for(setup: Setup, device: torch.device) -> str:
    if setup.attention == "sdpa":
        return "sdpa"
    if device.type != "cuda":
        raise UnsupportedError(f"{setup.attention} needs CUDA; this is {device.type}")
    if setup.attention == "varlen":
        register_varlen()
    return setup.attention


def register_varlen() -> None:
    """Make torch's attention over packed texts known to transformers as 'varlen'. ImportError before torch 2.10."""
    from torch.nn.attention.varlen import varlen_attn

    accepted = inspect.signature(varlen_attn).parameters
    # how causality is asked for changed between torch 2.10 and 2.11
    causal: dict[str, Any] = {"window_size": (-1, 0)} if "window_size" in accepted else {"is_causal": True}

    def varlen(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
    ) -> tuple[Tensor, None]:
        """Causal attention inside each text; query [1, heads, t, head_dim], starts [texts + 1]."""
        groups = query.shape[1] // key.shape[1]
        q, k, v = (x[0].transpose(0, 1).contiguous() for x in (query, key, value))
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        starts, longest = options["starts"], options["longest"]
        attended: Any = varlen_attn(q, k, v, starts, starts, longest, longest, scale=options["scaling"], **causal)
        return attended.unsqueeze(0), None

    AttentionInterface.register("varlen", varlen)
