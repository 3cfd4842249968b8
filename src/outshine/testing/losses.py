"""What every loss keeps, as checks: nothing is asked of its sign, its size, or the size of its gradient."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from outshine.learn.losses import Loss, RunningLoss
from outshine.testing.demands import Demand, check_all, other_global_randomness, require, require_equal, rounding

NUM_UPDATES = 100
STEPS = (0, 7, NUM_UPDATES - 1)
NUM = 41
Z = torch.linspace(-12, 12, NUM, dtype=torch.float64)
Y = torch.linspace(0, 1, NUM, dtype=torch.float64)[torch.randperm(NUM, generator=torch.Generator().manual_seed(0))]

STEP_SIZE = 1e-5
"""Of the differences that a gradient is compared with, in log-odds."""

CLOSE = 1e-5
"""A gradient may differ by so much, of the largest one: what is left out of differences, and their rounding."""


def check_loss(loss: Loss) -> None:
    """Check that a loss keeps what every loss keeps.

    Args:
        loss: A loss with its settings.

    Raises:
        AssertionError: It breaks a demand; the message names each that is broken, and what was observed.
    """
    check_all(loss, "loss", LOSS_DEMANDS)


def one_value_for_each_example(loss: Loss) -> None:
    """One value for each example, in the shape and dtype of the log-odds."""
    for dtype in (torch.float32, torch.float64):
        for running, step, where in _running(loss):
            value = _value(running, Z.to(dtype), Y.to(dtype), step)
            observation = f"For 41 log-odds of {dtype} {where} it gave {tuple(value.shape)} of {value.dtype}."
            require(value.shape == Z.shape and value.dtype == dtype, observation)


def finite_for_any_log_odds(loss: Loss) -> None:
    """Losses and gradients are finite for any log-odds, however large."""
    for dtype in (torch.float32, torch.float64):
        for size in (0.0, 1e-30, 20.0, 100.0, 1e4, 1e30):
            for running, step, where in _running(loss):
                z = torch.tensor([-size, size] * 3, dtype=dtype, requires_grad=True)
                y = torch.tensor([0, 0, 0.5, 0.5, 1, 1], dtype=dtype)
                value = running(z, y, step)
                at = f"at log-odds ±{size:g} of {dtype} {where}"
                require(bool(value.isfinite().all()), f"The loss is {value.tolist()} {at}.")
                gradient = _gradient(value, z)
                require(bool(gradient.isfinite().all()), f"The gradient is {gradient.tolist()} {at}.")


def blind_to_the_other_rows(loss: Loss) -> None:
    """An example's loss depends on no other row of the call and not on their order: a batch may be cut anywhere."""
    order = torch.randperm(NUM, generator=torch.Generator().manual_seed(1))
    for running, step, where in _running(loss):
        whole = _value(running, Z, Y, step)
        tolerance = rounding(whole, Z)
        shuffled = _value(running, Z[order], Y[order], step)[order.argsort()]
        require_equal(shuffled, whole, tolerance, f"In another order and in the usual one {where}")
        alone = torch.cat([_value(running, Z[i : i + 1], Y[i : i + 1], step) for i in range(NUM)])
        require_equal(alone, whole, tolerance, f"Alone and among {NUM} rows {where}")


def gradient_is_the_derivative(loss: Loss) -> None:
    """The gradient is the derivative of the value, unless the class says `holds_targets = True`."""
    if loss.holds_targets:
        return
    for running, step, where in _running(loss):
        z = (Z + 0.0137).requires_grad_()  # off the round numbers at which losses have their corners
        gradient = _gradient(running(z, Y.clone(), step), z)
        low, middle, high = (_value(running, z.detach() + side * STEP_SIZE, Y, step) for side in (-1, 0, 1))
        left, right = (middle - low) / STEP_SIZE, (high - middle) / STEP_SIZE
        largest = torch.maximum(gradient.abs().max(), middle.abs().max().clamp(min=1e-30))
        smooth = (left - right).abs() <= 1e-3 * largest  # elsewhere there is a jump or a corner
        require(bool(smooth.float().mean() > 0.5), f"The value jumps or has a corner almost everywhere {where}.")
        derivative = torch.where(smooth, (left + right) / 2, gradient)
        worst = int((gradient - derivative).abs().argmax())
        observation = (
            f"{where[0].upper()}{where[1:]}, at log-odds {z[worst]:.4g} and label {Y[worst]:.3g}, the gradient is "
            f"{gradient[worst]:.6g} and differences of the value give {derivative[worst]:.6g}."
        )
        require(bool((gradient - derivative).abs().max() <= CLOSE * largest), observation)


