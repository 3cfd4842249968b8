"""Attention on a CPU in bfloat16: the same numbers as torch's own kernel and as the eager code of each model."""

import pytest
import torch
from torch.nn import functional
from transformers import AutoModel
from transformers.integrations import sdpa_attention

from outshine.learn import attention
from outshine.learn.attention import attend, plain_attention, use_plain_attention
from outshine.learn.batches import collate
from outshine.learn.load import load_backbone
from tiny_checkpoints import CPU, num_layers, spec_of, token_rows

WITH_SDPA = ["bert", "gpt2", "llama", "mistral", "modernbert", "phi3", "qwen2"]
EAGER_ONLY = ["deberta-v2", "falcon", "gemma2", "gpt_neo"]


def states(heads=4, groups=2, queries=7, keys=7, width=8, dtype=torch.float64, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(3, heads, queries, width), (3, groups, keys, width), (3, groups, keys, width + 2)]
    drawn = [torch.randn(shape, generator=generator, dtype=torch.float64) * scale for shape in shapes]
    query, key, value = (one.to(dtype).requires_grad_() for one in drawn)
    return query, key, value


def masks(queries, keys):
    causal = torch.ones(queries, keys, dtype=torch.bool).tril()
    real = torch.arange(keys) < torch.tensor([keys, keys - 2, 1])[:, None]
    return {
        "none": None,
        "causal": causal,
        "padding": real[:, None, None, :],
        "both": real[:, None, None, :] & causal,
        "window": real[:, None, None, :] & causal & ~causal.tril(-3),  # rows of padding see nothing
        "by head": (real[:, None, None, :] & causal).expand(3, 4, -1, -1).clone(),
    }


def with_gradients(function, inputs, weight):
    """The output and the gradients of its weighted sum."""
    output = function(*inputs)
    return output.detach(), *torch.autograd.grad((output * weight).sum(), inputs)


@pytest.mark.parametrize("kind", list(masks(7, 7)))
@pytest.mark.parametrize("keys", [7, 16, 19])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_output_and_gradients_are_those_of_torch(kind, keys, groups):
    inputs = states(groups=groups, queries=keys, keys=keys)
    mask = masks(keys, keys)[kind]
    seen = torch.ones(()) if mask is None else mask.any(-1, keepdim=True)
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(3, 4, keys, 10, generator=generator, dtype=torch.float64) * seen  # nothing reads blind rows

    def reference(query, key, value):
        return functional.scaled_dot_product_attention(query, key, value, mask, scale=0.4, enable_gqa=True)

    ours = with_gradients(lambda q, k, v: plain_attention(q, k, v, mask, 0.4), inputs, weight)
    theirs = with_gradients(reference, inputs, weight)
    assert all(one.isfinite().all() for one in ours)
    torch.testing.assert_close(ours[0] * seen, theirs[0] * seen, rtol=0, atol=1e-12)
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["none", "both"])
@pytest.mark.parametrize("keys", [31, 64])
def test_bf16_is_off_the_exact_value_by_bf16_rounding(kind, keys):
    inputs = states(queries=keys, keys=keys, width=32, dtype=torch.bfloat16, scale=1.5)
    exact = tuple(one.detach().double().requires_grad_() for one in inputs)
    mask = masks(keys, keys)[kind]
    weight = torch.randn(3, 4, keys, 34, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    ours = with_gradients(lambda q, k, v: plain_attention(q, k, v, mask), inputs, weight)
    truth = with_gradients(lambda q, k, v: plain_attention(q, k, v, mask), exact, weight.double())
    for one, other in zip(ours, truth, strict=True):
        assert one.dtype == torch.bfloat16
        # 2^-8: half a unit in the last place of bfloat16, at each of the three roundings on the way
        assert (one.double() - other).norm() < 3 * 2**-8 * other.norm()


@pytest.mark.parametrize("kind", WITH_SDPA)
def test_models_compute_with_it_what_their_eager_code_computes(kind, checkpoint, monkeypatch):
    calls = []
    original = attention.plain_attention
    monkeypatch.setattr(attention, "PLAIN_DTYPES", {torch.float32})
    monkeypatch.setattr(attention, "plain_attention", lambda *given: calls.append(1) or original(*given))
    ours = load_backbone(spec_of(checkpoint(kind)), CPU).eval()
    use_plain_attention(ours)
    eager = AutoModel.from_pretrained(checkpoint(kind), attn_implementation="eager").eval()
    for lengths in ([9, 9], [12, 3, 1, 20]):  # without and with a mask
        ids, mask = collate(token_rows(lengths), range(len(lengths)), 0, CPU)
        real = mask.unsqueeze(-1)
        found = []
        for model in (ours, eager):
            model.zero_grad()
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state * real
            hidden.square().sum().backward()
            found.append((hidden.detach(), {name: p.grad for name, p in model.named_parameters()}))
        torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-5)
        assert found[0][0].std() > 0.1
        for name, gradient in found[0][1].items():
            expected = found[1][1][name]
            if expected is not None:
                scale = max(1.0, expected.abs().max().item())
                torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-5 * scale, msg=name)
    assert len(calls) == 2 * num_layers(kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*WITH_SDPA, *EAGER_ONLY])
