"""Every registered loss keeps what every loss keeps; correct losses of any kind pass the checks, wrong ones do not.

The demands are those of `outshine.testing.losses`, each a function that says it in its docstring: values of the right
form, finite, blind to the other rows, with the derivative for a gradient; calling changes nothing, a run goes on from
its state, and runs share nothing. Nothing is asked of the sign or size of a value or gradient, and values computed in
another order or batch may differ by as much as rounding explains.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from outshine.learn.losses import Loss, RunningLoss, cross_entropy, losses
from outshine.testing import check_loss
from outshine.testing import losses as demands
from outshine.testing.demands import Demand, sentence

NAMES = losses.names()
Formula = Callable[[Tensor, Tensor], Tensor]


@pytest.mark.parametrize("demand", demands.LOSS_DEMANDS, ids=lambda demand: demand.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_every_registered_loss_keeps(name: str, demand: Demand) -> None:
    demand(losses.get(name)())


def test_the_two_of_part_one_are_there() -> None:
    assert {"logconf", "xent"} <= set(NAMES)


# --- correct losses -------------------------------------------------------------------------------------------------


class Running(RunningLoss):
    """A loss without memory."""

    def __init__(self, formula: Formula) -> None:
        self.formula = formula

    def __call__(self, z: Tensor, y: Tensor, step: int) -> Tensor:
        return self.formula(z, y)


class OfFormula(Loss):
    """A test's loss: the formula is a class attribute."""

    formula: ClassVar[Formula]

    def start(self, y: Tensor, num_updates: int) -> RunningLoss:
        return Running(type(self).formula)


def loss_of(formula: Formula, *, holds_targets: bool = False) -> Loss:
    attributes = {"formula": staticmethod(formula), "holds_targets": holds_targets, "__module__": __name__}
    return type("TestLoss", (OfFormula,), attributes)()


def focal(z: Tensor, y: Tensor) -> Tensor:
    """γ = 2; its gradient exceeds 1."""
    p = z.sigmoid()
    return y * (1 - p) ** 2 * softplus(-z) + (1 - y) * p**2 * softplus(z)


def geometric(z: Tensor, y: Tensor) -> Tensor:
    """−√(p y) − √((1 − p)(1 − y)): below 0 throughout."""
    return -(y.sqrt() * (-softplus(-z) / 2).exp() + (1 - y).sqrt() * (-softplus(z) / 2).exp())


def generalised(z: Tensor, y: Tensor) -> Tensor:
    """GCE of Zhang & Sabuncu with q = 0.7."""
    return y * -(0.7 * logsigmoid(z)).expm1() / 0.7 + (1 - y) * -(0.7 * logsigmoid(-z)).expm1() / 0.7


def symmetric(z: Tensor, y: Tensor) -> Tensor:
    """Symmetric cross-entropy of Wang et al. 2019, log 0 taken for −4."""
    reverse = z.sigmoid() * y.log().clamp(min=-4) + (-z).sigmoid() * (1 - y).log().clamp(min=-4)
    return 0.1 * cross_entropy(z, y) - reverse


def large(z: Tensor, y: Tensor) -> Tensor:
    """Far from 1, so that rounding is far from that of numbers near 1."""
    return 1e6 * cross_entropy(z, y) - 1e7


def margin(z: Tensor, y: Tensor) -> Tensor:
    """A hinge: corners."""
    return (1 - (2 * y - 1) * z).clamp(min=0)


def bootstrapped(z: Tensor, y: Tensor) -> Tensor:
    """Soft bootstrapping of Reed et al. 2015 with the student's own view held constant."""
    return cross_entropy(z, 0.8 * y + 0.2 * z.detach().sigmoid())


class RunningBatchMean(RunningLoss):
    """Weights by the share of positives that the last effective batch was predicted to have."""

    def __init__(self) -> None:
        self.mean = torch.tensor(0.5, dtype=torch.float64)

    def __call__(self, z: Tensor, y: Tensor, step: int) -> Tensor:
        return (y * (1 - self.mean) + (1 - y) * self.mean).to(z.dtype) * cross_entropy(z, y)

    def observe(self, f: Tensor) -> None:
        self.mean = f.mean()

    def state(self) -> dict[str, Tensor]:
        return {"mean": self.mean}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.mean = state["mean"]


class BatchMean(Loss):
    def start(self, y: Tensor, num_updates: int) -> RunningLoss:
        return RunningBatchMean()


class RunningFading(RunningLoss):
    """Defined for the steps of the run and no further."""

    def __init__(self, num_updates: int) -> None:
        self.num_updates = num_updates

    def __call__(self, z: Tensor, y: Tensor, step: int) -> Tensor:
        return (1 - step / self.num_updates) ** 0.5 * cross_entropy(z, y)


class Fading(Loss):
    def start(self, y: Tensor, num_updates: int) -> RunningLoss:
        return RunningFading(num_updates)


