"""ETHICS, virtue: does the person show this trait?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, binary, filled
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("ethics-virtue")
class EthicsVirtue(PromptedRecipe):
    """A scenario and one character trait, shown or not. Source: arXiv:2008.02275."""

    VERSION = 2
    hub = Hub("hendrycks/ethics", "virtue")
    size = Size(28_245, 4_780, 165, positive=0.2)  # characters approximate
    title = "ETHICS, virtue"
    positive_means = "the trait is shown"
    source = "Hendrycks et al. 2021, arXiv:2008.02275"
    license = "MIT"
    note = "The test split is the authors' harder test set, a shifted distribution."

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields, label = filled(row, "scenario"), binary(row)
        if fields is None or label is None:
            return None
        scene, mark, trait = (part.strip() for part in fields[0].rpartition("[SEP]"))
        if not (mark and scene and trait):
            return None
        text = self.write(
            "Scene: {scene}\nTrait: {trait}\nDoes the person in this scene show the trait?", scene=scene, trait=trait
        )
        return Example(text, label, shared=(scene,))