def test_only_bf16_on_models_that_support_it(kind, checkpoint, monkeypatch):
    calls = []
    original = attention.plain_attention
    monkeypatch.setattr(attention, "plain_attention", lambda *given: calls.append(1) or original(*given))
    ids, mask = collate(token_rows([9, 4]), [0, 1], 0, CPU)
    for dtype in ("float32", "bfloat16"):
        backbone = load_backbone(spec_of(checkpoint(kind), dtype), CPU).eval()
        assert backbone(input_ids=ids, attention_mask=mask).last_hidden_state.isfinite().all()
        assert bool(calls) == (dtype == "bfloat16" and kind in WITH_SDPA)


class Layer(torch.nn.Module):
    """What an attention layer tells an attention function."""

    def __init__(self, is_causal: bool, groups: int = 1) -> None:
        super().__init__()
        self.is_causal = is_causal
        self.num_key_value_groups = groups


@pytest.mark.parametrize("layer_is_causal", [True, False])
@pytest.mark.parametrize("asked", [None, True, False])
def test_causality_comes_from_the_call_or_else_from_the_layer(layer_is_causal, asked, monkeypatch):
    monkeypatch.setattr(attention, "PLAIN_DTYPES", {torch.float64})
    inputs = states()
    output, _ = attend(Layer(layer_is_causal, 2), *inputs, None, is_causal=asked)
    causal = layer_is_causal if asked is None else asked
    expected = functional.scaled_dot_product_attention(*inputs, is_causal=causal, enable_gqa=True).transpose(1, 2)
    torch.testing.assert_close(output, expected)
    assert output.is_contiguous()


@pytest.mark.parametrize(
    "case",
    [
        {"mask": torch.zeros(3, 1, 7, 7, dtype=torch.bfloat16)},
        {"others": {"position_bias": torch.zeros(3, 4, 7, 7, dtype=torch.bfloat16)}},
        {"others": {"dropout": 0.1}},
        {"shape": {"keys": 9}},
        {"shape": {"queries": 600, "keys": 600}},
        {"shape": {"dtype": torch.float32}},
    ],
    ids=["additive mask", "position bias", "dropout", "more keys than queries", "long", "float32"],
)
def test_what_it_does_not_know_or_does_no_faster_goes_to_sdpa(case, monkeypatch):
    calls = []
    original = sdpa_attention.sdpa_attention_forward
    monkeypatch.setattr(sdpa_attention, "sdpa_attention_forward", lambda *a, **k: calls.append(1) or original(*a, **k))
    inputs = states(**{"dtype": torch.bfloat16, **case.get("shape", {})})
    attend(Layer(True, 2), *inputs, case.get("mask"), **case.get("others", {}))
    assert calls == [1]
    attend(Layer(True, 2), *states(dtype=torch.bfloat16), None)
    assert calls == [1]


def test_a_soft_cap_is_refused_as_sdpa_refuses_it():
    with pytest.raises(ValueError, match="softcap"):
        attend(Layer(True, 2), *states(dtype=torch.bfloat16), None, softcap=30.0)
