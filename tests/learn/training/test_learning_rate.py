"""The learning rate along a run, and how many updates a run has."""

import math
from itertools import pairwise

import pytest

from outshine.learn.settings import learning_rate_factor, num_updates


def test_the_posts_run():
    total = num_updates(5000, 32, 3)
    assert total == 471  # 157 an epoch: 156 of 32 rows and one of 8
    factors = [learning_rate_factor(step, total, 40) for step in range(total)]
    assert factors[0] == 1 / 40
    assert factors[39] == factors[40] == max(factors) == 1
    assert all(a < b for a, b in pairwise(factors[:40]))
    assert all(a > b for a, b in pairwise(factors[40:]))
    assert 0 < factors[-1] < 1e-4
    for step in (40, 100, 300, 470):
        assert factors[step] == pytest.approx((1 + math.cos(math.pi * (step - 40) / 431)) / 2)


@pytest.mark.parametrize(("total", "warmup"), [(1, 1), (9, 1), (10, 1), (11, 2), (25, 3), (399, 40), (400, 40)])
def test_warm_up_takes_at_most_a_tenth_of_the_run(total, warmup):
    factors = [learning_rate_factor(step, total, 40) for step in range(total)]
    assert factors[:warmup] == [(step + 1) / warmup for step in range(warmup)]
    assert factors.index(1.0) == warmup - 1
    assert all(factor > 0 for factor in factors)


def test_no_warm_up():
    assert learning_rate_factor(0, 10, 0) == 1
    assert learning_rate_factor(5, 10, 0) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("rows", "batch", "epochs", "updates"), [(32, 32, 3, 3), (33, 32, 3, 6), (1, 32, 2, 2), (64, 32, 1, 2)]
)
def test_the_last_smaller_batch_counts(rows, batch, epochs, updates):
    assert num_updates(rows, batch, epochs) == updates
