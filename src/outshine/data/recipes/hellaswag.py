"""HellaSwag: is this how the scene goes on?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, filled, long_sentences, propose
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes

OWN_WORDS = 5  # words from which a sentence is taken for one scene's own


@recipes.register("hellaswag")
class HellaSwag(PromptedRecipe):
    """One proposed ending of a scene; the wrong ones were written by a model. Source: arXiv:1905.07830.

    Scenes of one film follow each other: the real ending of one is a sentence of the next one's beginning. So all
    rows of a film or an article (`source_id`) lie in one split; in copies that lack it, rows that share a sentence.
    """

    VERSION = 2
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
        scene, right = fields[0], int(fields[1])
        endings = row.get("endings") or []
        ending = propose(draw, endings, right)
        if ending is None:
            return None
        text = self.write(
            "Beginning: {scene}\n\nProposed ending: {ending}\nIs this how the scene goes on?",
            scene=scene,
            ending=ending,
        )
        film = row.get("source_id") or None
        known = () if film else long_sentences(f"{scene} {endings[right]}", OWN_WORDS)
        return Example(text, draw.coin(), group=film, shorten=scene, shared=(scene, *known))
