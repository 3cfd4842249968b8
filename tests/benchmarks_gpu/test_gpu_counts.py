"""What an update asks of a GPU: FLOPs by formula, and kernels that grow with the blocks alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import gpu_counts

RANK, count = gpu_counts.RANK, gpu_counts.count
PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
WIDTH, WIDE, KEYS = 32, 48, 32  # four heads, each with keys of its own
LINEARS = [(WIDTH, WIDTH)] + [(WIDTH, KEYS)] * 2 + [(WIDTH, WIDTH)] + [(WIDTH, WIDE)] * 2 + [(WIDE, WIDTH)]
READ_EMBEDDINGS = LINEARS[:3]  # of the first block: nothing in front of them is trained
LENGTHS = [9, 4, 3]  # one row of 16 tokens


def shape_of(blocks: int) -> dict[str, int]:
    return {
        "hidden_size": WIDTH,
        "intermediate_size": WIDE,
        "num_hidden_layers": blocks,
        "num_attention_heads": 4,
    }


def test_flops_are_those_of_the_formula():
    head = 2 * 4 * WIDTH * 2  # places for four texts, two outputs
    products = sum(i * o for i, o in LINEARS)
    low = sum(RANK * (i + o) for i, o in LINEARS)
    forward = 2 * 16 * 3 * (products + low) + head
    read = sum(i * o + RANK * i for i, o in READ_EMBEDDINGS)
    back = 2 * 16 * (3 * (products + 2 * low) - read) + 2 * head
    evaluation, training = (count(shape_of(3), LENGTHS, training=training) for training in (False, True))
    assert (evaluation.flops, training.flops) == (forward, forward + back)
    assert (evaluation.useful, training.useful) == (2 * 16 * 3 * products, 4 * 16 * 3 * products)


def test_kernels_grow_with_the_blocks_alone():
    one, two, three = (count(shape_of(blocks), LENGTHS).kernels for blocks in (1, 2, 3))
    assert three - two == two - one <= 90
    assert count(shape_of(2), LENGTHS * 4).kernels == two
    assert count(shape_of(2), LENGTHS, members=3).kernels <= two + 1
    assert count(shape_of(2), LENGTHS, training=False).kernels < two / 2


def test_a_cohort_keeps_and_computes_as_much_as_its_members():
    alone, together = (count(shape_of(2), LENGTHS, members) for members in (1, 3))
    assert together.flops == 3 * alone.flops
    assert alone.kept < together.kept <= 3 * alone.kept
    assert together.seconds < 3 * alone.seconds


def test_time_is_at_least_that_of_the_products_and_of_the_bytes():
    found = count(shape_of(2), LENGTHS)
    least = max(found.flops / gpu_counts.FLOPS, found.moved / gpu_counts.BYTES)
    assert found.seconds > least + found.kernels * gpu_counts.SECONDS_A_KERNEL


@pytest.mark.slow
def test_the_page_on_performance_has_the_table_of_today():
    assert gpu_counts.table() in PAGE.read_text(encoding="utf-8")
