"""PAWS: do two sentences of nearly the same words mean the same?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, binary, filled
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("paws")
class Paws(PromptedRecipe):
    """Paraphrases from word scrambling, high in word overlap either way. Source: arXiv:1904.01130.

    A sentence is in several pairs, and what is known of two pairs can fix the label of a third (a paraphrase of a
    paraphrase is one): pairs that are linked by sentences lie in one split.
    """

    VERSION = 2
    hub = Hub("google-research-datasets/paws", "labeled_final")
    size = Size(49_401, 8_000, 300, positive=0.44)  # characters approximate
    title = "PAWS"
    positive_means = "the sentences are paraphrases"
    source = "Zhang et al. 2019, arXiv:1904.01130"
    license = "free for any purpose, with acknowledgement"

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields, label = filled(row, "sentence1", "sentence2"), binary(row)
        if fields is None or label is None:
            return None
        first, second = fields
        text = self.write(
            "First sentence: {first}\nSecond sentence: {second}\nDo the two sentences mean the same?",
            first=first,
            second=second,
        )
        return Example(text, label, shared=(first, second))
