"""Root-mean-square norms: the formula and its derivative, and only where a model's own norm is that."""

import copy

import pytest
import torch
from transformers import AutoModel

from outshine.learn.batches import collate
from outshine.learn.load import load_backbone
from outshine.learn.norms import fuse_norms, rms_norm
from tiny_checkpoints import CPU, classifier_of, spec_of, token_rows

FUSED = {"llama": 7, "mistral": 7, "qwen2": 7, "qwen3": 13, "phi3": 7}  # two of each of 3 blocks, and the last
NOT_FUSED = ["bert", "gpt2", "gemma", "gemma2", "gemma3_text"]  # Gemma scales by 1 + w


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 8)])
def test_values_and_gradient_are_those_of_the_formula(shape):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True)
    weight = torch.rand(shape[-1], dtype=torch.float64, generator=generator)
    expected = weight * x / (x.square().mean(-1, keepdim=True) + 1e-3).sqrt()
    found = rms_norm(x, weight, 1e-3)
    torch.testing.assert_close(found, expected)
    given = torch.randn(shape, dtype=torch.float64, generator=generator)
    (ours,), (theirs,) = (torch.autograd.grad(y, x, given) for y in (found, expected))
    torch.testing.assert_close(ours, theirs)
    assert torch.autograd.gradcheck(lambda x: rms_norm(x, weight, 1e-3), x)


def test_in_bfloat16_it_is_off_by_the_rounding_of_what_goes_in_and_out():
    generator = torch.Generator().manual_seed(0)
    x = (100 * torch.randn(50, 64, generator=generator)).bfloat16().requires_grad_()
    weight = torch.rand(64, generator=generator).bfloat16()
    exact = x.detach().double().requires_grad_()
    expected = weight.double() * exact / exact.square().mean(-1, keepdim=True).sqrt()
    found = rms_norm(x, weight, 0.0)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), expected, rtol=2**-7, atol=1e-6)
    given = torch.randn(50, 64, generator=generator).bfloat16()
    (ours,), (theirs,) = torch.autograd.grad(found, x, given), torch.autograd.grad(expected, exact, given.double())
    assert (ours.double() - theirs).abs().max() < 2**-6 * theirs.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", [*FUSED, *NOT_FUSED])
def test_norms_that_compute_this_are_fused_and_the_model_stays_what_it_was(kind, dtype, checkpoint):
    backbone = load_backbone(spec_of(checkpoint(kind), dtype), CPU).eval()
    own = sum("forward" in vars(module) for module in backbone.modules() if type(module).__name__.endswith("Norm"))
    assert own == FUSED.get(kind, 0)
    whole = AutoModel.from_pretrained(checkpoint(kind), dtype=getattr(torch, dtype)).eval()
    ids, mask = collate(token_rows([9, 5]), [0, 1], 0, CPU)
    backbone.requires_grad_(False)
    found, expected = (model(input_ids=ids, attention_mask=mask).last_hidden_state for model in (backbone, whole))
    most = {"float32": 1e-5, "bfloat16": 0.05}[dtype]
    assert (found - expected)[mask.bool()].abs().max() <= most * expected.abs().max()


def test_other_weights_are_seen_and_a_copy_has_its_own(checkpoint):
    backbone = load_backbone(spec_of(checkpoint("llama")), CPU).requires_grad_(False)
    copied = copy.deepcopy(backbone)
    x = torch.randn(4, 16)
    norm, other = backbone.norm, copied.norm
    before = norm(x)
    with torch.no_grad():
        other.weight.mul_(2)
    assert torch.equal(norm(x), before)
    torch.testing.assert_close(other(x), 2 * before)
    copied.double()
    torch.testing.assert_close(other(x.double()), 2 * before.double(), rtol=1e-6, atol=1e-6)


def test_without_gradients_a_cpu_computes_as_transformers_does(checkpoint, monkeypatch):
    norm = load_backbone(spec_of(checkpoint("llama")), CPU).requires_grad_(False).norm
    x, called = torch.randn(4, 16), []
    monkeypatch.setattr("outshine.learn.norms.rms_norm", lambda *given: called.append(given) or rms_norm(*given))
    with torch.inference_mode():
        assert torch.equal(norm(x), type(norm).forward(norm, x))
    assert not called
    norm(x)
    assert len(called) == 1


def test_weights_that_are_trained_get_their_gradient(checkpoint):
    model = classifier_of(checkpoint("llama"), tuning="full")
    model(*collate(token_rows([9, 5]), [0, 1], 0, CPU)).sum().backward()
    assert all(part.grad.any() for name, part in model.named_parameters() if "norm" in name)


def test_a_norm_that_wants_more_than_states_is_left_alone():
    class GatedRMSNorm(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.eps = torch.nn.Parameter(torch.ones(4)), 1e-5

        def forward(self, x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
            return x * gate

    assert fuse_norms(torch.nn.Sequential(GatedRMSNorm())) == 0
