"""What the pages say of comparisons is what the present code gives."""

from __future__ import annotations

import math
import re

import pytest
import yaml
from doc_pages import ROOT

from outshine.stats.power_analysis import detectable, least_num_datasets, tail_level
from outshine.w2s.fewest_datasets import cannot_show

STATISTICS = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
FLOOR = re.compile(r"^\| (\d+) \| (\d+) \| (one|two) \| (cannot be found|[\d.]+) \| ?([\d.]*) ?\|$", re.MULTILINE)


def plain(page: str) -> str:
    """A page's text on one line."""
    return " ".join((ROOT / page).read_text(encoding="utf-8").split())


@pytest.mark.parametrize("page", ["docs/results.md", "docs/negative.md"])
def test_pages_claim_no_comparison_over_two_datasets(page: str) -> None:
    assert cannot_show(2, 1)
    assert re.search(
        r"two datasets (`outshine compare` could not|cannot) show a difference[^.]*, however large", plain(page)
    )
    assert "noise floor for" not in plain(page)


def test_the_page_of_results_shows_the_preset() -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    shown = re.search(r"```yaml\n# minilm-mpnet\.yaml\n(.*?)```", page, flags=re.DOTALL)
    assert shown is not None
    preset = (ROOT / "src/outshine/w2s/presets/minilm-mpnet.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(shown[1]) == yaml.safe_load(preset)


def test_the_numbers_of_datasets_that_it_takes() -> None:
    assert f"datasets: {least_num_datasets(tail_level(1))} for one method, " in STATISTICS
    assert f"{least_num_datasets(tail_level(12))} for twelve" in STATISTICS


def test_every_floor_of_the_table_is_that_of_the_code_and_was_found_with_its_power() -> None:
    rows = FLOOR.findall(STATISTICS)
    assert len(rows) == 13
    for num_datasets, num_methods, sides, floor, power in rows:
        tail = tail_level(int(num_methods), two_sided=sides == "two")
        found = detectable(1.0, int(num_datasets), tail)
        if floor == "cannot be found":
            assert math.isinf(found)
        else:
            assert float(floor) == pytest.approx(found, abs=6e-4)
            assert float(power) == pytest.approx(0.8, abs=0.03)
