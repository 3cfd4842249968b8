"""A cloze test of how many synthetic facts a language model has learned."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from outshine.data.tiny_world import BOS, Attribute, World, question, vocabulary


class Cloze(NamedTuple):
    """Over all people: the share whose value is named right, and whose category gets the most probability."""

    value: float
    category: float


@torch.no_grad()
def cloze(model: Any, world: World) -> dict[str, Cloze]:
    """Cloze accuracy by attribute: the question is asked up to the answer, the likeliest word is the answer.

    Chance is about 1 / (number of values) for the value and one half for the category.
    """
    ids = {token: i for i, token in enumerate(vocabulary(world))}
    model.eval()
    return {attribute.name: _ask(model, world, attribute, ids) for attribute in world.attributes}


def _ask(model: Any, world: World, attribute: Attribute, ids: dict[str, int]) -> Cloze:
    questions = [f"{BOS} {question(attribute.name, name)}".split() for name in world.people]
    hidden = model.model(torch.tensor([[ids[word] for word in question] for question in questions])).last_hidden_state
    num_words = len(ids) - len(world.people)
    logits = hidden[:, -1] @ model.lm_head.weight[:num_words].T  # (people, words)
    facts = world.facts[attribute.name]
    right = logits.argmax(dim=1) == torch.tensor([ids[value] for value in facts])
    among = logits[:, [ids[value] for value in attribute.values]].softmax(dim=1)
    says_positive = among[:, : len(attribute.positive)].sum(dim=1) > 0.5
    is_positive = torch.tensor([attribute.is_positive(value) for value in facts])
    return Cloze(
        round(right.double().mean().item(), 4), round((says_positive == is_positive).double().mean().item(), 4)
    )
