"""What the suites of demands share: words, and messages of what is broken."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

from outshine.learn.losses import losses
from outshine.testing import FILTER_DEMANDS, LOSS_DEMANDS, PROBE_DEMANDS, RECIPE_DEMANDS
from outshine.testing.demands import check_all, other_global_randomness, require, require_equal, rounding, sentence

SUITES = {
    "losses": LOSS_DEMANDS,
    "probes": PROBE_DEMANDS,
    "filters": FILTER_DEMANDS,
    "recipes": RECIPE_DEMANDS,
}


def kept(plugin: object) -> None:
    """Nothing is demanded."""


def broken(plugin: object) -> None:
    """All is well,
    always."""
    require(False, "It is not.")


def ends(plugin: object) -> None:
    """It is called."""
    raise ValueError("no such thing")


@pytest.mark.parametrize("suite", SUITES)
def test_what_is_demanded_is_in_words_one_sentence_for_each(suite: str) -> None:
    demands = SUITES[suite]
    sentences = [sentence(demand) for demand in demands]
    assert len(set(sentences)) == len(demands)
    assert all(text[0].isupper() and text.endswith(".") for text in sentences)


def test_every_broken_demand_is_named_with_what_was_observed() -> None:
    with pytest.raises(AssertionError) as caught:
        check_all(losses.parse("xent"), "loss", [kept, broken, ends])
    assert str(caught.value).splitlines() == [
        "'xent' breaks what every loss keeps:",
        "* All is well, always. It is not.",
        "* It is called. Checking it ended in ValueError: no such thing",
    ]


def test_what_keeps_everything_is_told_nothing() -> None:
    check_all(losses.parse("xent"), "loss", [kept])


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, 2.0**-23), (torch.float64, 2.0**-52)])
def test_rounding_grows_with_the_largest_number(dtype: torch.dtype, precision: float) -> None:
    small, large = torch.tensor([0.5], dtype=dtype), torch.tensor([-1000.0], dtype=dtype)
    assert rounding(small) == 64 * precision
    assert rounding(small, large) == 64 * precision * 1000


def test_the_row_that_differs_most_is_named_and_nan_is_no_number() -> None:
    one, other = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.5, 3.1])
    with pytest.raises(AssertionError, match=r"Here and there: row 1 has 2 and 2\.5"):
        require_equal(one, other, 0.2, "Here and there")
    with pytest.raises(AssertionError, match="some values are NaN"):
        require_equal(one, other * float("nan"), 10.0, "Here and there")
    require_equal(one, other, 0.6, "Here and there")


def test_global_random_numbers_go_on_as_if_nothing_had_been_checked() -> None:
    def drawn() -> list[float]:
        return [random.random(), float(np.random.random()), float(torch.rand(()))]  # noqa: NPY002

    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
    undisturbed = drawn()
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.random.set_rng_state(states[2])
    with other_global_randomness():
        random.random()
    assert drawn() == undisturbed


@pytest.mark.parametrize(("library", "draw"), [("numpy", np.random.random), ("torch", lambda: torch.rand(1))])
def test_who_draws_from_global_random_numbers_is_named(library: str, draw: Callable[[], object]) -> None:
    with pytest.raises(AssertionError, match=f"drew from {library}'s global"), other_global_randomness():
        draw()
