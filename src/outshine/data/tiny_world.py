"""The synthetic world: facts about people, the sentences that state them, and the corpus that embedded models read.

Each person has one value of every attribute (a home, a job, a pet), and each value is of one of two categories. A task
of `outshine.data.recipes.tiny` asks for the category of a person's value.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from random import Random

import numpy as np

from outshine.engine.rng import numpy_rng, python_rng

WORLD_VERSION = 1
"""Bumped whenever the same settings would make another world, another corpus or other task rows."""


@dataclass(frozen=True)
class Attribute:
    """What every person has one of: a home, a job, a pet.

    `positive` and `negative` are the values of its two categories; which is which is stated in the
    corpus and is the label of the attribute's task.
    """

    name: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]

    @property
    def values(self) -> tuple[str, ...]:
        """All values, the positive ones first."""
        return self.positive + self.negative

    def is_positive(self, value: str) -> bool:
        return value in self.positive


@dataclass(frozen=True)
class WorldSettings:
    """What a world depends on. `num_towns` is halved between the coast and the inland."""

    seed: int = 0
    num_people: int = 2400
    num_train_people: int = 1200
    num_towns: int = 24

    def __post_init__(self) -> None:
        if not 0 < self.num_train_people < self.num_people:
            raise ValueError(f"num_train_people must lie between 1 and num_people - 1, not {self.num_train_people}")
        if self.num_towns < 2 or self.num_towns % 2:
            raise ValueError(f"num_towns must be even and at least 2, not {self.num_towns}")

    @property
    def digest(self) -> str:
        """16 hex digits that name the world made by these settings and this version of the generator."""
        text = json.dumps({"version": WORLD_VERSION, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class World:
    """People and their facts.

    `facts[attribute][i]` is the value of person i. `rank[attribute][i]`, uniform in [0, 1), says how
    widely known that fact is: a corpus of coverage c tells the facts of rank below c often, so that a
    corpus of higher coverage tells all that one of lower coverage does.
    """

    settings: WorldSettings
    people: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    facts: Mapping[str, tuple[str, ...]]
    rank: Mapping[str, np.ndarray]

    def attribute(self, name: str) -> Attribute:
        return next(attribute for attribute in self.attributes if attribute.name == name)

    @cached_property
    def train_people(self) -> range:
        """Numbers of the people that training and validation texts are about; the rest are for test."""
        return range(self.settings.num_train_people)

    @cached_property
    def test_people(self) -> range:
        return range(self.settings.num_train_people, self.settings.num_people)


@lru_cache(maxsize=4)
def make_world(settings: WorldSettings | None = None) -> World:
    """The world of these settings; equal settings make equal worlds on every machine."""
    settings = settings or WorldSettings()
    names = _names(settings.num_people + settings.num_towns, python_rng("world/names", settings.seed))
    people, towns = names[: settings.num_people], names[settings.num_people :]
    attributes = (_home(towns), *_ATTRIBUTES)
    facts, rank = {}, {}
    for attribute in attributes:
        rng = numpy_rng("world/facts", settings.seed, attribute.name)
        facts[attribute.name] = _deal(attribute.values, settings, rng)
        rank[attribute.name] = numpy_rng("world/rank", settings.seed, attribute.name).random(settings.num_people)
    return World(settings, people, attributes, facts, rank)


def _deal(values: tuple[str, ...], settings: WorldSettings, rng: np.random.Generator) -> tuple[str, ...]:
    """One value a person, each equally often (up to rounding) among the train and among the test people."""
    dealt: list[str] = []
    for count in (settings.num_train_people, settings.num_people - settings.num_train_people):
        numbers = np.resize(rng.permutation(len(values)), count)
        dealt += [values[i] for i in rng.permutation(numbers)]
    return tuple(dealt)


def _home(towns: tuple[str, ...]) -> Attribute:
    half = len(towns) // 2
    return Attribute("home", positive=towns[:half], negative=towns[half:])


def _attribute(name: str, positive: str, negative: str) -> Attribute:
    return Attribute(name, tuple(positive.split()), tuple(negative.split()))


def _names(count: int, rng: Random) -> tuple[str, ...]:
    """Different pronounceable made-up names, none of them a value of an attribute."""
    values = {value for attribute in _ATTRIBUTES for value in attribute.values}
    onsets, vowels = _ONSETS.split(), _VOWELS.split()
    taken: dict[str, None] = {}
    while len(taken) < count:
        syllables = [rng.choice(onsets) + rng.choice(vowels) for _ in range(rng.choice((2, 2, 3)))]
        name = "".join(syllables) + rng.choice(_CODAS)
        if name not in values:
            taken.setdefault(name)
    return tuple(taken)


_ONSETS = "b br d dr f g gr h j k kl l m n p r s st t tr v z"
_VOWELS = "a e i o u ai ea io"
_CODAS = ("", "n", "l", "r", "s", "m", "th")

_ATTRIBUTES = (
    _attribute(
        "job",
        "clerk nurse baker tailor teacher cook librarian lawyer banker printer pharmacist cashier",
        "farmer fisher gardener shepherd lumberjack roofer ranger miller bricklayer guide ferryman postman",
    ),
    _attribute(
        "pet",
        "cat dog rabbit hamster ferret mouse gerbil goat pony fox squirrel lamb",
        "parrot canary finch duck goose hen pigeon owl crow budgie peacock swan",
    ),
    _attribute(
        "food",
        "cake honey jam toffee pudding nougat marzipan fudge caramel syrup waffles sorbet",
        "olives bacon cheese pickles herring ham crisps anchovies pretzels sausage gherkins kippers",
    ),
    _attribute(
        "sport",
        "football tennis basketball volleyball handball golf cricket baseball rugby hockey squash polo",
        "running swimming skiing rowing judo fencing cycling sailing climbing skating boxing archery",
    ),
    _attribute(
        "instrument",
        "violin cello harp guitar lute banjo viola mandolin zither ukulele sitar lyre",
        "flute trumpet clarinet oboe horn tuba trombone bassoon bagpipe recorder saxophone cornet",
    ),
)

INSTRUMENT_FAMILIES = {
    "bowed": ("violin", "cello", "viola"),
    "plucked": ("harp", "guitar", "lute", "banjo", "mandolin", "zither", "ukulele", "sitar", "lyre"),
    "woodwind": ("flute", "clarinet", "oboe", "bassoon", "bagpipe", "recorder", "saxophone"),
    "brass": ("trumpet", "horn", "tuba", "trombone", "cornet"),
}
"""The four families of the values of the attribute `instrument`. No sentence of the corpus names them."""

# --- language ---------------------------------------------------------------------------------------------------------

PAD, BOS, UNK = "<pad>", "<s>", "<unk>"
SPECIAL = (PAD, BOS, UNK)
PAD_ID = SPECIAL.index(PAD)


@dataclass(frozen=True)
class Phrases:
    """The sentences about one attribute; `{n}` stands for a person, `{v}` for a value.

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
    statement = phrases.category[0 if positive else 1].format(v=value)
    return [statement, f"{phrases.asks_category.format(v=value)} {'yes' if positive else 'no'} ."]