def calling_changes_nothing(loss: Loss) -> None:
    """Calling a loss changes nothing: neither its memory, nor what it is given, nor global random numbers."""
    for running, step, where in _running(loss):
        z, y = Z.clone(), Y.clone()
        first = running(z, y, step).clone()
        with other_global_randomness():
            running(-z, y, max(0, step - 1))
            again = running(z, y, step)
        require(torch.equal(z, Z) and torch.equal(y, Y), f"It wrote into the log-odds or labels that it got {where}.")
        require_equal(again, first, 0.0, f"The same call again and before {where}")


def goes_on_from_its_state(loss: Loss) -> None:
    """A run that is resumed from `state()` goes on as the one that was not interrupted."""
    running, resumed = _in_the_middle(loss), _in_the_middle(loss)
    running.observe(torch.full((17,), 0.9, dtype=torch.float64))
    state = running.state()
    kinds = {name: type(value).__name__ for name, value in state.items() if not isinstance(value, Tensor)}
    require(not kinds, f"What `state()` gives must be tensors, for checkpoints; it gave {kinds}.")
    resumed.load_state({name: tensor.clone() for name, tensor in state.items()})
    for after in ("at once", "after the next batch"):
        expected = _value(running, Z, Y, 50)
        require_equal(_value(resumed, Z, Y, 50), expected, rounding(expected, Z), f"Resumed and uninterrupted, {after}")
        for run in (running, resumed):
            run.observe(torch.full((3,), 0.2, dtype=torch.float64))


def runs_share_nothing(loss: Loss) -> None:
    """Runs share nothing: no class attribute, no global, and the settings are left alone."""
    settings = loss.model_dump()
    run = _in_the_middle(loss)
    before = _value(run, Z, Y, 50).clone()
    other = loss.start(1 - Y, 10)
    require_equal(_value(run, Z, Y, 50), before, 0.0, "After and before another run was started")
    other.observe(torch.zeros(100, dtype=torch.float64))
    _value(other, -Z, Y, 3)
    require_equal(_value(run, Z, Y, 50), before, 0.0, "After and before another run went on")
    require_equal(_value(_in_the_middle(loss), Z, Y, 50), before, 0.0, "Of an equal run, later and before")
    require(loss.model_dump() == settings, "The settings are others after a run.")


LOSS_DEMANDS: tuple[Demand, ...] = (
    one_value_for_each_example,
    finite_for_any_log_odds,
    blind_to_the_other_rows,
    gradient_is_the_derivative,
    calling_changes_nothing,
    goes_on_from_its_state,
    runs_share_nothing,
)


def _value(running: RunningLoss, z: Tensor, y: Tensor, step: int) -> Tensor:
    """The losses of copies, so that a loss that writes into what it gets spoils no other check."""
    return running(z.clone(), y.clone(), step)


def _in_the_middle(loss: Loss) -> RunningLoss:
    """A running loss that has seen a batch."""
    running = loss.start(Y.clone(), NUM_UPDATES)
    running.observe(torch.linspace(0.1, 0.7, 50, dtype=torch.float64))
    return running


def _running(loss: Loss) -> Iterator[tuple[RunningLoss, int, str]]:
    """Running losses with steps at which they are called: before the first batch, and in the middle of a run."""
    yield loss.start(Y.clone(), NUM_UPDATES), 0, "before the first update"
    for step in STEPS:
        yield _in_the_middle(loss), step, f"at step {step} of {NUM_UPDATES}"


def _gradient(value: Tensor, z: Tensor) -> Tensor:
    """∂ sum of the losses / ∂z; zeros where a value is of no log-odds."""
    if not value.requires_grad:
        return torch.zeros_like(z)
    (gradient,) = torch.autograd.grad(value.sum(), z, allow_unused=True)
    return torch.zeros_like(z) if gradient is None else gradient
