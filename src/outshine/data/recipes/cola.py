"""CoLA: is the sentence grammatical?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, binary, filled
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("cola")
class Cola(PromptedRecipe):
    """Acceptability judgements from the linguistics literature. Source: arXiv:1805.12471."""

    hub = Hub("nyu-mll/glue", "cola", test="validation")
    size = Size(8_551, 1_043, 94, positive=0.70)
    title = "CoLA"
    positive_means = "the sentence is acceptable English"
    source = "Warstadt et al. 2019, arXiv:1805.12471"
    license = "not stated"

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields, label = filled(row, "sentence"), binary(row)
        if fields is None or label is None:
            return None
        (sentence,) = fields
        text = self.write("Sentence: {sentence}\nIs this sentence grammatically acceptable?", sentence=sentence)
        return Example(text, label, shorten=sentence)
