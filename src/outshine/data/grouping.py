"""Groups of rows that stay in one split: the connected components of what rows share.

Two rows are linked by an equal group, or by an equal text among those that they share with others. Links carry on:
where a is linked to b and b to c, all three are one group. A text on very many rows is a stock phrase and links none.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Container, Sequence
from typing import NamedTuple

import numpy as np

STOCK_SHARE = 0.05  # of the rows: a text that more of them share ...
STOCK_ROWS = 50  # ... and more rows than this is a stock phrase


class Links(NamedTuple):
    """What links a row to others. `own`: its id; `group`: a name; `texts`: compared by `normalised`."""

    own: str
    group: str | None
    texts: tuple[str, ...]

    def head(self, stock: Container[str] = ()) -> str | None:
        """What a row's group is called after: its name, else the first text that is no stock phrase; None: neither."""
        if self.group is not None:
            return self.group
        return next((text for text in self.texts if normalised(text) and normalised(text) not in stock), None)


class Grouped(NamedTuple):
    """The group of each row, and the stock phrases (normalised) that linked nothing with the number of their rows."""

    names: list[str]
    stock: dict[str, int]


def normalised(text: str) -> str:
    """The text in Unicode's NFKC, case folded, with single spaces between words and none around."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def connected(rows: Sequence[Links], name: Callable[[str], str]) -> Grouped:
    """The group of each row, whatever their order: the least name of its connected component.

    `name`: makes a name of a row's `head`; rows without any are called by their own id.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    texts = [{text for text in map(normalised, row.texts) if text} for row in rows]
    counts = Counter(text for found in texts for text in found)
    limit = max(STOCK_ROWS, STOCK_SHARE * len(rows))
    stock = {text: num for text, num in counts.items() if num > limit}
    numbers: dict[tuple[str, str], int] = {}
    left, right = [], []
    for i, (row, found) in enumerate(zip(rows, texts, strict=True)):
        links = [("text", text) for text in found if text not in stock]
        links += [] if row.group is None else [("group", row.group)]
        for link in links:
            left.append(i)
            right.append(len(rows) + numbers.setdefault(link, len(numbers)))
    size = len(rows) + len(numbers)
    links_of = coo_array((np.ones(len(left)), (left, right)), shape=(size, size))
    component = connected_components(links_of, directed=False)[1][: len(rows)].tolist()
    names: dict[int, str] = {}
    for number, row in zip(component, rows, strict=True):
        head = row.head(stock)
        called = row.own if head is None else name(head)
        names[number] = min(names.get(number, called), called)
    return Grouped([names[number] for number in component], stock)
