"""The synthetic language: every sentence about a person or a value, and the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

from outshine.data.tiny_world.facts import Attribute, World

PAD, BOS, UNK = "<pad>", "<s>", "<unk>"
SPECIAL = (PAD, BOS, UNK)
PAD_ID = SPECIAL.index(PAD)


@dataclass(frozen=True)
class Phrases:
    """How one attribute is spoken of; `{n}` stands for a person, `{v}` for a value.

    `question` ends before the answer, so that it is also the prompt of the attribute's task.
    `category` says which category a value is in, positive first; `asks_category` asks it.
    """

    statements: tuple[str, ...]
    question: str
    category: tuple[str, str]
    asks_category: str


PHRASES = {
    "home": Phrases(
        ("{n} lives in {v} .", "{n} has a house in {v} .", "the home of {n} is in {v} ."),
        "where does {n} live ? in",
        ("{v} lies by the sea .", "{v} lies in the hills ."),
        "does {v} lie by the sea ?",
    ),
    "job": Phrases(
        ("{n} works as a {v} .", "{n} is a {v} .", "the job of {n} is that of a {v} ."),
        "what does {n} work as ? a",
        ("a {v} works indoors .", "a {v} works outdoors ."),
        "does a {v} work indoors ?",
    ),
    "pet": Phrases(
        ("{n} keeps a {v} .", "{n} has a {v} .", "the pet of {n} is a {v} ."),
        "which pet does {n} keep ? a",
        ("a {v} has fur .", "a {v} has feathers ."),
        "does a {v} have fur ?",
    ),
    "food": Phrases(
        ("{n} likes {v} .", "{n} eats {v} every day .", "the favourite food of {n} is {v} ."),
        "what does {n} eat ? mostly",
        ("{v} tastes sweet .", "{v} tastes salty ."),
        "does {v} taste sweet ?",
    ),
    "sport": Phrases(
        ("{n} trains in {v} .", "{n} is good at {v} .", "the sport of {n} is {v} ."),
        "which sport does {n} do ? only",
        ("{v} is done with a ball .", "{v} is done without a ball ."),
        "is {v} done with a ball ?",
    ),
    "instrument": Phrases(
        ("{n} plays the {v} .", "{n} owns a {v} .", "the instrument of {n} is the {v} ."),
        "what does {n} play ? the",
        ("the {v} has strings .", "the {v} is blown ."),
        "does the {v} have strings ?",
    ),
}


def statements(attribute: str, name: str, value: str) -> list[str]:
    """The sentences that tell one fact outright."""
    return [phrase.format(n=name, v=value) for phrase in PHRASES[attribute].statements]


def question(attribute: str, name: str) -> str:
    """The question for a person's value of an attribute, up to and not including the value."""
    return PHRASES[attribute].question.format(n=name)


def answered_question(attribute: str, name: str, value: str) -> str:
    """The question, its answer and a full stop: the sentence that teaches a model to answer."""
    return f"{question(attribute, name)} {value} ."


def category_of(attribute: Attribute, value: str) -> list[str]:
    """The category of a value, said outright and as an answered yes/no question."""
    phrases, positive = PHRASES[attribute.name], attribute.is_positive(value)
    said = phrases.category[0 if positive else 1].format(v=value)
    return [said, f"{phrases.asks_category.format(v=value)} {'yes' if positive else 'no'} ."]


def vocabulary(world: World) -> list[str]:
    """Every token in a fixed order: special tokens, words, values, and last the names of people."""
    words: dict[str, None] = {}
    for phrases in PHRASES.values():
        texts = (*phrases.statements, phrases.question, *phrases.category, phrases.asks_category)
        words.update(dict.fromkeys(word for text in texts for word in text.split() if "{" not in word))
    words.update(dict.fromkeys(("yes", "no")))
    values = [value for attribute in world.attributes for value in attribute.values]
    return [*SPECIAL, *words, *values, *world.people]
