"""What the suites share: a demand is a function whose docstring says it and that raises where it is broken."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from outshine.engine.settings import Plugin

Demand = Callable[[Any], None]

ROUNDINGS = 64
"""Roundings in a row, each of the largest number that occurs, that a difference may come from."""


def require(kept: bool, observation: str) -> None:
    """Raises AssertionError with what was observed where a demand is not kept."""
    if not kept:
        raise AssertionError(observation)


def check_all(plugin: Plugin, noun: str, demands: Sequence[Demand]) -> None:
    """Raises AssertionError that names every demand that the plug-in breaks, and what was observed."""
    broken = []
    for demand in demands:
        try:
            demand(plugin)
        except AssertionError as error:
            broken.append(f"{sentence(demand)} {error}")
        except Exception as error:
            broken.append(f"{sentence(demand)} Checking it ended in {type(error).__name__}: {error}")
    if broken:
        name = plugin.kind or type(plugin).__name__
        raise AssertionError("\n* ".join([f"'{name}' breaks what every {noun} keeps:", *broken]))


def sentence(demand: Demand) -> str:
    """The demand in words: the docstring in one line."""
    return " ".join((demand.__doc__ or demand.__name__).split())


def rounding(*values: Tensor) -> float:
    """The largest difference that rounding explains, of values that are computed in another order or batch.

    ROUNDINGS times the precision of the number format, at the largest of the values (1 where all are smaller): sums
    and vectorised functions may round otherwise, in a term that is larger than the result too.
    """
    largest = max(1.0, *(float(value.abs().max()) for value in values))
    return ROUNDINGS * torch.finfo(values[0].dtype).eps * largest


def require_equal(values: Tensor, expected: Tensor, tolerance: float, between: str) -> None:
    """Raises AssertionError that names the row with the largest difference where it is above the tolerance."""
    difference = (values - expected).abs()
    require(not bool(difference.isnan().any()), f"{between}: some values are NaN.")
    row = int(difference.argmax())
    observation = (
        f"{between}: row {row} has {float(values[row]):.9g} and {float(expected[row]):.9g}, "
        f"where rounding explains {tolerance:.1g}."
    )
    require(float(difference[row]) <= tolerance, observation)


@contextmanager
def other_global_randomness() -> Iterator[None]:
    """Run a block with the global random numbers of Python, numpy and torch elsewhere than before.

    Raises AssertionError where it draws from those of numpy or torch. Python's may be drawn from by whatever else runs
    (importing, checking of types), so that only what comes of it can be looked at.
    """
    states = random.getstate(), np.random.get_state(legacy=True), torch.random.get_rng_state()  # noqa: NPY002
    try:
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002  # it is the global ones that are watched
        torch.manual_seed(1)
        numpy_before, torch_before = _numpy_numbers(), torch.random.get_rng_state()
        yield
        require(_numpy_numbers() == numpy_before, "It drew from numpy's global random numbers.")
        require(torch.equal(torch.random.get_rng_state(), torch_before), "It drew from torch's global random numbers.")
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.random.set_rng_state(states[2])


def _numpy_numbers() -> str:
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    return f"{name} {np.asarray(keys).tolist()} {rest}"
