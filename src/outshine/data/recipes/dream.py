"""DREAM: what does the dialogue say?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, filled, propose
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("dream")
class Dream(PromptedRecipe):
    """One proposed answer to a question about a dialogue from an English exam. Source: arXiv:1902.00164."""

    VERSION = 2
    hub = Hub("dataset-org/dream", "plain_text")
    size = Size(6_116, 2_041, 717)
    title = "DREAM"
    positive_means = "the proposed answer is right"
    source = "Sun et al. 2019, arXiv:1902.00164"
    license = "non-commercial research"
    draws_label = True
    candidate_fields = ("choice", "answer")

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields = filled(row, "question", "answer", "dialogue_id")
        dialogue = "\n".join(row.get("dialogue") or []).strip()
        if fields is None or not dialogue:
            return None
        question, right, dialogue_id = fields
        answer = propose(draw, [right, *(row.get("choice") or [])], right=0)
        if answer is None:
            return None
        text = self.write_proposed_answer(question, answer, dialogue, heading="Dialogue")
        return Example(text, draw.coin(), group=dialogue_id, shorten=dialogue, shared=(dialogue,))
