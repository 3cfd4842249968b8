"""Anthropic HH as pairs: which of two replies did people prefer?"""

from __future__ import annotations

from typing import ClassVar

from outshine.data.prompted_recipe import filled
from outshine.data.recipes.anthropic_hh import TURN, AnthropicHH, split_turns
from outshine.data.rows import Row
from outshine.data.schema import Draw, Example, Recipe, Size, recipes
from outshine.data.task import Pairwise, Task


@recipes.register("anthropic_hh_pairs")
class AnthropicHHPairs(Recipe):
    """A conversation with both of its endings, of which people chose one. Source: arXiv:2204.05862.

    Which of the two is the first is drawn. Rows of `anthropic_hh` are made of the same conversations.
    """

    family = "anthropic_hh"
    task: ClassVar[Task] = Pairwise()
    hub = AnthropicHH.hub
    size = Size(160_000, 8_500, 1_800)  # approximate, characters of both texts
    source = AnthropicHH.source
    license = AnthropicHH.license
    note = AnthropicHH.note
    draws_label = True
    candidate_fields = AnthropicHH.candidate_fields
    title = "Anthropic HH, pairs"
    positive_means = "the first ending is the preferred one"

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields = filled(row, "chosen", "rejected")
        parts = split_turns(*fields) if fields else None
        if parts is None:
            return None
        prompt, *endings = parts
        first, second = endings if draw.coin() else reversed(endings)
        texts = [f"{prompt}{TURN} {ending}" for ending in (first, second)]
        return Example(
            text=texts[0],
            label=draw.coin(),
            shorten=prompt,
            shared=(prompt.split(TURN, 1)[0],),
            text_b=texts[1],
            shorten_b=prompt,
        )

    @classmethod
    def sample_row(cls, number: int) -> Row:
        return AnthropicHH.sample_row(number)
