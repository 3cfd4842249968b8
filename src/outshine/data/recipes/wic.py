"""WiC: is the word used in the same sense twice?"""

from __future__ import annotations

from outshine.data.schema import Draw, Example, Hub, Recipe, Row, Size, recipes
from outshine.data.wording import binary, filled


@recipes.register("wic")
class WiC(Recipe):
    """One word in two sentences, in the same sense or not. Source: arXiv:1808.09121."""

    hub = Hub("aps/super_glue", "wic", test="validation")
    size = Size(5_428, 638, 174)
    title = "WiC"
    positive_means = "the word has the same sense in both sentences"
    source = "Pilehvar and Camacho-Collados 2019, arXiv:1808.09121; SuperGLUE, arXiv:1905.00537"
    license = "CC BY-NC 4.0"

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields, label = filled(row, "word", "sentence1", "sentence2"), binary(row)
        if fields is None or label is None:
            return None
        word, first, second = fields
        text = (
            f"First sentence: {first}\nSecond sentence: {second}\n"
            f'Does the word "{word}" have the same meaning in both sentences?'
        )
        return Example(text, label)
