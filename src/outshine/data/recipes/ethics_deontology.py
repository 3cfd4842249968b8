"""ETHICS, deontology: does the excuse or the duty hold?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, binary, filled
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("ethics-deontology")
class EthicsDeontology(PromptedRecipe):
    """Excuses from a request, and duties of a role, reasonable or not. Source: arXiv:2008.02275."""

    VERSION = 2
    hub = Hub("hendrycks/ethics", "deontology")
    size = Size(18_164, 3_536, 146, positive=0.54)
    title = "ETHICS, deontology"
    positive_means = "the excuse or duty is reasonable"
    source = "Hendrycks et al. 2021, arXiv:2008.02275"
    license = "MIT"
    note = "The test split is the authors' harder test set, a shifted distribution."

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields, label = filled(row, "scenario", "excuse"), binary(row)
        if fields is None or label is None:
            return None
        scenario, excuse = fields
        text = self.write(
            "Situation: {scenario}\nReply: {excuse}\nIs this a reasonable thing to reply?",
            scenario=scenario,
            excuse=excuse,
        )
        return Example(text, label, shared=(scenario,))