CORRECT: dict[str, Loss] = {
    "focal": loss_of(focal),
    "geometric": loss_of(geometric),
    "GCE": loss_of(generalised),
    "symmetric": loss_of(symmetric),
    "large": loss_of(large),
    "hinge": loss_of(margin),
    "bootstrapped": loss_of(bootstrapped, holds_targets=True),
    "batch mean": BatchMean(),
    "fading": Fading(),
}


@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_loss_passes(name: str) -> None:
    check_loss(CORRECT[name])


# --- wrong losses ---------------------------------------------------------------------------------------------------


class TwiceTheGradient(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, z: Tensor, y: Tensor) -> Tensor:
        context.save_for_backward(z, y)
        return cross_entropy(z, y)

    @staticmethod
    def backward(context: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        z, y = context.saved_tensors
        return 2 * upstream[0] * (z.sigmoid() - y), None


SEEN: list[float] = [0.5]


class RunningGlobal(RunningLoss):
    """Keeps in a global what it observes: it is of all runs, and of no checkpoint."""

    def __call__(self, z: Tensor, y: Tensor, step: int) -> Tensor:
        return SEEN[-1] * cross_entropy(z, y)

    def observe(self, f: Tensor) -> None:
        SEEN.append(float(f.mean()))


class Global(Loss):
    def start(self, y: Tensor, num_updates: int) -> RunningLoss:
        return RunningGlobal()


class RunningForgetful(RunningBatchMean):
    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        pass


class Forgetful(Loss):
    def start(self, y: Tensor, num_updates: int) -> RunningLoss:
        return RunningForgetful()


class RunningCounting(RunningLoss):
    calls = 0

    def __call__(self, z: Tensor, y: Tensor, step: int) -> Tensor:
        self.calls += 1
        return cross_entropy(z, y) / self.calls


class Counting(Loss):
    def start(self, y: Tensor, num_updates: int) -> RunningLoss:
        return RunningCounting()


class LastStarted(Loss):
    """The labels of the run that was started last are those of all runs."""

    labels: ClassVar[list[Tensor]] = []

    def start(self, y: Tensor, num_updates: int) -> RunningLoss:
        self.labels.append(y)
        return Running(lambda z, y: self.labels[-1][0] * cross_entropy(z, y))


def with_noise(z: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(z, y) * random.random()


def with_noise_of_torch(z: Tensor, y: Tensor) -> Tensor:
    torch.rand(1)
    return cross_entropy(z, y)


def writes_into_labels(z: Tensor, y: Tensor) -> Tensor:
    value = cross_entropy(z, y)
    y.clamp_(0.1, 0.9)
    return value


def naive(z: Tensor, y: Tensor) -> Tensor:
    f = z.sigmoid()
    return -(y * f.log() + (1 - y) * (1 - f).log())


WRONG: dict[str, tuple[Loss, Demand, str]] = {
    "wrong gradient": (
        loss_of(lambda z, y: TwiceTheGradient.apply(z, y)),
        demands.gradient_is_the_derivative,
        "differences of the value give",
    ),
    "no gradient": (
        loss_of(lambda z, y: cross_entropy(z.detach(), y)),
        demands.gradient_is_the_derivative,
        "the gradient is 0 and",
    ),
    "held targets that nobody is told of": (loss_of(bootstrapped), demands.gradient_is_the_derivative, "gradient is"),
    "hidden global": (Global(), demands.runs_share_nothing, "another run went on"),
    "labels of the last run": (LastStarted(), demands.runs_share_nothing, "another run was started"),
    "row order": (
        loss_of(lambda z, y: cross_entropy(z, y) * torch.linspace(1, 2, len(z), dtype=z.dtype)),
        demands.blind_to_the_other_rows,
        "In another order",
    ),
    "mean of the micro-batch": (
        loss_of(lambda z, y: cross_entropy(z, y) + (z.mean() - y.mean()).square()),
        demands.blind_to_the_other_rows,
        "Alone and among 41 rows",
    ),
    "NaN at extremes": (loss_of(naive), demands.finite_for_any_log_odds, "nan] at log-odds ±20 of torch.float32"),
    "a mean for all": (
        loss_of(lambda z, y: cross_entropy(z, y).mean()),
        demands.one_value_for_each_example,
        "it gave () of torch.float32",
    ),
    "always float64": (
        loss_of(lambda z, y: cross_entropy(z, y).double()),
        demands.one_value_for_each_example,
        "it gave (41,) of torch.float64",
    ),
    "counts its calls": (Counting(), demands.calling_changes_nothing, "The same call again and before"),
    "draws": (loss_of(with_noise), demands.calling_changes_nothing, "The same call again and before"),
    "draws from torch": (loss_of(with_noise_of_torch), demands.calling_changes_nothing, "torch's global random"),
    "writes into labels": (loss_of(writes_into_labels), demands.calling_changes_nothing, "wrote into"),
    "forgetful": (Forgetful(), demands.goes_on_from_its_state, "Resumed and uninterrupted, at once"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_loss_is_told_which_demand_it_breaks(name: str) -> None:
    loss, demand, observation = WRONG[name]
    with pytest.raises(AssertionError) as caught:
        check_loss(loss)
    (line,) = (line for line in str(caught.value).splitlines() if sentence(demand) in line)
    assert observation in line
