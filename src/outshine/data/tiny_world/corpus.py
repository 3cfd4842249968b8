"""The synthetic corpus: an endless, seeded stream of sentences; some facts are told often, others seldom."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from outshine.data.tiny_world import language
from outshine.data.tiny_world.facts import World
from outshine.engine.rng import numpy_rng, python_rng

CATEGORY_TOLD = {"home": 1.0, "job": 0.75, "food": 0.75, "pet": 0.5, "sport": 0.5, "instrument": 0.25}
"""Share of an attribute's values whose category the corpus states: how salient the task is made."""


@dataclass(frozen=True)
class CorpusSettings:
    """What a model gets to read.

    A fact whose rank is below `coverage` is told `1 / seldom` times as often as one above it. The three
    shares are parts of all sentences and sum to 1: facts stated, facts asked and answered, and categories
    of values. The category of a person's own value is never said: it must be put together from the two.
    """

    coverage: float = 1.0
    seldom: float = 0.01
    category_told: Mapping[str, float] = field(default_factory=lambda: dict(CATEGORY_TOLD))
    share_statements: float = 0.60
    share_questions: float = 0.34
    share_categories: float = 0.06


class Corpus:
    """Batches of sentences as token ids, drawn without end from the sentences that the world allows.

    Sentences stand alone, each after BOS, padded on the right. Ids below `num_words` are words and values,
    the others names of people.
    """

    def __init__(self, world: World, settings: CorpusSettings, seed: int) -> None:
        tokens = language.vocabulary(world)
        ids = {token: i for i, token in enumerate(tokens)}
        self.num_words = len(tokens) - len(world.people)
        self._rng = numpy_rng("world/corpus", seed)
        weights = np.where(_ranks(world) < settings.coverage, 1.0, settings.seldom)
        told = _facts_told(world)
        self._kinds = [
            _Kind([texts for texts, _ in told], weights, ids),
            _Kind([[question] for _, question in told], weights, ids),
            _Kind(_categories_told(world, settings), None, ids),
        ]
        self._shares = [settings.share_statements, settings.share_questions, settings.share_categories]

    def batches(self, num_sentences: int) -> Iterator[np.ndarray]:
        """Arrays of shape (num_sentences, tokens of the longest sentence), int64."""
        while True:
            counts = self._rng.multinomial(num_sentences, self._shares)
            rows = [kind.draw(count, self._rng) for kind, count in zip(self._kinds, counts, strict=True)]
            width = max(row.shape[1] for row in rows)
            yield np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]))) for row in rows])


class _Kind:
    """Sentences of one kind: `sayings[i]` are the ways to say thing i, which is drawn in proportion to its weight."""

    def __init__(self, sayings: Sequence[Sequence[str]], weights: np.ndarray | None, ids: Mapping[str, int]) -> None:
        tokens = [[ids[language.BOS], *(ids[word] for word in text.split())] for texts in sayings for text in texts]
        self._rows = np.full((len(tokens), max(map(len, tokens))), language.PAD_ID, dtype=np.int64)
        for row, sentence in zip(self._rows, tokens, strict=True):
            row[: len(sentence)] = sentence
        ways = [len(texts) for texts in sayings]
        each = np.repeat(np.ones(len(sayings)) if weights is None else weights, ways)
        self._cumulative = np.cumsum(each / each.sum())

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """`count` sentences, shape (count, longest of this kind)."""
        picks = np.searchsorted(self._cumulative, rng.random(count), side="right")
        return self._rows[np.minimum(picks, len(self._rows) - 1)]  # rounding may leave the last sum below 1


def _ranks(world: World) -> np.ndarray:
    """Ranks of all facts in the order of `_facts_told`."""
    return np.concatenate([world.rank[attribute.name] for attribute in world.attributes])


def _facts_told(world: World) -> list[tuple[list[str], str]]:
    """Every fact, as its statements and as its answered question."""
    return [
        (language.statements(attribute.name, name, value), language.answered_question(attribute.name, name, value))
        for attribute in world.attributes
        for name, value in zip(world.people, world.facts[attribute.name], strict=True)
    ]


def _categories_told(world: World, settings: CorpusSettings) -> list[list[str]]:
    """What is said about the categories of the values that are spoken of, equally many on either side."""
    told = []
    for attribute in world.attributes:
        for side in (attribute.positive, attribute.negative):
            shuffled = python_rng("world/category", world.settings.seed, attribute.name, *side).sample(side, len(side))
            count = math.ceil(settings.category_told[attribute.name] * len(side))
            told += [language.category_of(attribute, value) for value in shuffled[:count]]
    return told
