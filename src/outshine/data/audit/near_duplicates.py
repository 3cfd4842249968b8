"""Near duplicates among many texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from outshine.data.audit.corpus import Corpus, Ints, tokenise
from outshine.data.audit.overlap import similar_pairs

_WORD = re.compile(r"\w+")


class TextGroups(NamedTuple):
    """`cluster` [n]: texts with equal numbers are alike. `complete`: no pair can have been missed."""

    cluster: Ints
    complete: bool


def group_near_duplicates(texts: Sequence[str]) -> TextGroups:
    """Clusters of texts that are the same but for case, signs and spaces, or share SIMILAR of their word pairs.

    Likeness is carried on: where a is like b and b like c, all three are one cluster (single linkage). Nearly the same
    is what `outshine.data.audit.overlap` calls so. Texts without any word are compared as they are.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    content = [" ".join(_WORD.findall(text.lower())) or text.strip() for text in texts]
    distinct, which = np.unique(np.array(content, dtype=object).astype(str), return_inverse=True)
    if len(distinct) < 2:
        return TextGroups(np.zeros(len(texts), dtype=np.int64), True)
    names = np.arange(len(distinct)).astype(str)
    corpus = Corpus(  # each text is a split of its own, so that all pairs are compared
        texts=distinct.tolist(),
        splits=names,
        truth=np.zeros(len(distinct), dtype=bool),
        groups=names,
        passages=[""] * len(distinct),
        tokens=tokenise(distinct.tolist()),
    )
    pairs, complete = similar_pairs(corpus)
    links = coo_array((np.ones(len(pairs.left)), (pairs.left, pairs.right)), shape=(len(distinct), len(distinct)))
    cluster = connected_components(links, directed=False)[1]
    return TextGroups(np.asarray(cluster[which], dtype=np.int64), complete)
