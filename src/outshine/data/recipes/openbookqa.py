"""OpenBookQA: is the proposed answer right?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, filled, propose
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("openbookqa")
class OpenBookQA(PromptedRecipe):
    """One proposed answer, always by its text, to an elementary science question. Source: arXiv:1809.02789.

    Shown by its letter when right and by its text when wrong, as is easily done by mistake, the answer's
    form would give the label away.
    """

    VERSION = 2
    hub = Hub("allenai/openbookqa", "main")
    size = Size(4_957, 500, 133)
    title = "OpenBookQA"
    positive_means = "the proposed answer is right"
    source = "Mihaylov et al. 2018, arXiv:1809.02789"
    license = "not stated"
    draws_label = True
    candidate_fields = ("choices.text",)

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields = filled(row, "question_stem", "answerKey")
        choices = row.get("choices")
        if fields is None or not choices or fields[1] not in choices["label"]:
            return None
        question, key = fields
        answer = propose(draw, choices["text"], right=list(choices["label"]).index(key))
        if answer is None:
            return None
        return Example(self.write_proposed_answer(question, answer), draw.coin(), shared=(question,))
