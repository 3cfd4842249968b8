"""Micro-batches side by side: results in order and the same to the bit, errors when all is quiet, threads shared."""

import threading
import time

import numpy as np
import pytest
import torch
from gradients import TOKENS, cohort_of, gradient

from outshine.engine.runtime import Runtime
from outshine.learn.batches import (
    LEAST_WIDTH,
    num_parallel_batches,
    predict_together,
    run_in_parallel,
    suitable_threads,
)
from tiny_checkpoints import ARCHITECTURES, classifier_of, each

KINDS = sorted(ARCHITECTURES)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def in_turn(model, runtime: Runtime) -> tuple[dict[str, torch.Tensor], np.ndarray]:
    """On one thread, which is what each of two lanes has."""
    torch.set_num_threads(1)
    try:
        return gradient(model, runtime), predict_together(model, TOKENS, 0, runtime)
    finally:
        torch.set_num_threads(2)


def assert_same(model, **settings) -> None:
    given = {"token_budget": 40, "eval_token_budget": 40, **settings}
    expected, judged = in_turn(model, Runtime(**given, lanes=1))
    for _ in range(2):  # whichever lane is through first
        found = gradient(model, Runtime(**given, lanes=2))
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)
        assert np.array_equal(judged, predict_together(model, TOKENS, 0, Runtime(**given, lanes=2)))
    assert sum(bool(tensor.any()) for tensor in expected.values()) > 0.9 * len(expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", each(KINDS))
def test_gradients_and_predictions_are_the_same_to_the_bit(kind, checkpoint, two_threads):
    assert_same(classifier_of(checkpoint(kind)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", each(kind for kind in KINDS if "deberta" not in kind))  # which forms no cohorts
def test_and_so_are_a_cohorts(kind, checkpoint, two_threads):
    assert_same(cohort_of(checkpoint(kind)))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"tuning": "full"}, {"tuning": "head"}, {"again": True}])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_in_every_way_of_training(settings, dtype, checkpoint, two_threads):
    again = settings.get("again", False)
    model = classifier_of(checkpoint("llama"), dtype, tuning=settings.get("tuning", "lora"))
    assert_same(model, gradient_checkpointing=again)


def test_results_come_in_order_and_two_are_under_way_at_once(two_threads):
    meeting = threading.Barrier(2, timeout=20)  # neither item 0 nor item 1 ends before the other has begun

    def compute(item: int) -> int:
        if item < 2:
            meeting.wait()
        time.sleep(0.002 * (5 - item % 5))
        return item * item

    assert list(run_in_parallel(compute, range(20), 2)) == [i * i for i in range(20)]


def test_lanes_share_the_threads_and_give_them_back(two_threads):
    assert set(run_in_parallel(lambda _: torch.get_num_threads(), range(6), 2)) == {1}
    assert torch.get_num_threads() == 2
    seen = []
    fresh = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    fresh.start()
    fresh.join()
    assert seen == [2]


def test_an_error_is_raised_when_nothing_runs_any_more(two_threads):
    begun, ended = [], []

    def compute(item: int) -> None:
        begun.append(item)
        if item == 0:
            raise RuntimeError("not enough memory")
        time.sleep(0.05)
        ended.append(item)

    with pytest.raises(RuntimeError, match="not enough memory"):
        list(run_in_parallel(compute, range(50), 2))
    assert sorted(ended) == sorted(set(begun) - {0})
    assert len(begun) < 10
    time.sleep(0.1)
    assert len(ended) == len(begun) - 1


def test_models_that_are_tiny_get_one_and_no_more_than_there_are_threads(two_threads):
    narrow, wide = torch.empty(2, 64), torch.empty(2, 384)
    assert [num_parallel_batches(Runtime(), head) for head in (narrow, wide)] == [1, 2]
    assert [
        num_parallel_batches(Runtime(lanes=1), wide),
        num_parallel_batches(Runtime(lanes=2), narrow),
        num_parallel_batches(Runtime(lanes=9), wide),
    ] == [1, 2, 2]
    assert num_parallel_batches(Runtime(), torch.empty(2, 384, device="meta")) == 1


@pytest.mark.parametrize(
    ("width", "threads", "inside"), [(LEAST_WIDTH - 1, None, 1), (LEAST_WIDTH, None, 2), (LEAST_WIDTH - 1, 2, 2)]
)
def test_a_tiny_model_has_one_thread_where_no_number_was_asked_for(width, threads, inside):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with suitable_threads(Runtime(device="cpu", threads=threads), torch.zeros(2, width)):
            assert torch.get_num_threads() == inside
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
