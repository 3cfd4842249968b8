"""ANLI, round 2: does the hypothesis follow from the premise?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, filled
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("anli-r2")
class AnliR2(PromptedRecipe):
    """Entailment against neutral and contradiction, on pairs written to fool a model. Source: arXiv:1910.14599."""

    VERSION = 2
    hub = Hub("facebook/anli", "plain_text", train="train_r2", test="test_r2")
    size = Size(45_460, 1_000, 450, positive=0.32)
    title = "ANLI, round 2"
    positive_means = "the premise entails the hypothesis"
    source = "Nie et al. 2020, arXiv:1910.14599"
    license = "CC BY-NC 4.0"

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields = filled(row, "premise", "hypothesis")
        if fields is None or row.get("label") not in (0, 1, 2):
            return None
        premise, hypothesis = fields
        text = self.write(
            "Premise: {premise}\n\nHypothesis: {hypothesis}\nDoes the hypothesis follow from the premise?",
            premise=premise,
            hypothesis=hypothesis,
        )
        return Example(text, label=row["label"] == 0, shorten=premise, shared=(premise,))
