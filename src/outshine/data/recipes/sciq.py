"""SciQ: is the proposed answer right?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, filled, long_sentences, propose
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes

OWN_WORDS = 8  # words from which a sentence of a textbook is taken for one text's own


@recipes.register("sciq")
class SciQ(PromptedRecipe):
    """One proposed answer to a science exam question, without the supporting text. Source: arXiv:1707.06209.

    Questions whose supporting texts have a sentence in common lie in one split, though it is not shown.
    """

    VERSION = 2
    hub = Hub("allenai/sciq", pooled=("train", "validation", "test"), test_size=3000)
    size = Size(13_679, None, 147)
    title = "SciQ"
    positive_means = "the proposed answer is right"
    source = "Welbl et al. 2017, arXiv:1707.06209"
    license = "CC BY-NC 3.0"
    draws_label = True
    candidate_fields = ("correct_answer", "distractor1", "distractor2", "distractor3")

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields = filled(row, "question")
        if fields is None:
            return None
        (question,) = fields
        answer = propose(draw, [row.get(field) for field in self.candidate_fields], right=0)
        if answer is None:
            return None
        text = self.write_proposed_answer(question, answer)
        return Example(text, draw.coin(), shared=question_and_support(row))


def question_and_support(row: Row) -> tuple[str, ...]:
    """What rows can have in common: the question, the supporting text and its long sentences."""
    support = (row.get("support") or "").strip()
    return (row["question"].strip(), *filter(None, [support]), *long_sentences(support, OWN_WORDS))
