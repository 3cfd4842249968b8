"""Rotary positions: the formula and its derivative, and only where a model's own function is that."""

import copy
from typing import Any

import pytest
import torch
from transformers import AutoModel, CohereConfig, CohereModel

from outshine.learn.batches import collate
from outshine.learn.load import load_backbone
from outshine.learn.rotary import fuse_rotary, rotated
from tiny_checkpoints import CPU, spec_of, token_rows

FUSED = ["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3"]
NOT_FUSED = ["bert", "gpt2", "modernbert"]  # no angles; float32 whatever the format


def angles(tokens: int, width: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    steps = torch.outer(torch.arange(tokens, dtype=torch.float64), 100.0 ** -torch.arange(0, 1, 2 / width).double())
    both = torch.cat([steps, steps], dim=-1)
    return both.cos().to(dtype), both.sin().to(dtype)


@pytest.mark.parametrize("shape", [(2, 3, 5, 8), (1, 4, 6), (7, 2)])
def test_pairs_of_halves_are_turned_like_complex_numbers(shape):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True)
    cos, sin = angles(*shape[-2:])
    turns = torch.complex(*(part[:, : shape[-1] // 2] for part in (cos, sin)))
    turned = torch.complex(*x.chunk(2, -1)) * turns
    expected, found = torch.cat([turned.real, turned.imag], -1), rotated(x, cos, sin)
    torch.testing.assert_close(found, expected)
    given = torch.randn(shape, dtype=torch.float64, generator=generator)
    (ours,), (theirs,) = (torch.autograd.grad(y, x, given) for y in (found, expected))
    torch.testing.assert_close(ours, theirs)
    assert torch.autograd.gradcheck(lambda x: rotated(x, cos, sin), x)


def test_in_bfloat16_it_is_off_by_the_rounding_of_what_is_added():
    x = torch.randn(50, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    cos, sin = angles(50, 64, torch.bfloat16)
    (x_1, x_2), exact = x.double().chunk(2, -1), x.double() * cos.double()
    exact += torch.cat([-x_2, x_1], -1) * sin.double()
    found = rotated(x, cos, sin)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, rtol=2**-7, atol=2**-7)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", [*FUSED, *NOT_FUSED])
def test_a_model_that_turns_like_this_is_fused_and_stays_what_it_was(kind, dtype, checkpoint):
    backbone = load_backbone(spec_of(checkpoint(kind), dtype), CPU).eval()
    attentions = [m for m in backbone.modules() if "Attention" in type(m).__name__ and "forward" in vars(m)]
    assert len(attentions) == (3 if kind in FUSED else 0)
    whole = AutoModel.from_pretrained(checkpoint(kind), dtype=getattr(torch, dtype)).eval()
    ids, mask = collate(token_rows([9, 5]), [0, 1], 0, CPU)
    found, expected = (model(input_ids=ids, attention_mask=mask).last_hidden_state for model in (backbone, whole))
    most = {"float32": 1e-5, "bfloat16": 0.05}[dtype]
    assert (found - expected)[mask.bool()].abs().max() <= most * expected.abs().max()


def test_transformers_itself_and_other_models_are_left_as_they_were(checkpoint):
    from transformers.models.llama import modeling_llama

    own = modeling_llama.apply_rotary_pos_emb
    backbone = load_backbone(spec_of(checkpoint("llama")), CPU)
    assert modeling_llama.apply_rotary_pos_emb is own
    assert all("forward" not in vars(module) for module in AutoModel.from_pretrained(checkpoint("llama")).modules())
    copied = copy.deepcopy(backbone)
    attentions = [module for module in copied.modules() if "forward" in vars(module) and hasattr(module, "q_proj")]
    assert len(attentions) == 3
    assert all(vars(attention)["forward"].__self__ is attention for attention in attentions)
    assert fuse_rotary(backbone) == 0  # once is enough


def test_a_model_that_turns_neighbours_is_left_alone():
    config = CohereConfig(
        vocab_size=9, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    assert fuse_rotary(CohereModel(config)) == 0


def test_arguments_given_in_another_way_go_to_the_models_own():
    def of_one(q: torch.Tensor, k: torch.Tensor | None = None, cos: Any = None, sin: Any = None) -> Any:
        if k is None:
            return q * cos
        return tuple(part * cos.unsqueeze(1) + turned(part) * sin.unsqueeze(1) for part in (q, k))

    def turned(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([-x[..., x.shape[-1] // 2 :], x[..., : x.shape[-1] // 2]], dim=-1)

    namespace = {"apply_rotary_pos_emb": of_one, "torch": torch}
    code = "class Attention(torch.nn.Module):\n    def forward(self, x):\n        return apply_rotary_pos_emb(x, cos=x)"
    exec(code, namespace)
    attention: Any = namespace["Attention"]
    model = torch.nn.Sequential(attention())
    assert fuse_rotary(model) == 1
    assert torch.equal(model(torch.full((2, 2), 3.0)), torch.full((2, 2), 9.0))


def test_a_function_of_that_name_that_does_other_things_is_left_alone():
    namespace = {"apply_rotary_pos_emb": lambda q, k, cos, sin: (q * cos.unsqueeze(1), k), "torch": torch}
    code = "class Attention(torch.nn.Module):\n    def forward(self, *x):\n        return apply_rotary_pos_emb(*x)"
    exec(code, namespace)
    assert fuse_rotary(torch.nn.Sequential(namespace["Attention"]())) == 0


def test_angles_of_another_format_or_width_go_to_the_models_own(checkpoint):
    attention: Any = load_backbone(spec_of(checkpoint("llama")), CPU).get_submodule("layers.0.self_attn")
    rotate = attention.forward.__func__.__globals__["apply_rotary_pos_emb"]
    own = type(attention).forward.__globals__["apply_rotary_pos_emb"]
    q, k = torch.randn(1, 2, 5, 8).bfloat16(), torch.randn(1, 1, 5, 8).bfloat16()
    cos, sin = (part.unsqueeze(0) for part in angles(5, 8, torch.float32))
    for theirs, ours in zip(own(q, k, cos, sin), rotate(q, k, cos, sin), strict=True):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, theirs)
