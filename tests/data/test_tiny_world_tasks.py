import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from outshine.data import tiny_world
from outshine.data.schema import Draw, recipes
from outshine.data.tiny_world import WorldSettings, make_world
from outshine.engine.errors import DataError

FAMILY, ANSWERS = "tiny-instrument-family", "tiny-food-answers"
TASKS = [name for name in recipes.names() if name.startswith("tiny-") and name not in (FAMILY, ANSWERS)]


def examples(task: str) -> tuple[list, list]:
    recipe = recipes.parse(task)
    pools = recipe.open(recipe.identify())
    assert pools.test is not None
    return tuple(
        [recipe.format(row, Draw(0, i)) for i, row in enumerate(pool.take(range(len(pool))))]
        for pool in (pools.train, pools.test)
    )


def test_there_is_a_task_for_every_attribute() -> None:
    assert set(TASKS) == {f"tiny-{attribute.name}" for attribute in make_world().attributes}
    assert len(TASKS) >= 5


def test_of_two_answers_the_one_that_is_the_fact_is_the_better_one() -> None:
    world = make_world()
    fact = dict(zip(world.people, world.facts["food"], strict=True))
    train, test = examples(ANSWERS)
    for example in [*train, *test]:
        texts = (example.text, example.text_b)
        true = f"{tiny_world.question('food', example.group)} {fact[example.group]} ."
        assert [text == true for text in texts] == [example.label, not example.label]
    assert 0.45 < np.mean([example.label for example in train]) < 0.55


def test_classes_of_the_family_are_those_of_the_facts() -> None:
    world = make_world()
    fact = dict(zip(world.people, world.facts["instrument"], strict=True))
    families = tiny_world.INSTRUMENT_FAMILIES
    assert sorted(value for own in families.values() for value in own) == sorted(world.attribute("instrument").values)
    train, test = examples(FAMILY)
    names = recipes.get(FAMILY).task.class_names
    for example in [*train, *test]:
        assert fact[example.group] in families[names[example.label]]
    told = " ".join(sentence for phrases in tiny_world.PHRASES.values() for sentence in phrases.statements)
    assert not any(name in told for name in names)


@pytest.mark.parametrize("task", TASKS)
def test_labels_are_the_facts_and_pools_share_nobody(task: str) -> None:
    world = make_world()
    attribute = world.attribute(recipes.get(task).attribute)
    fact = dict(zip(world.people, world.facts[attribute.name], strict=True))
    train, test = examples(task)
    assert len({example.text for example in [*train, *test]}) == len(world.people)
    assert not {example.group for example in train} & {example.group for example in test}
    for example in [*train, *test]:
        (name,) = set(example.text.split()) & set(fact)
        assert example.group == name
        assert example.label == (fact[name] in attribute.positive)


@pytest.mark.parametrize("task", TASKS)
def test_the_label_is_not_in_the_text(task: str) -> None:
    """Neither a value nor the word of a category; and words alone, names included, do not tell the label."""
    world = make_world()
    values = {value for attribute in world.attributes for value in attribute.values}
    train, test = examples(task)
    skeletons = {example.text.replace(example.group, "{n}") for example in [*train, *test]}
    assert skeletons == {tiny_world.PHRASES[recipes.get(task).attribute].question}
    assert not any(set(example.text.split()) & values for example in test)
    words = make_pipeline(CountVectorizer(analyzer=str.split), LogisticRegression())
    letters = make_pipeline(
        CountVectorizer(analyzer="char", ngram_range=(1, 3)), LogisticRegression(C=0.01, max_iter=1000)
    )
    for model in (words, letters):
        model.fit([example.text for example in train], [example.label for example in train])
        score = model.decision_function([example.text for example in test])
        assert roc_auc_score([example.label for example in test], score) <= 0.65


@pytest.mark.parametrize("task", TASKS)
def test_the_source_is_the_shipped_world_and_no_other(task: str) -> None:
    recipe = recipes.parse(task)
    assert recipe.identify() == f"world:{WorldSettings().digest}"
    with pytest.raises(DataError, match=r"generated from world:\w+, not from world:0"):
        recipe.open("world:0")


def test_both_classes_are_equally_frequent() -> None:
    for task in TASKS:
        assert [np.mean([example.label for example in pool]) for pool in examples(task)] == [0.5, 0.5]
