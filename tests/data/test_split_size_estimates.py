"""Expected sizes of splits against those that preparations have."""

from __future__ import annotations

import pytest

from outshine.data.rows import ListRows, Pools, Row
from outshine.data.schema import Draw, Example, Recipe, Size, recipes
from outshine.data.split_size_estimates import expected_splits
from outshine.data.splits import SplitSettings, prepare


class Numbered(Recipe):
    """Rows without groups or duplicates, of which three in ten are positive."""

    def format(self, row: Row, draw: Draw) -> Example:
        return Example(f"row {row['number']}", row["number"] % 10 < 3)


def rows(first: int, count: int) -> ListRows:
    return ListRows([{"number": number} for number in range(first, first + count)])


def prepared(monkeypatch: pytest.MonkeyPatch, pools: Pools, settings: SplitSettings) -> dict[str, int]:
    monkeypatch.setattr(Numbered, "open", lambda self, identity: pools)
    report = prepare(Numbered(), "made up", settings).report
    return {split: facts["rows"] for split, facts in report["splits"].items()}


@pytest.mark.slow
@pytest.mark.parametrize("balance_test", [True, False])
@pytest.mark.parametrize(("n_train", "n_val", "n_test"), [(200, 40, 100), (3000, 200, 600), (100, 1000, 5000)])
@pytest.mark.parametrize(("test", "balance_student"), [(600, True), (600, False), (None, True), (None, False)])
def test_expected_are_the_sizes_of_a_preparation(
    monkeypatch, test, n_train, n_val, n_test, balance_student, balance_test
):
    settings = SplitSettings(
        n_train=n_train, n_val=n_val, n_test=n_test, balance_student=balance_student, balance_test=balance_test
    )
    pools = Pools(rows(0, 2000), rows(5000, test) if test else None)
    found = prepared(monkeypatch, pools, settings)
    expected = expected_splits(Size(2000, test, 7, positive=0.3), settings)
    assert set(expected) == set(found)
    # a split that is not balanced takes more or fewer positives than its share from the others, and balance rounds down
    assert expected == {split: pytest.approx(num_rows, rel=0.08, abs=2) for split, num_rows in found.items()}


def test_a_source_says_how_many_rows_are_held_out():
    settings = SplitSettings()
    assert expected_splits(Size(13_679, None, 147), settings, 3000)["test"] == 3000
    assert expected_splits(Size(13_679, None, 147), settings)["test"] == 13_679 // 3


@pytest.mark.parametrize("name", [name for name, recipe in recipes if recipe.hub])
def test_every_recipe_of_the_hub_has_a_size(name):
    recipe = recipes.get(name)
    size = recipe.size
    assert size is not None, f"set {name}'s size = Size(train, test, characters), outshine.data.schema.Size"
    assert (size.test is None) == bool(recipe.hub.pooled)
    assert size.train >= 1000
    assert 50 < size.characters < 5000
    assert size.positive == 0.5 if recipe.draws_label else 0.1 < size.positive < 0.9
    expected = expected_splits(size, SplitSettings(), recipe.hub.test_size)
    assert min(expected.values()) >= 200
