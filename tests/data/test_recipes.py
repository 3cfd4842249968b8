"""Every dataset with made-up rows keeps what every dataset keeps: `outshine.testing.recipes` has the demands in words.

A new recipe is found by itself. `python tests/data/test_recipes.py` records the digests of recipes that are new or have
another VERSION.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outshine.data.schema import Draw, Example, Recipe, recipes
from outshine.testing import RECIPE_DEMANDS, check_recipe
from outshine.testing import recipes as demands
from outshine.testing.demands import Demand, sentence
from outshine.testing.recipes import sample_examples, sample_rows

GOLDEN = Path(__file__).with_name("golden_recipes.json")
NAMES = [name for name, cls in recipes if cls.sample_row(0)]
BUILT_IN = [name for name, cls in recipes if cls.hub is not None and cls.__module__.startswith("outshine.")]


def recipe_of(name: str) -> Recipe:
    return recipes.get(name)()


@pytest.mark.parametrize("demand", RECIPE_DEMANDS, ids=lambda demand: demand.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_every_registered_dataset_keeps(name: str, demand: Demand) -> None:
    demand(recipe_of(name))


@pytest.mark.parametrize("name", BUILT_IN)
def test_those_of_the_hub_make_up_rows_and_name_their_source(name: str) -> None:
    recipe = recipe_of(name)
    assert name in NAMES
    assert recipe.name == recipe.kind == name
    assert (type(recipe).__doc__ or "").count("Source: ") == 1
    assert recipe.model_dump() == {"kind": name}


# --- skeletons, found in another way than the product finds them -------------------------------------------------


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a row with its field's path, list positions left out."""
    if isinstance(value, str):
        yield value.strip(), path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)


def candidates_of(recipe: Recipe, row: dict[str, Any]) -> list[str]:
    """The candidates, and what is left of each without the words that all of them begin with."""
    values = [value for value, path in leaves(row) if path in recipe.candidate_fields]
    begin = 0 if len(values) < 2 else next(i for i, signs in enumerate(zip(*values)) if len(set(signs)) > 1)  # noqa: B905
    return [*values, *(value[begin:] for value in values)]


def skeleton(recipe: Recipe, row: dict[str, Any], coin: bool) -> str:
    """The formatted row with every field's value replaced by the field's path, candidates by one name."""
    example = recipe.format(row, Draw(0, 0, coin))
    assert example is not None
    assert example.label is coin
    text = example.text
    fields = [(value, f"<{path}>") for value, path in leaves(row) if path not in recipe.candidate_fields]
    fields += [(value, "<candidate>") for value in candidates_of(recipe, row)]
    for value, field in sorted(fields, key=lambda pair: -len(pair[0])):
        if len(value) > 1:  # a letter such as an answer's key would hit anywhere
            text = text.replace(value, field)
    return text


@pytest.mark.parametrize("name", [name for name in NAMES if recipe_of(name).draws_label])
def test_positives_and_negatives_have_one_skeleton(name: str) -> None:
    recipe = recipe_of(name)
    for row in sample_rows(recipe, 24):
        if recipe.format(row, Draw(0, 0, True)) is recipe.format(row, Draw(0, 0, False)) is None:
            continue
        heads, tails = (skeleton(recipe, row, coin) for coin in (True, False))
        assert heads == tails
        assert "<candidate>" in heads


def test_the_skeleton_test_finds_a_planted_leak() -> None:
    """The answer's letter for positives and its text for negatives, as a careless OpenBookQA would have it."""

    class Leaky(Recipe):
        candidate_fields = ("choices.text",)

        def format(self, row: Any, draw: Draw) -> Any:
            example = recipe_of("openbookqa").format(row, draw)
            if example is None or not draw.coin():
                return example
            right = row["choices"]["text"][row["choices"]["label"].index(row["answerKey"])]
            return example._replace(text=example.text.replace(right, row["answerKey"]))

    row = sample_rows(recipe_of("openbookqa"), 1)[0]
    assert skeleton(Leaky(), row, True) != skeleton(Leaky(), row, False)


# --- recipes that break a demand -------------------------------------------------------------------------------------


