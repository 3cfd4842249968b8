"""MultiRC: is this one of the right answers?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, binary, filled
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("multirc")
class MultiRC(PromptedRecipe):
    """One answer to a question over several sentences of a passage. Source: NAACL N18-1023."""

    VERSION = 2
    hub = Hub("aps/super_glue", "multirc", test="validation")
    size = Size(27_243, 4_848, 1_700, positive=0.44)
    title = "MultiRC"
    positive_means = "the proposed answer is right"
    source = "Khashabi et al. 2018, NAACL (N18-1023); SuperGLUE, arXiv:1905.00537"
    license = "not stated"
    note = "Rows share few passages (83 in the test split): intervals are by passage."

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields, label = filled(row, "paragraph", "question", "answer"), binary(row)
        if fields is None or label is None:
            return None
        passage, question, answer = fields
        return Example(self.write_proposed_answer(question, answer, passage), label, shorten=passage, shared=(passage,))
