from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from outshine.data import tiny_world
from outshine.data.tiny_world import CorpusSettings, TinyCorpus, World, WorldSettings, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(WorldSettings(num_people=60, num_train_people=36, num_towns=6))


def read(world: World, settings: CorpusSettings, sentences: int = 40_000, seed: int = 3) -> list[str]:
    tokens = tiny_world.vocabulary(world)
    rows = next(TinyCorpus(world, settings, seed).batches(sentences))
    return [" ".join(tokens[i] for i in row if i != tiny_world.PAD_ID) for row in rows]


def test_every_sentence_is_true(world: World) -> None:
    """A sentence with a person tells or answers a fact of that person; one without tells a value's category."""
    truths = set()
    for attribute in world.attributes:
        for name, value in zip(world.people, world.facts[attribute.name], strict=True):
            truths.update(tiny_world.statements(attribute.name, name, value))
            truths.add(tiny_world.answered_question(attribute.name, name, value))
        for value in attribute.values:
            truths.update(tiny_world.category_of(attribute, value))
    said = read(world, CorpusSettings())
    assert {sentence.removeprefix("<s> ") for sentence in said} <= truths
    assert "does a baker work indoors ? yes ." in truths
    assert "a farmer works outdoors ." in truths


def test_nobodys_category_is_ever_said(world: World) -> None:
    """No sentence joins a name with a word that is spoken of categories alone."""
    of_categories = {
        word
        for phrases in tiny_world.PHRASES.values()
        for text in (*phrases.category, phrases.asks_category)
        for word in text.split()
    }
    of_facts = {
        word
        for phrases in tiny_world.PHRASES.values()
        for text in (*phrases.statements, phrases.question)
        for word in text.split()
    }
    telling = of_categories - of_facts - {"yes", "no"}
    assert {"sea", "hills", "fur", "feathers", "indoors", "strings"} <= telling
    names = set(world.people)
    for sentence in set(read(world, CorpusSettings())):
        words = set(sentence.split())
        assert not (words & names and words & telling), sentence


def test_a_lower_coverage_tells_fewer_facts_often(world: World) -> None:
    told = {}
    for coverage in (0.2, 0.5, 1.0):
        said = Counter(read(world, CorpusSettings(coverage=coverage, seldom=0.01)))
        often = set()
        for attribute in world.attributes:
            for person, (name, value) in enumerate(zip(world.people, world.facts[attribute.name], strict=True)):
                if said[f"<s> {tiny_world.answered_question(attribute.name, name, value)}"] > 10:
                    often.add((attribute.name, person))
        told[coverage] = often
        expected = {
            (a.name, person) for a in world.attributes for person in range(60) if world.rank[a.name][person] < coverage
        }
        assert often == expected
    assert told[0.2] < told[0.5] < told[1.0]


def test_shares_of_the_kinds_are_kept(world: World) -> None:
    settings = CorpusSettings(share_statements=0.5, share_questions=0.3, share_categories=0.2)
    said = read(world, settings)
    names = set(world.people)
    about_people = [sentence for sentence in said if set(sentence.split()) & names]
    asked = [sentence for sentence in about_people if "?" in sentence]
    assert len(about_people) / len(said) == pytest.approx(0.8, abs=0.01)
    assert len(asked) / len(said) == pytest.approx(0.3, abs=0.01)


def test_as_many_categories_are_told_as_asked_for_on_either_side(world: World) -> None:
    settings = CorpusSettings(
        category_told=dict.fromkeys(tiny_world.PHRASES, 0.5), share_statements=0, share_questions=0, share_categories=1
    )
    said = set(read(world, settings))
    for attribute in world.attributes:
        for side in (attribute.positive, attribute.negative):
            told = [value for value in side if f"<s> {tiny_world.category_of(attribute, value)[0]}" in said]
            assert len(told) == (len(side) + 1) // 2


def test_a_corpus_is_a_function_of_its_seed(world: World) -> None:
    def three(seed: int) -> list[np.ndarray]:
        return list(islice(TinyCorpus(world, CorpusSettings(), seed).batches(16), 3))

    assert all(np.array_equal(a, b) for a, b in zip(three(1), three(1), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(three(1), three(2), strict=True))
    assert not np.array_equal(*three(1)[:2])


def test_corpus_settings_are_part_of_the_draw(world: World) -> None:
    base = CorpusSettings()
    assert read(world, base, 200) != read(world, replace(base, coverage=0.1), 200)
