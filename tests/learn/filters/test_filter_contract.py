"""Every registered filter keeps what every filter keeps: `outshine.testing.probes_and_filters` has the demands in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from outshine.learn.filters import Filter, Filtered, filters
from outshine.learn.filters.base import drop_highest, num_dropped
from outshine.learn.probes import Labelled
from outshine.testing import FILTER_DEMANDS, check_filter
from outshine.testing import probes_and_filters as demands
from outshine.testing.demands import Demand, sentence
from outshine.testing.probes_and_filters import made_up_rows

BUILT_IN = [name for name, cls in filters if cls.__module__.startswith("outshine.")]
Keep = Callable[[Labelled, float], Tensor]


@pytest.mark.parametrize("demand", FILTER_DEMANDS, ids=lambda demand: demand.__name__)
@pytest.mark.parametrize("name", filters.names())
def test_every_registered_filter_keeps(name: str, demand: Demand) -> None:
    demand(filters.get(name)())


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_planted_wrong_label_goes(name: str) -> None:
    ids, acts, p = made_up_rows()
    wrong = int((2 * acts[:, 0] - acts[:, 1]).argmax())
    p[wrong] = 0.01
    train = Labelled.of(ids, acts, p)
    assert not filters.get(name)().keep(train, 0.1, train).kept[wrong]


@pytest.mark.parametrize("name", BUILT_IN)
def test_nothing_goes_where_nothing_is_asked_for(name: str) -> None:
    """But for what TopoFilter's components remove, which it says."""
    train = Labelled.of(*made_up_rows())
    found = filters.get(name)().keep(train, 0.0, train)
    assert found.kept.sum() >= len(train.ids) * (1 - found.facts.get("removed_by_components", 0.0)) - 1e-9


class OfRule(Filter):
    """A test's filter: the rule is given to it."""

    def keep(self, rows: Labelled, drop: float, train: Labelled) -> Filtered:
        return Filtered(type(self).rule(rows, drop))  # type: ignore[attr-defined]


def filter_of(rule: Keep) -> Filter:
    return type("TestFilter", (OfRule,), {"rule": staticmethod(rule), "__module__": __name__})()


def unsure(rows: Labelled, drop: float) -> Tensor:
    """The rows whose labels are near one half go: no wrong label is looked for."""
    every = torch.ones(len(rows.ids), dtype=torch.bool)
    return drop_highest(-(rows.p_weak - 0.5).abs(), every, num_dropped(len(every), drop))


def first(rows: Labelled, drop: float) -> Tensor:
    return torch.arange(len(rows.ids)) >= num_dropped(len(rows.ids), drop)


def drawn(rows: Labelled, drop: float) -> Tensor:
    return first(rows, drop)[torch.randperm(len(rows.ids))]


def above(rows: Labelled, drop: float) -> Tensor:
    return rows.p_weak >= rows.p_weak.quantile(drop)


def everything(rows: Labelled, drop: float) -> Tensor:
    every = torch.ones(len(rows.ids), dtype=torch.bool)
    return drop_highest(rows.p_weak, every, round(drop * len(every)))


@pytest.mark.parametrize("rule", [unsure, first])
def test_a_correct_filter_passes(rule: Keep) -> None:
    check_filter(filter_of(rule))


WRONG: dict[str, tuple[Keep, Demand, str]] = {
    "ties": (above, demands.exactly_the_share_goes, "rows"),
    "integers": (lambda rows, drop: first(rows, drop).int(), demands.exactly_the_share_goes, "of torch.int32"),
    "drawn": (drawn, demands.the_same_rows_go_again, "torch's global random numbers"),
    "drawn in another order": (drawn, demands.the_order_of_rows_does_not_matter_to_a_filter, "treated otherwise"),
    "removes everything": (everything, demands.removing_everything_is_refused, "none was raised"),
    "first rows of 160": (
        lambda rows, drop: torch.arange(len(rows.ids)) >= num_dropped(160, drop),
        demands.other_rows_than_the_training_rows_can_be_filtered,
        "16 went and not 8",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_filter_is_told_which_demand_it_breaks(name: str) -> None:
    rule, demand, observation = WRONG[name]
    with pytest.raises(AssertionError) as caught:
        check_filter(filter_of(rule))
    (line,) = (line for line in str(caught.value).splitlines() if sentence(demand) in line)
    assert observation in line


def test_the_highest_scores_go_and_ties_go_by_id() -> None:
    scores = torch.tensor([0.5, 0.9, 0.5, 0.1 + 0.2, 0.3, 0.5], dtype=torch.float64)
    kept = torch.tensor([True, True, True, True, True, False])
    assert drop_highest(scores, kept, 2).tolist() == [False, False, True, True, True, False]
    # 0.1 + 0.2 is 0.3 up to rounding: the smaller id goes
    assert drop_highest(scores, kept, 4).tolist() == [False, False, False, False, True, False]
    assert torch.equal(drop_highest(scores, kept, 0), kept)
