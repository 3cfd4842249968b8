"""QuaRTz: what follows from a qualitative relation?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, filled, propose
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("quartz")
class Quartz(PromptedRecipe):
    """One of two answers that a sentence of background knowledge decides. Source: arXiv:1909.03553."""

    VERSION = 2
    hub = Hub("allenai/quartz")
    size = Size(2_696, 784, 330)  # characters approximate
    title = "QuaRTz"
    positive_means = "the proposed answer is right"
    source = "Tafjord et al. 2019, arXiv:1909.03553"
    license = "CC BY 4.0"
    draws_label = True
    candidate_fields = ("choices.text",)

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields = filled(row, "para", "question", "answerKey")
        choices = row.get("choices")
        if fields is None or not choices or fields[2] not in choices["label"]:
            return None
        background, question, key = fields
        answer = propose(draw, choices["text"], right=list(choices["label"]).index(key))
        if answer is None:
            return None
        text = self.write_proposed_answer(question, answer, background, heading="Background")
        return Example(text, draw.coin(), shorten=background, shared=(background, question))
