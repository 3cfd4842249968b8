"""Cosmos QA: what can be read between the lines?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, filled, propose
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes

NONE_OF_THE_ABOVE = "none of the above choices"


@recipes.register("cosmos_qa")
class CosmosQA(PromptedRecipe):
    """One proposed answer to a question on causes and effects in a blog text. Source: arXiv:1909.00277.

    "None of the above choices ." is right or wrong in a share of its own: shown, it would give the label
    away. So it is never a distractor, and rows where it is right are left out.
    """

    VERSION = 2
    hub = Hub("allenai/cosmos_qa", test="validation")
    size = Size(23_000, 2_726, 512)  # train approximate: 25,262 rows less those left out
    title = "Cosmos QA"
    positive_means = "the proposed answer is right"
    source = "Huang et al. 2019, arXiv:1909.00277"
    license = "CC BY 4.0"
    note = 'Rows whose right answer is "None of the above choices ." are left out; it is never a distractor.'
    draws_label = True
    candidate_fields = ("answer0", "answer1", "answer2", "answer3")

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields = filled(row, "context", "question")
        if fields is None or row.get("label") not in (0, 1, 2, 3):
            return None
        passage, question = fields
        options = ["" if is_none_of_the_above(row.get(field)) else row[field] for field in self.candidate_fields]
        answer = propose(draw, options, right=int(row["label"]))
        if answer is None:
            return None
        return Example(
            self.write_proposed_answer(question, answer, passage), draw.coin(), shorten=passage, shared=(passage,)
        )


def is_none_of_the_above(answer: str | None) -> bool:
    """Whether an answer says that no answer is right, however it is spaced and dotted."""
    return (answer or "").lower().strip(" .") == NONE_OF_THE_ABOVE
