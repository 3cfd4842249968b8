"""What every registered loss keeps: finite, per example, blind to its neighbours, resumable."""

import pytest
import torch

from outshine.learn.losses import losses

NAMES = losses.names()
STEPS = [0, 7, 10_000]
Z = torch.linspace(-12, 12, 41, dtype=torch.float64)
Y = torch.linspace(0, 1, 41, dtype=torch.float64)[torch.randperm(41, generator=torch.Generator().manual_seed(0))]


@pytest.fixture(params=NAMES)
def start(request):
    """Makes a running loss in the middle of its run."""

    def make():
        running = losses.get(request.param)().start(Y, 100)
        running.observe(torch.linspace(0.1, 0.7, 50, dtype=torch.float64))
        return running

    return make


def test_the_two_of_part_one_are_there():
    assert {"logconf", "xent"} <= set(NAMES)


@pytest.mark.parametrize("step", STEPS)
def test_one_value_an_example_in_the_dtype_of_the_log_odds(start, step):
    for dtype in (torch.float32, torch.float64):
        value = start()(Z.to(dtype), Y.to(dtype), step)
        assert value.shape == Z.shape
        assert value.dtype == dtype


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1e-30, 20.0, 100.0, 1e4, 1e30])
def test_extreme_log_odds_give_finite_losses_and_gradients(start, step, dtype, size):
    z = torch.tensor([-size, size] * 3, dtype=dtype, requires_grad=True)
    y = torch.tensor([0, 0, 0.5, 0.5, 1, 1], dtype=dtype)
    value = start()(z, y, step)
    assert torch.isfinite(value).all()
    value.sum().backward()
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("step", STEPS)
def test_an_examples_loss_depends_on_no_other_example(start, step):
    running = start()
    whole = running(Z, Y, step)
    order = torch.randperm(41, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([running(Z[i : i + 1], Y[i : i + 1], step) for i in range(41)])
    for other in (running(Z[order], Y[order], step)[order.argsort()], alone):
        torch.testing.assert_close(other, whole, rtol=1e-12, atol=1e-300)  # vectorised code may round otherwise


def test_calling_a_loss_changes_nothing_in_it(start):
    running = start()
    first = running(Z, Y, 7)
    running(-Z, Y, 8)
    assert torch.equal(running(Z, Y, 7), first)


def test_a_loss_goes_on_from_its_state(start):
    running = start()
    running.observe(torch.tensor([0.9] * 17, dtype=torch.float64))
    state = {name: tensor.clone() for name, tensor in running.state().items()}
    fresh = start()  # in another state
    fresh.load_state(state)
    assert torch.equal(fresh(Z, Y, 50), running(Z, Y, 50))
    for one in (fresh, running):
        one.observe(torch.tensor([0.2] * 3, dtype=torch.float64))
    assert torch.equal(fresh(Z, Y, 50), running(Z, Y, 50))


def test_runs_share_nothing(start):
    first, second = start(), start()
    before = second(Z, Y, 50)
    first.observe(torch.zeros(100, dtype=torch.float64))
    assert torch.equal(second(Z, Y, 50), before)
