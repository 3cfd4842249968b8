"""Anthropic HH: is this the reply that people preferred?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, filled
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes

TURN = "\n\nAssistant:"  # how the dataset marks a turn of the assistant


@recipes.register("anthropic_hh")
class AnthropicHH(PromptedRecipe):
    """A conversation with one of two endings, the one people chose or the other. Source: arXiv:2204.05862.

    The source holds one conversation at several depths, each with two endings. All that begin with the same first
    turn lie in one split: a deeper one shows which ending of a shorter one people had chosen.
    """

    VERSION = 2
    hub = Hub("Anthropic/hh-rlhf")
    size = Size(160_000, 8_500, 900)  # approximate
    title = "Anthropic HH"
    positive_means = "the ending shown is the preferred one"
    source = "Bai et al. 2022, arXiv:2204.05862"
    license = "MIT"
    note = "Preferences are single judgements of crowd workers: the best possible score is far from 1."
    draws_label = True
    candidate_fields = ("chosen", "rejected")

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields = filled(row, "chosen", "rejected")
        parts = split_turns(*fields) if fields else None
        if parts is None:
            return None
        prompt, chosen, rejected = parts
        ending = chosen if draw.coin() else rejected
        text = self.write(
            "{conversation}\n\nOf two ways to end this conversation, is this the better one?",
            conversation=f"{prompt}{TURN} {ending}",
        )
        return Example(text, draw.coin(), shorten=prompt, shared=(prompt.split(TURN, 1)[0],))


def split_turns(chosen: str, rejected: str) -> tuple[str, str, str] | None:
    """The shared prompt and the two endings: cut at the last turn of the assistant that both have in common.

    None for malformed rows: no such turn, an empty prompt or ending, or two equal endings.
    """
    pairs = enumerate(zip(chosen, rejected, strict=False))
    shared = next((at for at, (left, right) in pairs if left != right), min(len(chosen), len(rejected)))
    cut = chosen.rfind(TURN, 0, shared)
    if cut < 0:
        return None
    prompt = chosen[:cut].strip()
    endings = [conversation[cut + len(TURN) :].strip() for conversation in (chosen, rejected)]
    if not prompt or not all(endings) or endings[0] == endings[1]:
        return None
    return prompt, endings[0], endings[1]
