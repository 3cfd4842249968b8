"""HellaSwag: is this how the scene goes on?"""

from __future__ import annotations

from outshine.data.schema import Draw, Example, Hub, Recipe, Row, Size, recipes
from outshine.data.wording import filled, propose


@recipes.register("hellaswag")
class HellaSwag(Recipe):
    """One proposed ending of a scene; the wrong ones were written by a model. Source: arXiv:1905.07830."""

    hub = Hub("Rowan/hellaswag", test="validation")
    size = Size(39_905, 10_042, 404)
    title = "HellaSwag"
    positive_means = "the proposed ending is the real one"
    source = "Zellers et al. 2019, arXiv:1905.07830"
    license = "MIT"
    draws_label = True
    candidate_fields = ("endings",)

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields = filled(row, "ctx", "label")
        if fields is None or not fields[1].isdecimal():
            return None
        scene = fields[0]
        ending = propose(draw, row.get("endings") or [], right=int(fields[1]))
        if ending is None:
            return None
        text = f"Beginning: {scene}\n\nProposed ending: {ending}\nIs this how the scene goes on?"
        return Example(text, draw.coin(), group=scene, shorten=scene)
