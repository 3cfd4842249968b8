"""ETHICS, justice: is the reason given a fair one?"""

from __future__ import annotations

from outshine.data.schema import Draw, Example, Hub, Recipe, Row, Size, recipes
from outshine.data.wording import binary, filled


@recipes.register("ethics-justice")
class EthicsJustice(Recipe):
    """Claims of desert and of impartial treatment, reasonable or not. Source: arXiv:2008.02275."""

    hub = Hub("hendrycks/ethics", "justice")
    size = Size(21_791, 2_052, 151, positive=0.54)
    title = "ETHICS, justice"
    positive_means = "the treatment is justified by the reason given"
    source = "Hendrycks et al. 2021, arXiv:2008.02275"
    license = "MIT"
    note = "The test split is the authors' harder test set, a shifted distribution."

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields, label = filled(row, "scenario"), binary(row)
        if fields is None or label is None:
            return None
        (scenario,) = fields
        return Example(f"Statement: {scenario}\nIs the reason given here a fair one?", label)
