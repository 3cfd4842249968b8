"""Rule (c): both texts of a row must have one skeleton."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from outshine.data.audit.template_leaks import BLOCK_ROWS, BLOCKS, check_templates, compare, leaves, sample_rows
from outshine.data.rows import ListRows, Pools
from outshine.data.schema import Draw, Example, Recipe, recipes
from outshine.testing.recipes import sample_rows as samples_of

DRAWING = [name for name, cls in recipes if cls.hub is not None and cls.draws_label]
ROW = {"question": "which?", "right": "the cat", "wrong": "a dog", "key": "C", "number": 7}


class Asks(Recipe):
    """A recipe of a test, with whatever answer it is given."""

    draws_label: ClassVar[bool] = True
    candidate_fields: ClassVar[tuple[str, ...]] = ("right", "wrong")

    def answer(self, row: Any, right: bool) -> str | None:
        return row["right"] if right else row["wrong"]

    def format(self, row: Any, draw: Draw) -> Example | None:
        answer = self.answer(row, draw.coin())
        return None if answer is None else Example(f"{row['question']} {answer}!", draw.coin())


def pools(*rows: Any) -> Pools:
    return Pools(ListRows(rows), None)


def with_each_prompt(name: str) -> list[dict[str, str]]:
    prompts = ["default", "none"] if "prompt" in recipes.get(name).model_fields else []
    return [{"kind": name, "prompt": prompt} for prompt in prompts] or [{"kind": name}]


@pytest.mark.parametrize("written", [written for name in DRAWING for written in with_each_prompt(name)], ids=str)
def test_every_recipe_that_draws_its_label_has_one_skeleton(written):
    recipe = recipes.parse(written)
    finding = check_templates(recipe, pools(*samples_of(recipe)))
    assert finding.severity == "passed"
    assert finding.value == 0.0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda row, right: row["key"] if right else row["wrong"], "'<key>' in positives where negatives have '<candidate>'"),
        (lambda row, right: f"{row['number']}" if right else row["wrong"], "'<number>' in positives"),
        (lambda row, right: (row["right"] if right else row["wrong"]) + ("." if right else ""), "'.' in positives where negatives have nothing"),
        (lambda row, right: f"{row['right'] if right else row['wrong']} A: {'yes' if right else 'no'}", "'yes' in positives where negatives have 'no'"),
        (lambda row, right: row["right"] if right else None, "left out as a negative one"),
        (lambda row, right: None if right else row["wrong"], "left out as a positive one"),
    ],
)  # fmt: skip
def test_what_is_written_differently_is_named(answer, reason):
    class Leaky(Asks):
        def answer(self, row: Any, right: bool) -> str | None:
            return answer(row, right)

    found = compare(Leaky(), 0, ROW)
    assert found is not None
    assert reason in found.reason
    finding = check_templates(Leaky(), pools(*[ROW] * 50))
    assert finding.severity == "leak"
    assert finding.value == 1.0
    assert finding.examples


def test_a_recipe_that_does_not_ask_the_coin_is_found():
    class Deaf(Asks):
        def format(self, row: Any, draw: Draw) -> Example | None:
            return Example(f"{row['question']} {row['right']}", label=True)

    found = compare(Deaf(), 0, ROW)
    assert found is not None
    assert "draw.coin()" in found.reason


def test_the_second_text_of_a_pair_is_looked_at_too():
    class OfPairs(Asks):
        def format(self, row: Any, draw: Draw) -> Example | None:
            end = "" if draw.coin() else " (the better one)"
            return Example(row["question"], draw.coin(), text_b=row["question"] + end)

    found = compare(OfPairs(), 0, ROW)
    assert found is not None
    assert "(the better one)" in found.reason


def test_a_group_that_knows_the_label_is_found():
    class Grouped(Asks):
        def format(self, row: Any, draw: Draw) -> Example | None:
            shown = super().format(row, draw)
            return shown and shown._replace(group=str(draw.coin()))

    found = compare(Grouped(), 0, ROW)
    assert found is not None
    assert "group" in found.reason

    class Sharing(Asks):
        def format(self, row: Any, draw: Draw) -> Example | None:
            shown = super().format(row, draw)
            return shown and shown._replace(shared=(shown.text,))

    found = compare(Sharing(), 0, ROW)
    assert found is not None
    assert "group" in found.reason


@pytest.mark.parametrize(
    "row",
    [
        {**ROW, "right": "C"},  # the candidate is spelled like the key
        {**ROW, "right": "a", "wrong": "which"},  # parts of other fields and of the prompt
        {**ROW, "right": "the cat and a dog"},  # one candidate within the other
        {**ROW, "right": "7", "wrong": "77"},
        {**ROW, "right": " the cat ", "wrong": "which?"},
    ],
)
def test_coincidences_between_fields_are_no_difference(row):
    class Stripped(Asks):
        def answer(self, row: Any, right: bool) -> str:
            return (row["right"] if right else row["wrong"]).strip()

    assert compare(Stripped(), 0, row) is None


def test_a_part_of_a_candidate_field_may_be_shown():
    class LastWord(Asks):
        def answer(self, row: Any, right: bool) -> str:
            return row["right" if right else "wrong"].split()[-1]

    assert compare(LastWord(), 0, ROW) is None
    assert compare(LastWord(), 0, {**ROW, "right": "the cat", "wrong": "the cart"}) is None


def test_a_rare_mismatch_is_a_cue():
    class Rare(Asks):
        def answer(self, row: Any, right: bool) -> str:
            return row["key"] if right and row["number"] == 0 else super().answer(row, right) or ""

    finding = check_templates(Rare(), pools(*({**ROW, "number": i} for i in range(300))))
    assert finding.severity == "cue"
    assert finding.value == pytest.approx(1 / 300)


def test_leaves_are_all_values_by_path():
    row = {"a": " x ", "b": {"c": ["y", "z"], "d": None}, "e": 3, "f": "", "g": True}
    assert list(leaves(row)) == [("a", "x"), ("b.c", "y"), ("b.c", "z"), ("e", "3"), ("g", "True")]


def test_the_sample_is_spread_over_the_rows_and_bounded():
    rows = sample_rows(pools(*range(100_000)))
    numbers = [number for number, _ in rows]
    assert len(numbers) == BLOCKS * BLOCK_ROWS
    assert (numbers[0], numbers[-1]) == (0, 100_000 - 1)
    assert all(number == row for number, row in rows)
    assert len(sample_rows(pools(*range(700)))) == 700
