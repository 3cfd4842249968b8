"""MC-TACO: is the answer plausible in time?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, binary, filled
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("mc_taco")
class McTaco(PromptedRecipe):
    """Temporal common sense: duration, order, frequency of what a sentence tells. Source: arXiv:1909.03065."""

    VERSION = 2
    hub = Hub("CogComp/mc_taco", "plain_text", train="test", test="validation")
    size = Size(9_442, 3_783, 225, positive=0.34)
    title = "MC-TACO"
    positive_means = "the answer is plausible"
    source = "Zhou et al. 2019, arXiv:1909.03065"
    license = "not stated"
    note = "Trained on the authors' test split, which is the bigger one, and tested on their validation split."

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields, label = filled(row, "sentence", "question", "answer"), binary(row)
        if fields is None or label is None:
            return None
        sentence, question, answer = fields
        text = self.write(
            "{sentence}\n\nQuestion: {question}\nProposed answer: {answer}\nIs the proposed answer plausible?",
            sentence=sentence,
            question=question,
            answer=answer,
        )
        return Example(text, label, shorten=sentence, shared=(sentence,))
