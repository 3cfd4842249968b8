"""Source rows that may be used: drawn, formatted, put into groups, and cleared of what would leak across splits.

Groups stay in one split. They are the connected components of what rows share: two rows are linked by an equal group,
or by an equal text among those that they share with others. Where a is linked to b and b to c, all three are one group.
A text on very many rows is a stock phrase and links none.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from outshine.data.rows import RowReader
from outshine.data.schema import Draw, Example, Recipe, row_id
from outshine.engine.errors import DataError
from outshine.engine.rng import numpy_rng

STOCK_SHARE = 0.05  # of the rows: a text that more of them share ...
STOCK_ROWS = 50  # ... and more rows than this is a stock phrase


class Links(NamedTuple):
    """What links a row to others. `own`: its id; `group`: a name; `texts`: compared by `normalised`."""

    own: str
    group: str | None
    texts: tuple[str, ...]

    def head(self, stock: Container[str] = ()) -> str | None:
        """What a group is named after: the `group`, else the first text that is no stock phrase; None: nothing."""
        if self.group is not None:
            return self.group
        return next((text for text in self.texts if normalised(text) and normalised(text) not in stock), None)


class GroupedRows(NamedTuple):
    """The group of each row, and the stock phrases (normalised) that linked nothing with the number of their rows."""

    names: list[str]
    stock: dict[str, int]


class UsableRow(NamedTuple):
    """A formatted row with its identities. `group`: 16 hex digits, the row's own id where it stands alone.

    `label`: the number of its class. `cut`: start and end of the part of `text` that may be shortened, in characters;
    (0, 0): none. `links`: what the row shares with others; `clean` makes `group` from it. `text_b`, `cut_b`: the second
    text of a pair.
    """

    id: str
    text: str
    label: int
    group: str
    cut: tuple[int, int]
    links: Links
    text_b: str | None = None
    cut_b: tuple[int, int] = (0, 0)

    @property
    def content(self) -> tuple[str, int]:
        """What the row shows, and its label: equal for two pairs of which one is the other the other way round."""
        if self.text_b is None:
            return self.text, self.label
        turned = self.text_b < self.text
        first, second = (self.text_b, self.text) if turned else (self.text, self.text_b)
        return f"{first}\x1f{second}", 1 - self.label if turned else self.label


class Pool(NamedTuple):
    """The usable rows of one side of the source (training or test), and how many were dropped.

    `dropped`: reason -> rows. `exhausted`: every row that may be drawn was drawn.
    `stock`: texts on so many rows of both sides that they link none, with the number of those rows.
    """

    rows: list[UsableRow]
    dropped: Counter[str]
    num_source_rows: int
    num_drawn: int
    stock: Mapping[str, int] = MappingProxyType({})
    exhausted: bool = False


def read_pool(
    recipe: Recipe, reader: RowReader, side: str, data_seed: int, num_wanted: int, limit: int | None = None
) -> Pool:
    """Draw up to `num_wanted` row numbers (seeded, without replacement) and format those rows.

    `limit`: how many may be drawn at all; None: all of them. A larger draw contains every smaller one. Rows that the
    recipe cannot use and empty texts are dropped.
    """
    num_source_rows = len(reader)
    num_allowed = num_source_rows if limit is None else min(limit, num_source_rows)
    order = numpy_rng("oversample", data_seed, side).permutation(num_source_rows)[:num_allowed]
    numbers = sorted(order[:num_wanted].tolist())
    dropped: Counter[str] = Counter()
    rows = []
    for number, source_row in zip(numbers, reader.take(numbers), strict=True):
        example = recipe.format(source_row, Draw(data_seed, f"{side}:{number}"))
        if example is None:
            dropped["not usable"] += 1
        elif not example.text.strip() or (example.text_b is not None and not example.text_b.strip()):
            dropped["empty text"] += 1
        elif example.text_b is not None and normalised(example.text) == normalised(example.text_b):
            dropped["two equal texts"] += 1
        else:
            rows.append(_usable(recipe, example))
    return Pool(rows, dropped, num_source_rows, len(numbers), exhausted=len(numbers) == num_allowed)


def clean(recipe: Recipe, train: Pool, test: Pool | None) -> tuple[Pool, Pool | None]:
    """Remove texts with both labels (everywhere), duplicate texts (test wins), and training groups that test has.

    Groups are those of the rows that are kept, found over both sides together. The result does not depend on the
    order of rows: of two equal texts in one pool, the one whose own name sorts first is kept.
    """
    both = _texts_with_both_labels([*train.rows, *(test.rows if test else [])])
    if test is not None:
        test = _keep_first(test, both, taken=set())
    train = _keep_first(train, both, taken={row.content[0] for row in test.rows} if test else set())
    rows = [*train.rows, *(test.rows if test else [])]
    names, stock = connected([row.links for row in rows], partial(_group_name, recipe))
    rows = [row._replace(group=name) for row, name in zip(rows, names, strict=True)]
    train, tested = train._replace(rows=rows[: len(train.rows)], stock=stock), rows[len(train.rows) :]
    if test is not None:
        test = test._replace(rows=tested, stock=stock)
        train = _drop_groups(train, {row.group for row in test.rows})
    return train, test


def _usable(recipe: Recipe, example: Example) -> UsableRow:
    shown = example.text if example.text_b is None else f"{example.text}\x1f{example.text_b}"
    identity = row_id(recipe.kind, shown if example.id is None else example.id)
    links = Links(identity, example.group, example.shared)
    head = links.head()
    group = identity if head is None else _group_name(recipe, head)
    cut = _cut(recipe.kind, example.text, example.shorten)
    cut_b = _cut(recipe.kind, example.text_b or "", example.shorten_b)
    return UsableRow(identity, example.text, int(example.label), group, cut, links, example.text_b, cut_b)


def _group_name(recipe: Recipe, head: str) -> str:
    """The name of a group: the same in all datasets of a family, so that they are cut alike."""
    return row_id(f"{recipe.family}/group", head)


def _cut(namespace: str, text: str, shorten: str) -> tuple[int, int]:
    if not shorten:
        return (0, 0)
    start = text.find(shorten)
    if start < 0:
        raise DataError(
            f"recipe '{namespace}' marks a part to shorten that is not in its text: {shorten[:60]!r} "
            f"is not in {text[:60]!r}"
        )
    return (start, start + len(shorten))


def _texts_with_both_labels(rows: Iterable[UsableRow]) -> set[str]:
    labels: dict[str, int] = {}
    both = set()
    for row in rows:
        text, label = row.content
        if labels.setdefault(text, label) != label:
            both.add(text)
    return both


def _keep_first(pool: Pool, both: set[str], taken: set[str]) -> Pool:
    """One row per text, none of `both`, none that is `taken` already."""
    dropped = pool.dropped.copy()
    kept: dict[str, UsableRow] = {}
    for row in sorted(pool.rows, key=lambda row: (row.group, row.id)):
        text, _ = row.content
        if text in both:
            dropped["conflicting labels"] += 1
        elif text in taken or text in kept:
            dropped["duplicate"] += 1
        else:
            kept[text] = row
    return pool._replace(rows=list(kept.values()), dropped=dropped)


def _drop_groups(pool: Pool, groups: set[str]) -> Pool:
    kept = [row for row in pool.rows if row.group not in groups]
    dropped = pool.dropped.copy()
    if len(kept) < len(pool.rows):
        dropped["group in test"] += len(pool.rows) - len(kept)
    return pool._replace(rows=kept, dropped=dropped)


# --- groups ---------------------------------------------------------------------------------------------------------


def normalised(text: str) -> str:
    """The text in Unicode's NFKC, case folded, with single spaces between words and none around."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def connected(rows: Sequence[Links], name: Callable[[str], str]) -> GroupedRows:
    """The group of each row, whatever their order: the least name in its connected component.

    `name`: makes a name of a row's `head`; the name of a row without any is its own id.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    texts = [{text for text in map(normalised, row.texts) if text} for row in rows]
    counts = Counter(text for texts_of_row in texts for text in texts_of_row)
    limit = max(STOCK_ROWS, STOCK_SHARE * len(rows))
    stock = {text: num for text, num in counts.items() if num > limit}
    numbers: dict[tuple[str, str], int] = {}
    left, right = [], []
    for i, (row, texts_of_row) in enumerate(zip(rows, texts, strict=True)):
        links = [("text", text) for text in texts_of_row if text not in stock]
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
        own_name = row.own if head is None else name(head)
        names[number] = min(names.get(number, own_name), own_name)
    return GroupedRows([names[number] for number in component], stock)
