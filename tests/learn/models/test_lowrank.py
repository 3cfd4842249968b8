"""The product with low-rank updates, forward and backward, against autograd's own on the formula as it is written."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from outshine.learn.lora import updated_linear

SCALE = 0.7


def layer(kind: str, dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    made = {"linear": lambda: nn.Linear(6, 10), "no bias": lambda: nn.Linear(6, 10, bias=False)}
    made |= {"conv1d": lambda: Conv1D(10, 6)}
    return made[kind]().to(dtype).requires_grad_(False)


def factors(members: int, dtype: torch.dtype) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    generator = torch.Generator().manual_seed(1)
    down = [nn.Parameter(torch.randn(3, 6, generator=generator).to(dtype)) for _ in range(members)]
    up = [nn.Parameter(torch.randn(10, 3, generator=generator).to(dtype)) for _ in range(members)]
    return down, up


@pytest.mark.parametrize("reads_trained", [True, False])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("kind", ["linear", "no bias", "conv1d"])
def test_values_and_gradients_are_those_of_the_formula(kind, members, reads_trained):
    base, (down, up) = layer(kind, torch.float64), factors(members, torch.float64)
    given = torch.randn(2 * members, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x, same = (given.clone().requires_grad_(reads_trained) for _ in range(2))
    found = updated_linear(base, x, torch.stack(down).to(x.dtype), (torch.stack(up) * SCALE).to(x.dtype))
    parts = same.chunk(members)
    expected = torch.cat([base(part) + SCALE * part @ a.T @ b.T for part, a, b in zip(parts, down, up, strict=True)])
    torch.testing.assert_close(found, expected)
    weights = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    asked = [*down, *up]
    ours = torch.autograd.grad((found * weights).sum(), [*asked, *([x] if reads_trained else [])])
    theirs = torch.autograd.grad((expected * weights).sum(), [*asked, *([same] if reads_trained else [])])
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_in_bfloat16_factors_and_their_gradients_stay_in_float32():
    base, (down, up) = layer("linear", torch.bfloat16), factors(2, torch.float32)
    x = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(2)).bfloat16().requires_grad_()
    found = updated_linear(base, x, torch.stack(down).to(x.dtype), (torch.stack(up) * SCALE).to(x.dtype))
    found.float().square().sum().backward()
    assert found.dtype == x.grad.dtype == torch.bfloat16
    assert all(factor.grad.dtype == torch.float32 for factor in (*down, *up))
    exact = torch.cat(
        [
            part @ base.weight.double().T + base.bias.double() + SCALE * part @ a.double().T @ b.double().T
            for part, a, b in zip(x.detach().double().chunk(2), down, up, strict=True)
        ]
    )
    assert (found.double() - exact).abs().max() < 0.02 * exact.abs().max()
