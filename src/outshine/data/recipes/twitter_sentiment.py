"""Twitter sentiment: is the tweet a positive one?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, binary, filled
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("twitter-sentiment")
class TwitterSentiment(PromptedRecipe):
    """Tweets, positive or negative. Source: the hub's EleutherAI/twitter-sentiment."""

    hub = Hub("EleutherAI/twitter-sentiment")
    size = Size(1_500_000, 10_000, 105)  # approximate
    title = "Twitter sentiment"
    positive_means = "the sentiment is positive"
    source = "EleutherAI/twitter-sentiment on the hub"
    license = "not stated"

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields, label = filled(row, "text"), binary(row)
        if fields is None or label is None:
            return None
        (tweet,) = fields
        return Example(self.write("Tweet: {tweet}\nIs this tweet positive?", tweet=tweet), label, shorten=tweet)
