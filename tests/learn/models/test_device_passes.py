"""A packed pass as a GPU sees it, on torch's device without memory: it knows shapes and types, and has no numbers.

So a tensor on another device is an error, a look at a number is one (a CUDA graph could not hold it), and torch's own
attention over rows of several texts says whether it takes what it is given.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    MistralConfig,
    MistralModel,
    Qwen2Config,
    Qwen2Model,
)

from outshine.learn import classifier as classifier_module
from outshine.learn.attention import NAME, has_varlen, register
from outshine.learn.blocks import block_linears
from outshine.learn.classifier import Classifier, Cohort
from outshine.learn.packing import Pack, Packing, PackSize
from outshine.learn.spec import ClassifierSpec, LoRA, ModelRef

META = torch.device("meta")
SHAPE = {"vocab_size": 90, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4}
GROUPS = {**HEADS, "num_key_value_heads": 2, "use_cache": False}
BASES: dict[str, Any] = {
    "llama": (LlamaModel, LlamaConfig(**SHAPE, **GROUPS)),
    "qwen2": (Qwen2Model, Qwen2Config(**SHAPE, **GROUPS)),
    "mistral": (MistralModel, MistralConfig(**SHAPE, **GROUPS, sliding_window=4)),
    "bert": (BertModel, BertConfig(**SHAPE, **HEADS)),
    "gpt2": (GPT2Model, GPT2Config(vocab_size=90, n_embd=64, n_layer=2, n_head=4, use_cache=False)),
}


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("kind", BASES)
def test_a_packed_pass_and_its_gradient_stay_on_the_device_and_ask_it_nothing(
    kind: str, members: int, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register()
    made, config = BASES[kind]
    with META:
        base = made._from_config(config, dtype=torch.bfloat16, attn_implementation=NAME)
    base.requires_grad_(False).eval()
    reference = ModelRef(identity="sha256:none", name="none", num_layers=2)
    spec = ClassifierSpec(
        model=reference, num_layers=2, pooling=pooling, tuning=LoRA(), max_length=64, compute_dtype="bfloat16"
    )
    monkeypatch.setattr(classifier_module, "adaptable", block_linears)  # tried out with numbers
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())  # knows no such device
    model = Classifier(base, spec, 0) if members == 1 else Cohort(base, spec, range(members))
    model.packing = Packing("varlen", 0, NAME, "sdpa")
    size = PackSize.of([5, 9, 3], fixed=True)
    pack = Pack.of([[1] * 5, [2] * 9, [3] * 3], torch.device("cpu"), fixed=True)
    log_odds = model.packed_log_odds(Pack.over(pack.numbers.to(META), size))
    assert log_odds.shape == (members, size.texts)
    gradients = torch.autograd.grad(log_odds.sum(), model.leaves())
    for leaf, gradient in zip(model.leaves(), gradients, strict=True):
        assert gradient.device == log_odds.device == META
        assert (gradient.shape, gradient.dtype) == (leaf.shape, torch.float32)


def test_the_kernel_is_there_and_for_sixteen_bits_on_a_gpu() -> None:
    assert has_varlen(torch.device("cuda"), torch.bfloat16)
    assert not has_varlen(torch.device("cuda"), torch.float32)
    assert not has_varlen(torch.device("cpu"), torch.bfloat16)
