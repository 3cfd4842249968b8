"""Which rows make an update and how they are cut: each row once, under the budget, in an order of their own."""

from itertools import chain

import torch
from hypothesis import given
from hypothesis import strategies as st

from outshine.learn.batches import Limits, collate, effective_batch, epoch_order, micro_batches, packs
from tiny_checkpoints import CPU

IDS = [f"id-{i}" for i in range(101)]


def updates(ids, seed, batch_size, epochs):
    cache = {}
    per_epoch = -(-len(ids) // batch_size)
    return [effective_batch(ids, seed, batch_size, step, cache) for step in range(epochs * per_epoch)]


def test_every_epoch_has_every_row_once_and_the_last_batch_is_kept():
    batches = updates(IDS, 0, 32, 3)
    assert [len(batch) for batch in batches] == [32, 32, 32, 5] * 3
    for epoch in range(3):
        assert sorted(chain.from_iterable(batches[4 * epoch : 4 * epoch + 4])) == list(range(101))


def test_fewer_rows_than_a_batch_are_one_batch():
    assert [len(batch) for batch in updates(IDS[:5], 0, 32, 2)] == [5, 5]


def test_a_batch_depends_on_its_number_alone():
    batches = updates(IDS, 0, 10, 3)
    assert all(effective_batch(IDS, 0, 10, step, {}) == batch for step, batch in enumerate(batches))


def test_the_order_is_that_of_the_ids_wherever_they_lie():
    shuffled = IDS[50:] + IDS[:50]
    first, second = ([ids[i] for i in epoch_order(ids, 3, 1)] for ids in (IDS, shuffled))
    assert first == second
    assert first != sorted(first)


@given(st.sets(st.integers(0, 100)), st.integers(0, 5), st.integers(0, 3))
def test_dropping_rows_keeps_the_order_of_the_rest(dropped, seed, epoch):
    kept = [one for i, one in enumerate(IDS) if i not in dropped]
    whole = [IDS[i] for i in epoch_order(IDS, seed, epoch)]
    assert [kept[i] for i in epoch_order(kept, seed, epoch)] == [one for one in whole if one in set(kept)]


def test_seeds_and_epochs_have_orders_of_their_own():
    orders = {tuple(epoch_order(IDS, seed, epoch)) for seed in range(4) for epoch in range(3)}
    assert len(orders) == 12
    firsts = [epoch_order(IDS, seed, 0)[0] for seed in range(300)]
    assert len(set(firsts)) > 75  # of 101 rows, 95 are expected to come first at least once


def test_the_order_never_changes_between_versions():
    assert epoch_order(["a", "b", "c", "d", "e", "f"], 0, 0) == [4, 1, 2, 0, 3, 5]


def check_cut(batches, lengths, max_rows) -> None:
    """Each row once, no batch empty or of too many rows, similar lengths together, the longest first."""
    in_order = list(chain.from_iterable(batches))
    assert sorted(in_order) == list(range(len(lengths)))
    assert all(0 < len(batch) <= (max_rows or len(lengths)) for batch in batches)
    assert [lengths[i] for i in in_order] == sorted(lengths, reverse=True)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 400), st.none() | st.integers(1, 9))
def test_micro_batches_cover_each_row_once_within_the_budget(lengths, budget, max_rows):
    batches = micro_batches(lengths, range(len(lengths)), Limits(budget, max_rows))
    check_cut(batches, lengths, max_rows)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=60),
    st.integers(1, 400),
    st.none() | st.integers(1, 9),
    st.integers(1, 3),
)
def test_packs_cover_each_row_once_within_the_budget(lengths, budget, max_rows, parts):
    made = packs(lengths, range(len(lengths)), Limits(budget, max_rows, parts=parts))
    check_cut(made, lengths, max_rows)
    for batch in made:
        assert len(batch) == 1 or sum(lengths[i] for i in batch) <= budget


@given(
    st.lists(st.integers(1, 25), min_size=20, max_size=60),
    st.integers(200, 400),
    st.integers(1, 3),
)
def test_packs_are_as_few_as_their_tokens_need_and_about_equal(lengths, budget, parts):
    made = packs(lengths, range(len(lengths)), Limits(budget, parts=parts))
    total, longest = sum(lengths), max(lengths)
    assert len(made) % parts == 0
    # a share may be too large by a text: three parts more then leave room for one of this length
    assert len(made) < -(-total // budget) + 4 * parts
    for batch in made:
        assert abs(sum(lengths[i] for i in batch) - total / len(made)) <= longest


def test_only_the_rows_asked_for_are_cut():
    assert micro_batches([5, 1, 3, 9], [2, 0, 3], Limits(10)) == [[3], [0, 2]]
    assert packs([5, 1, 3, 9], [2, 0, 3], Limits(10)) == [[3], [0, 2]]


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=9),
    st.integers(1, 40),
    st.none() | st.integers(1, 4),
    st.integers(0, 20),
)
def test_no_other_cut_of_the_sorted_rows_costs_less(lengths, budget, max_rows, cost):
    """Against every way to cut them."""
    ordered = sorted(lengths, reverse=True)

    def cheapest(start: int) -> int:
        if start == len(ordered):
            return 0
        ends = range(start + 1, len(ordered) + 1)
        return min(
            (end - start) * ordered[start] + cost + cheapest(end)
            for end in ends
            if end == start + 1
            or ((end - start) * ordered[start] <= budget and (max_rows is None or end - start <= max_rows))
        )

    batches = micro_batches(lengths, range(len(lengths)), Limits(budget, max_rows, cost))
    assert sum(len(batch) * lengths[batch[0]] + cost for batch in batches) == cheapest(0)


def test_a_cohort_shares_the_limits():
    assert Limits(1024, 10, 32, 2).shared(4) == Limits(256, 2, 8, 2)
    assert Limits(3, 2, 1).shared(8) == Limits(1, 1, 0)


def test_collating_pads_on_the_right_and_masks_it():
    ids, mask = collate([[5, 6, 7], [8], [9, 10]], [1, 0], 4, CPU)
    assert ids.tolist() == [[8, 4, 4], [5, 6, 7]]
    assert mask.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert ids.dtype == mask.dtype == torch.long


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(1, 40))
def test_where_only_equal_lengths_may_share_a_batch_none_is_padded(lengths, budget):
    batches = micro_batches(lengths, range(len(lengths)), Limits(budget, 4), "equal")
    assert sorted(chain.from_iterable(batches)) == list(range(len(lengths)))
    for batch in batches:
        assert len({lengths[row] for row in batch}) == 1
        assert len(batch) <= 4
        assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= budget


def test_where_none_may_share_a_batch_each_goes_alone():
    assert micro_batches([3, 5, 3], range(3), Limits(100), "none") == [[1], [0], [2]]
