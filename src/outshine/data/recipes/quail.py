"""QuAIL: is the answer right, or is there no telling?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, filled, propose
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("quail")
class Quail(PromptedRecipe):
    """One proposed answer, "not enough information" among them, to a question on a text. Source: AAAI 2020."""

    VERSION = 2
    hub = Hub("textmachinelab/quail", "quail", test="validation")
    size = Size(10_246, 2_164, 1_850)  # characters approximate
    title = "QuAIL"
    positive_means = "the proposed answer is right"
    source = "Rogers et al. 2020, AAAI 34(05), 8722-8731"
    license = "CC BY-NC-SA 4.0"
    draws_label = True
    candidate_fields = ("answers",)

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields = filled(row, "context", "question", "context_id")
        if fields is None or row.get("correct_answer_id") is None:
            return None
        passage, question, context_id = fields
        answer = propose(draw, row.get("answers") or [], right=int(row["correct_answer_id"]))
        if answer is None:
            return None
        text = self.write_proposed_answer(question, answer, passage)
        return Example(text, draw.coin(), group=context_id, shorten=passage, shared=(passage,))
