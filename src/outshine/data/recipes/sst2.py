"""SST-2: is the film review a positive one?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, binary, filled
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("sst2")
class Sst2(PromptedRecipe):
    """Sentences and phrases of film reviews. Source: Socher et al. 2013."""

    hub = Hub("stanfordnlp/sst2", test="validation")
    size = Size(67_349, 872, 92, positive=0.51)  # of test; .56 of train, which has rows to spare
    title = "SST-2"
    positive_means = "the sentiment is positive"
    source = "Socher et al. 2013, EMNLP (D13-1170)"
    license = "not stated"
    note = (
        "Training rows are also phrases cut from sentences, one often a part of another, also across splits; "
        "test rows are whole sentences."
    )

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields, label = filled(row, "sentence"), binary(row)
        if fields is None or label is None:
            return None
        (sentence,) = fields
        text = self.write("Film review: {sentence}\nIs this review positive?", sentence=sentence)
        return Example(text, label, shorten=sentence)
