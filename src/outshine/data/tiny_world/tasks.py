"""The synthetic tasks: is the answer to the question about this person in the positive category?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outshine.data.tiny_world import language
from outshine.data.tiny_world.facts import World


@dataclass(frozen=True)
class Query:
    """One question about one person. The text holds neither the value nor the category."""

    text: str
    person: str
    value: str
    positive: bool


def queries(world: World, attribute: str, people: Sequence[int]) -> list[Query]:
    """The questions of an attribute's task about these people (numbers), in their order."""
    categories, values = world.attribute(attribute), world.facts[attribute]
    return [
        Query(
            text=language.question(attribute, world.people[person]),
            person=world.people[person],
            value=values[person],
            positive=categories.is_positive(values[person]),
        )
        for person in people
    ]
