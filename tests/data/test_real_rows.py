"""Every recipe over the hub's real rows, where a copy of them lies beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from outshine.data.rows import Hub, ParquetRows, Pools
from outshine.data.schema import Draw, recipes
from outshine.data.split_size_estimates import expected_splits
from outshine.data.splits import SplitSettings, prepare

HUB_RECIPES = [name for name, cls in recipes if cls.hub is not None]
UNUSABLE = {"cosmos_qa": 0.12, "sciq_with_support": 0.12}  # "none of the above"; no supporting text


def shards(folder: Path, hub: Hub, splits: tuple[str, ...]) -> list[Path]:
    paths = [sorted((folder / hub.repo / hub.config / split).glob("*.parquet")) for split in splits]
    if not all(paths):
        pytest.skip(f"{hub.repo} ({hub.config}) is not among the real rows")
    return [path for files in paths for path in files]


@pytest.mark.slow
@pytest.mark.hub
@pytest.mark.parametrize("name", HUB_RECIPES)
def test_formats_and_prepares_all_real_rows(name: str, real_datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipes.get(name)()
    hub = recipe.hub
    assert hub is not None
    if hub.pooled:
        pools = Pools(ParquetRows(shards(real_datasets, hub, hub.pooled)), None, hub.test_size)
    else:
        train, test = (ParquetRows(shards(real_datasets, hub, (split,))) for split in (hub.train, hub.test))
        pools = Pools(train, test)
    characters, usable = [], []
    for reader in filter(None, (pools.train, pools.test)):
        rows = reader.take(range(len(reader)))
        examples = [recipe.format(row, Draw(0, number)) for number, row in enumerate(rows)]
        num_unusable = examples.count(None)
        assert num_unusable <= UNUSABLE.get(name, 0.001) * len(rows)
        share = sum(example.label for example in examples if example) / (len(rows) - num_unusable)
        assert 0.2 < share < 0.8
        characters += [len(example.text) for example in examples if example]
        usable.append(len(rows) - num_unusable)
    size = recipe.size
    assert size is not None
    assert size.characters == pytest.approx(sum(characters) / len(characters), rel=0.1)

    monkeypatch.setattr(type(recipe), "open", lambda self, identity: pools)
    prepared = prepare(recipe, "real rows", SplitSettings())
    assert prepared.texts["text"].is_unique
    assert (prepared.texts.groupby("group")["split"].nunique() == 1).all()
    for summary in prepared.report["splits"].values():
        assert summary["positive_share"] == 0.5
        assert summary["rows"] >= 100
    # what a plan expects of as many rows, without those of groups that test has; it knows nothing of duplicates
    num_left = usable[0] - prepared.report["dropped"]["train"].get("group in test", 0)
    here = size._replace(train=num_left, test=usable[1] if len(usable) > 1 else None)
    expected = expected_splits(here, SplitSettings(), hub.test_size)
    found = {split: summary["rows"] for split, summary in prepared.report["splits"].items()}
    assert found == {split: pytest.approx(rows, rel=0.1) for split, rows in expected.items()}
