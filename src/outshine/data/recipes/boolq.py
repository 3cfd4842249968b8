"""BoolQ: is the answer yes?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, binary, filled
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("boolq")
class BoolQ(PromptedRecipe):
    """Yes/no questions that people asked a search engine, with a passage that answers. Source: arXiv:1905.10044."""

    VERSION = 2
    hub = Hub("google/boolq", test="validation")
    size = Size(9_427, 3_270, 670, positive=0.62)  # characters approximate
    title = "BoolQ"
    positive_means = "the answer to the question is yes"
    source = "Clark et al. 2019, arXiv:1905.10044"
    license = "CC BY-SA 3.0"

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields, label = filled(row, "passage", "question"), binary(row, "answer")
        if fields is None or label is None:
            return None
        passage, question = fields
        text = self.write(
            "Passage: {passage}\n\nQuestion: {question}\nIs the answer to this question yes?",
            passage=passage,
            question=f"{question.rstrip('?')}?",
        )
        return Example(text, label, shorten=passage, shared=(passage, question))
