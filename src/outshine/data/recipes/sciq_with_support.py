"""SciQ with its supporting text: is the proposed answer right?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, filled, propose
from outshine.data.recipes.sciq import question_and_support
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("sciq_with_support")
class SciQWithSupport(PromptedRecipe):
    """One proposed answer to a science exam question, below the text that supports it. Source: arXiv:1707.06209."""

    VERSION = 2
    family = "sciq"
    hub = Hub("allenai/sciq", pooled=("train", "validation", "test"), test_size=3000)
    size = Size(12_252, None, 624)
    title = "SciQ with support"
    positive_means = "the proposed answer is right"
    source = "Welbl et al. 2017, arXiv:1707.06209"
    license = "CC BY-NC 3.0"
    draws_label = True
    candidate_fields = ("correct_answer", "distractor1", "distractor2", "distractor3")
    note = "Rows without a supporting text (about one in ten) are left out."

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields = filled(row, "support", "question")
        if fields is None:
            return None
        support, question = fields
        answer = propose(draw, [row.get(field) for field in self.candidate_fields], right=0)
        if answer is None:
            return None
        return Example(
            self.write_proposed_answer(question, answer, support),
            draw.coin(),
            shorten=support,
            shared=question_and_support(row),
        )
