"""The page of samples: every dataset, its licence, rows as the recipe makes them."""

from __future__ import annotations

import re

import pytest
from doc_pages import blocks
from doc_samples import CARDS, LONGEST, PAGE, cut, formatted, page, picked, sections

from outshine.data.schema import recipes
from outshine.testing.recipes import sample_rows

HUB_RECIPES = [(name, cls()) for name, cls in recipes if cls.hub is not None]


def test_every_dataset_has_a_section() -> None:
    assert list(sections()) == [name for name, _ in HUB_RECIPES]


@pytest.mark.parametrize(("name", "recipe"), HUB_RECIPES, ids=[name for name, _ in HUB_RECIPES])
def test_a_section_says_what_the_recipe_says_and_shows_its_form(name: str, recipe) -> None:
    section = sections()[name]
    assert f"Licence: {recipe.license}" in section
    assert recipe.positive_means in section
    assert recipe.source in section
    assert "Audit: " in section
    shown = re.findall(r"^\*(positive|negative)\*\n\n```markdown\n(.*?)\n```$", section, flags=re.DOTALL | re.MULTILINE)
    assert shown
    if recipe.task.is_pair:  # its texts end in answers
        return
    question = next(formatted(recipe, sample_rows(recipe, 8))).text.splitlines()[-1]
    quoted = re.compile(r'"[^"]*"')  # WiC's question names the word
    assert all(quoted.sub("", text.splitlines()[-1]) == quoted.sub("", question) for _, text in shown)


def test_texts_are_not_longer_than_the_page_says() -> None:
    texts = [block.text for block in blocks(PAGE, "markdown")]
    assert len(texts) >= 2 * len(HUB_RECIPES) - 3  # cards show one class of three datasets
    assert all(len(text) <= LONGEST + len(" […] \n") for text in texts)


def test_rows_from_cards_become_examples() -> None:
    for name, rows in CARDS.items():
        assert picked(recipes.get(name)(), rows), name


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    assert cut("a" * LONGEST) == "a" * LONGEST
    assert cut("a" * 1000 + "b" * 1000) == "a" * (LONGEST // 2) + " […] " + "b" * (LONGEST // 2)


def test_the_page_is_up_to_date() -> None:
    """All sections where real rows lie beside the checkout; elsewhere those that need none."""
    assert PAGE.read_text(encoding="utf-8") == page(), "run python tests/docs/doc_samples.py"
