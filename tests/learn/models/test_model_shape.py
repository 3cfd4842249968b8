"""Shapes of models: the catalog's against structures built from the models' published settings."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoModel, BertConfig, GPT2Config, LlamaConfig, MPNetConfig, PreTrainedConfig, Qwen2Config

from outshine.learn.blocks import every_block
from outshine.learn.known_models import KNOWN
from outshine.learn.load import load_backbone
from outshine.learn.resolve import resolve
from outshine.learn.spec import ModelSettings
from outshine.learn.structure import shape_of


def qwen2(width: int, inner: int, heads: int, key_heads: int) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=151_936,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=24,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
    )


def llama3() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=128_256,
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
    )


def stories() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=172,
        num_hidden_layers=5,
        num_attention_heads=8,
        num_key_value_heads=4,
    )


def minilm(num_layers: int = 6) -> BertConfig:
    return BertConfig(hidden_size=384, intermediate_size=1536, num_hidden_layers=num_layers, num_attention_heads=12)


PUBLISHED: dict[str, tuple[PreTrainedConfig, int]] = {  # and the size of the output embeddings where not tied
    "Qwen/Qwen1.5-0.5B": (qwen2(1024, 2816, 16, 16), 0),
    "Qwen/Qwen2.5-0.5B": (qwen2(896, 4864, 14, 2), 0),
    "meta-llama/Meta-Llama-3-8B": (llama3(), 128_256 * 4096),
    "meta-llama/Llama-3.1-8B": (llama3(), 128_256 * 4096),
    "openai-community/gpt2": (GPT2Config(), 0),
    "sentence-transformers/all-MiniLM-L6-v2": (minilm(), 0),
    "sentence-transformers/paraphrase-MiniLM-L3-v2": (minilm(3), 0),
    "sentence-transformers/all-mpnet-base-v2": (MPNetConfig(max_position_embeddings=514), 0),
    "tinyllamas/stories260K": (stories(), 0),
}


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_every_known_model_of_a_hub_has_a_shape():
    on_hub = {name for name in KNOWN if not name.startswith("tiny/")}
    assert {name for name, known in KNOWN.items() if known.shape} == on_hub == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_catalog_says_what_the_structure_has(name):
    config, output = PUBLISHED[name]
    shape = KNOWN[name].shape
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    assert shape.num_layers == config.num_hidden_layers
    assert shape.hidden_size == config.hidden_size
    assert shape.parameters == count(model) + output
    assert shape.in_blocks == count(nn.ModuleList(every_block(model, shape.num_layers)))
    assert shape.pooling == ("mean" if name.startswith("sentence-transformers/") else "last")


@pytest.mark.parametrize("num_layers", [None, 1])
def test_a_resolved_model_is_counted_without_its_weights(num_layers):
    spec = resolve(ModelSettings(model="tiny/strong", num_layers=num_layers), "float32").spec
    backbone = load_backbone(spec, torch.device("cpu"))
    shape = shape_of(spec)
    assert shape.num_layers == spec.num_layers
    assert shape.hidden_size == 64
    assert shape.parameters == count(backbone)
    assert shape.in_blocks == count(nn.ModuleList(every_block(backbone, spec.num_layers)))
    assert shape.block * spec.num_layers == shape.in_blocks
