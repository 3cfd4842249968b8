"""ETHICS, justice: is the reason given a fair one?"""

from __future__ import annotations

import re

from outshine.data.prompted_recipe import PromptedRecipe, binary, filled
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes

OPENING = 10  # words at the beginning of a statement that are too many to be alike by chance
_CONJUNCTION = re.compile(r"(?<=\w)\W+(?:because|since|but|although)\b", re.IGNORECASE)
_REASON = re.compile(r"\b(?:because|since)\b", re.IGNORECASE)


@recipes.register("ethics-justice")
class EthicsJustice(PromptedRecipe):
    """Claims of desert and of impartial treatment, reasonable or not. Source: arXiv:2008.02275."""

    VERSION = 2
    hub = Hub("hendrycks/ethics", "justice")
    size = Size(21_791, 2_052, 151, positive=0.54)
    title = "ETHICS, justice"
    positive_means = "the treatment is justified by the reason given"
    source = "Hendrycks et al. 2021, arXiv:2008.02275"
    license = "MIT"
    note = "The test split is the authors' harder test set, a shifted distribution."

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields, label = filled(row, "scenario"), binary(row)
        if fields is None or label is None:
            return None
        (scenario,) = fields
        text = self.write("Statement: {scenario}\nIs the reason given here a fair one?", scenario=scenario)
        return Example(text, label, shared=stems(scenario))


def stems(statement: str) -> tuple[str, ...]:
    """What statements that were written as variants of one another have in common.

    The source varies the reason for one claim ("I usually ..., but today I didn't because ..."), the claim for one
    reason ("I deserve ... because I am ..."), or the end of a statement without a reason. So: the words before the
    first conjunction, those after "because" or "since", and the first ten words.
    """
    words = statement.split()
    claim = _CONJUNCTION.split(statement, maxsplit=1)[0]
    reason = _REASON.split(statement, maxsplit=1)[1:]
    opening = [" ".join(words[:OPENING])] if len(words) > OPENING else []
    return tuple(part.strip(" ,;.") for part in (claim, *reason, *opening))
