"""WiC: is the word used in the same sense twice?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, binary, filled
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("wic")
class WiC(PromptedRecipe):
    """One word in two sentences, in the same sense or not. Source: arXiv:1808.09121."""

    VERSION = 2
    hub = Hub("aps/super_glue", "wic", test="validation")
    size = Size(4_918, 638, 174)  # train: 5,428 rows less those that share a sentence with test, also by way of others
    title = "WiC"
    positive_means = "the word has the same sense in both sentences"
    source = "Pilehvar and Camacho-Collados 2019, arXiv:1808.09121; SuperGLUE, arXiv:1905.00537"
    license = "CC BY-NC 4.0"

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields, label = filled(row, "word", "sentence1", "sentence2"), binary(row)
        if fields is None or label is None:
            return None
        word, first, second = fields
        text = self.write(
            "First sentence: {first}\nSecond sentence: {second}\n"
            'Does the word "{word}" have the same meaning in both sentences?',
            first=first,
            second=second,
            word=word,
        )
        return Example(text, label, shared=(first, second))