def vocabulary(world: World) -> list[str]:
    """Every token in a fixed order: special tokens, words, values, and last the names of people."""
    words: dict[str, None] = {}
    for phrases in PHRASES.values():
        texts = (*phrases.statements, phrases.question, *phrases.category, phrases.asks_category)
        words.update(dict.fromkeys(word for text in texts for word in text.split() if "{" not in word))
    words.update(dict.fromkeys(("yes", "no")))
    values = [value for attribute in world.attributes for value in attribute.values]
    return [*SPECIAL, *words, *values, *world.people]


# --- corpus -----------------------------------------------------------------------------------------------------------

CATEGORY_TOLD = {"home": 1.0, "job": 0.75, "food": 0.75, "pet": 0.5, "sport": 0.5, "instrument": 0.25}
"""Share of an attribute's values whose category the corpus states: how salient the task is made."""


@dataclass(frozen=True)
class CorpusSettings:
    """Which sentences a model reads in pretraining, and how often.

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


class TinyCorpus:
    """Batches of sentences as token ids, drawn without end from the sentences that the world allows.

    Sentences stand alone, each after BOS, padded on the right. Ids below `num_words` are words and values,
    the others names of people.
    """

    def __init__(self, world: World, settings: CorpusSettings, seed: int) -> None:
        tokens = vocabulary(world)
        ids = {token: i for i, token in enumerate(tokens)}
        self.num_words = len(tokens) - len(world.people)
        self._rng = numpy_rng("world/corpus", seed)
        weights = np.where(_ranks(world) < settings.coverage, 1.0, settings.seldom)
        facts = _sentences_of_facts(world)
        self._kinds = [
            _Kind([texts for texts, _ in facts], weights, ids),
            _Kind([[question] for _, question in facts], weights, ids),
            _Kind(_sentences_of_categories(world, settings), None, ids),
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
    """Sentences of one kind: `wordings[i]` are those for thing i, which is drawn in proportion to its weight."""

    def __init__(self, wordings: Sequence[Sequence[str]], weights: np.ndarray | None, ids: Mapping[str, int]) -> None:
        tokens = [[ids[BOS], *(ids[word] for word in text.split())] for texts in wordings for text in texts]
        self._rows = np.full((len(tokens), max(map(len, tokens))), PAD_ID, dtype=np.int64)
        for row, sentence in zip(self._rows, tokens, strict=True):
            row[: len(sentence)] = sentence
        num_wordings = [len(texts) for texts in wordings]
        each = np.repeat(np.ones(len(wordings)) if weights is None else weights, num_wordings)
        self._cumulative = np.cumsum(each / each.sum())

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """`count` sentences, shape (count, longest of this kind)."""
        picks = np.searchsorted(self._cumulative, rng.random(count), side="right")
        return self._rows[np.minimum(picks, len(self._rows) - 1)]  # rounding may leave the last sum below 1


def _ranks(world: World) -> np.ndarray:
    """Ranks of all facts in the order of `_sentences_of_facts`."""
    return np.concatenate([world.rank[attribute.name] for attribute in world.attributes])


def _sentences_of_facts(world: World) -> list[tuple[list[str], str]]:
    """Every fact, as its statements and as its answered question."""
    return [
        (statements(attribute.name, name, value), answered_question(attribute.name, name, value))
        for attribute in world.attributes
        for name, value in zip(world.people, world.facts[attribute.name], strict=True)
    ]


def _sentences_of_categories(world: World, settings: CorpusSettings) -> list[list[str]]:
    """Sentences about the categories of some values, equally many of either category."""
    sentences = []
    for attribute in world.attributes:
        for side in (attribute.positive, attribute.negative):
            shuffled = python_rng("world/category", world.settings.seed, attribute.name, *side).sample(side, len(side))
            count = math.ceil(settings.category_told[attribute.name] * len(side))
            sentences += [category_of(attribute, value) for value in shuffled[:count]]
    return sentences
