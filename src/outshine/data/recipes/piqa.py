"""PIQA: does the solution reach the goal?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, filled, propose
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("piqa")
class Piqa(PromptedRecipe):
    """One of two solutions to an everyday physical goal. Source: arXiv:1911.11641."""

    VERSION = 2
    hub = Hub("ybisk/piqa", "plain_text", test="validation")
    size = Size(16_113, 1_838, 205)  # characters approximate
    title = "PIQA"
    positive_means = "the proposed solution is right"
    source = "Bisk et al. 2020, arXiv:1911.11641"
    license = "not stated"
    draws_label = True
    candidate_fields = ("sol1", "sol2")

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields = filled(row, "goal")
        if fields is None or row.get("label") not in (0, 1):
            return None
        (goal,) = fields
        solution = propose(draw, [row.get("sol1"), row.get("sol2")], right=int(row["label"]))
        if solution is None:
            return None
        text = self.write(
            "Goal: {goal}\nProposed solution: {solution}\nIs this a good way to reach the goal?",
            goal=goal,
            solution=solution,
        )
        return Example(text, draw.coin(), shared=(goal, row["sol1"], row["sol2"]))
