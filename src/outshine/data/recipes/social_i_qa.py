"""Social IQa: how do people feel, and what will they do?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, filled, propose
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("social_i_qa")
class SocialIQa(PromptedRecipe):
    """One proposed answer to a question about a social situation. Source: arXiv:1904.09728."""

    VERSION = 2
    hub = Hub("allenai/social_i_qa", test="validation")
    size = Size(33_410, 1_954, 215)  # characters approximate
    title = "Social IQa"
    positive_means = "the proposed answer is right"
    source = "Sap et al. 2019, arXiv:1904.09728"
    license = "not stated"
    draws_label = True
    candidate_fields = ("answerA", "answerB", "answerC")

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields = filled(row, "context", "question", "label")
        if fields is None or fields[2] not in ("1", "2", "3"):
            return None
        situation, question, number = fields
        answer = propose(draw, [row.get("answerA"), row.get("answerB"), row.get("answerC")], right=int(number) - 1)
        if answer is None:
            return None
        text = self.write_proposed_answer(question, answer, situation, heading="Situation")
        return Example(text, draw.coin(), shorten=situation, shared=(situation,))
