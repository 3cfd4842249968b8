from collections import Counter

import numpy as np
import pytest

from outshine.data import tiny_world
from outshine.data.tiny_world import WorldSettings, make_world

SMALL = WorldSettings(num_people=120, num_train_people=72, num_towns=6)


def test_a_world_is_the_same_every_time_and_another_for_another_seed() -> None:
    one, again = make_world(SMALL), make_world.__wrapped__(SMALL)
    assert (one.people, one.facts) == (again.people, again.facts)
    assert all(np.array_equal(one.rank[name], again.rank[name]) for name in one.rank)
    other = make_world(WorldSettings(**{**vars(SMALL), "seed": 1}))
    assert other.people != one.people
    assert other.facts["job"] != one.facts["job"]
    assert other.settings.digest != one.settings.digest


def test_the_shipped_world_has_not_moved() -> None:
    """The shipped models have read about exactly this world; another one needs other weights."""
    world = make_world()
    assert world.settings.digest == "a92977f2b4ae4d66"
    assert [world.people[i] for i in (0, 1, -1)] == ["fofe", "mudion", "jagrem"]
    assert {name: values[0] for name, values in world.facts.items()} == {
        "home": "breakeam",
        "job": "banker",
        "pet": "squirrel",
        "food": "herring",
        "sport": "hockey",
        "instrument": "trumpet",
    }


def test_values_are_dealt_evenly_to_both_pools() -> None:
    world = make_world()
    for attribute in world.attributes:
        for people in (world.train_people, world.test_people):
            counts = Counter(world.facts[attribute.name][person] for person in people)
            assert set(counts) == set(attribute.values)
            assert max(counts.values()) - min(counts.values()) <= 1
            positive = sum(attribute.is_positive(world.facts[attribute.name][person]) for person in people)
            assert positive == len(people) / 2


def test_categories_part_the_values_and_every_token_is_one_word() -> None:
    world = make_world()
    for attribute in world.attributes:
        assert len(attribute.positive) == len(attribute.negative)
        assert not set(attribute.positive) & set(attribute.negative)
        assert [attribute.is_positive(value) for value in attribute.values] == [True] * 12 + [False] * 12
    tokens = tiny_world.vocabulary(world)
    assert len(set(tokens)) == len(tokens)
    assert not any(token.split() != [token] for token in tokens)


def test_facts_of_different_attributes_are_independent() -> None:
    """No attribute says anything about another: the tasks are different tasks."""
    world = make_world()
    sides = np.array([[a.is_positive(value) for value in world.facts[a.name]] for a in world.attributes])
    correlation = np.corrcoef(sides)[np.triu_indices(len(sides), k=1)]
    assert np.abs(correlation).max() < 4 / np.sqrt(sides.shape[1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_people": 10, "num_train_people": 10},
        {"num_people": 10, "num_train_people": 0},
        {"num_towns": 5},
        {"num_towns": 0},
    ],
)
def test_impossible_worlds_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"num_(train_people|towns) must"):
        WorldSettings(**wrong)
