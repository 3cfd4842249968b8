"""The synthetic facts: each person has one value of every attribute, each value is of one of two categories."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from random import Random

import numpy as np

from outshine.engine.rng import numpy_rng, python_rng

VERSION = 1
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
        text = json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True)
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
        hand = np.resize(rng.permutation(len(values)), count)
        dealt += [values[i] for i in rng.permutation(hand)]
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
