"""Counts rows and groups of all datasets that the hub has.

    python tests/data/measure_groups.py [DATASET ...]

prints the table of docs/datasets.md. HF_ENDPOINT names the hub. Without arguments: every recipe of the hub whose rows
can be had, at default sizes.
"""

from __future__ import annotations

import sys

from outshine.data.schema import recipes
from outshine.data.splits import SplitSettings, prepare
from outshine.engine.errors import HubError

TRAINING = ("weak_train", "strong_train", "val")
HEADER = ("dataset", "training rows", "groups", "largest", "left out: group in test", "test rows", "groups", "largest")


def line(name: str) -> str:
    """One row of the table. Raises HubError where the rows cannot be had."""
    recipe = recipes.get(name)()
    report = prepare(recipe, recipe.identify(), SplitSettings()).report
    training, test = [report["splits"][split] for split in TRAINING], report["splits"]["test"]
    figures = [
        *(sum(split[key] for split in training) for key in ("rows", "num_groups")),
        max(split["largest_group"] for split in training),
        report["dropped"]["train"].get("group in test", 0),
        *(test[key] for key in ("rows", "num_groups", "largest_group")),
    ]
    return f"| `{name}` | {' | '.join(f'{figure:,}' for figure in figures)} |"


def main(names: list[str]) -> None:
    """Print the table, and the datasets that are not at this hub."""
    sys.stdout.write(f"| {' | '.join(HEADER)} |\n|{' --- |' * len(HEADER)}\n")
    missing = []
    for name in names:
        try:
            sys.stdout.write(f"{line(name)}\n")
        except HubError:
            missing.append(name)
    if missing:
        sys.stdout.write(f"\nNot at this hub: {', '.join(missing)}.\n")


if __name__ == "__main__":
    main(sys.argv[1:] or [name for name, cls in recipes if cls.hub is not None])
