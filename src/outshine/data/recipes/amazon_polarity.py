"""Amazon polarity: is the product review a positive one?"""

from __future__ import annotations

from outshine.data.prompted_recipe import PromptedRecipe, binary, filled
from outshine.data.rows import Hub, Row
from outshine.data.schema import Draw, Example, Size, recipes


@recipes.register("amazon_polarity")
class AmazonPolarity(PromptedRecipe):
    """Reviews of four or five stars against one or two. Source: arXiv:1509.01626."""

    VERSION = 2
    hub = Hub("fancyzhx/amazon_polarity", "amazon_polarity")
    size = Size(3_600_000, 400_000, 486)
    title = "Amazon polarity"
    positive_means = "the review is positive (4 or 5 stars)"
    source = "Zhang, Zhao and LeCun 2015, arXiv:1509.01626"
    license = "Apache 2.0"
    note = "3.6 million training rows: a seeded sample of row numbers is drawn before formatting."

    def format(self, row: Row, draw: Draw) -> Example | None:
        fields, label = filled(row, "content"), binary(row)
        if fields is None or label is None:
            return None
        (review,) = fields
        title = (row.get("title") or "").strip()
        fields = {"title": title} if title else {}
        heading = "Title: {title}\n" if title else ""
        text = self.write(heading + "Product review: {review}\nIs this review positive?", **fields, review=review)
        return Example(text, label, shorten=review, shared=(review,))