class Correct(Recipe):
    """A review and its rating, two rows of one product. Source: made up."""

    title, positive_means, source, license = "Reviews", "it is good", "made up", "CC0"

    def format(self, row: Any, draw: Draw) -> Example | None:
        if not (row["text"] or "").strip() or not (row["product"] or "").strip() or row["label"] not in (0, 1):
            return None
        text = f"{row['product']}\n{row['text']}\nIs this good?"
        return Example(text, row["label"] == 1, shared=(row["product"],))

    @classmethod
    def sample_row(cls, number: int) -> dict[str, Any]:
        return {"text": f"Review {number}.", "product": f"Product number {number // 3}.", "label": number % 2}


class Alone(Correct):
    def format(self, row: Any, draw: Draw) -> Example | None:
        example = super().format(row, draw)
        return example and example._replace(shared=())


class Tells(Correct):
    def format(self, row: Any, draw: Draw) -> Example | None:
        example = super().format(row, draw)
        return example and example._replace(text=f"{'Yes' if example.label else 'No'}, {example.text}")


class TwoQuestions(Correct):
    def format(self, row: Any, draw: Draw) -> Example | None:
        example = super().format(row, draw)
        return example and example._replace(text=f"{example.text[:-1]}, {row['text']}?")


class Coin(Correct):
    def format(self, row: Any, draw: Draw) -> Example | None:
        example = super().format(row, draw)
        return example and example._replace(label=draw.coin())


class Guesses(Correct):
    def format(self, row: Any, draw: Draw) -> Example | None:
        return super().format({**row, "label": int(row["label"] == 1)}, draw)


class Halves(Correct):
    def format(self, row: Any, draw: Draw) -> Example | None:
        return super().format({**row, "text": row["text"] or " "}, draw) or Example(
            f"Review: {row['text'] or ''}\nIs this good?", True
        )


class Nameless(Correct):
    license = ""


WRONG: dict[type[Recipe], tuple[Demand, str]] = {
    Alone: (demands.what_rows_show_in_common_is_shared, "Two rows show 'Product number 0.'"),
    Tells: (demands.the_text_does_not_know_the_label, "With another 'label' label and text are others"),
    TwoQuestions: (demands.texts_end_in_one_question, "240 different last lines"),
    Coin: (demands.the_text_does_not_know_the_label, "The coin decides"),
    Guesses: (demands.rows_without_a_label_are_left_out, "With the label -1 it became an example"),
    Halves: (demands.rows_that_lack_a_field_are_left_out, "a part of the text is empty"),
    Nameless: (demands.it_says_what_it_is, "Not given: license"),
}


def test_a_correct_recipe_passes() -> None:
    check_recipe(Correct())


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_recipe_is_told_which_demand_it_breaks(wrong: type[Recipe]) -> None:
    demand, observation = WRONG[wrong]
    with pytest.raises(AssertionError) as caught:
        check_recipe(wrong())
    (line,) = (line for line in str(caught.value).splitlines() if sentence(demand) in line)
    assert observation in line


# --- digests ---------------------------------------------------------------------------------------------------------


def golden_digest(name: str) -> str:
    """Of the made-up rows formatted under both coins, with all that they share."""
    examples = [example for coin in (True, False) for example in sample_examples(recipe_of(name), coin)]
    rows = [[*example[:5], *example.shared] if example else None for example in examples]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def test_no_recorded_dataset_is_gone() -> None:
    assert set(BUILT_IN) >= set(json.loads(GOLDEN.read_text()))


@pytest.mark.parametrize("name", BUILT_IN)
def test_formatted_rows_change_only_with_the_version(name: str) -> None:
    """After a change on purpose bump the recipe's VERSION, then run this file as a script to record the digest."""
    recorded, version = json.loads(GOLDEN.read_text()).get(name, {}), recipe_of(name).VERSION
    same_version = recorded.get("version") == version
    remedy = "rows changed: bump VERSION, then" if same_version else "new, or another VERSION:"
    assert recorded == {"version": version, "digest": golden_digest(name)}, f"{remedy} run python {__file__}"


def record_digests() -> None:
    """Write the digests of recipes that are new or have another VERSION; the others stay."""
    recorded = json.loads(GOLDEN.read_text())
    for name in BUILT_IN:
        if recorded.get(name, {}).get("version") != recipe_of(name).VERSION:
            recorded[name] = {"version": recipe_of(name).VERSION, "digest": golden_digest(name)}
    GOLDEN.write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    record_digests()
