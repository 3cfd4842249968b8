"""What `audit`, and a run before it begins, can say about splits that overlap."""

from __future__ import annotations

from functools import cache
from unittest import mock

import numpy as np
from claim import Claim

from outshine.data.audit import near_duplicates, split_overlap
from outshine.data.audit.tokenized_corpus import TokenizedCorpus, tokenise

MODULES: tuple[str, ...] = ("data/audit/split_overlap.py",)

WORDS = [a + b + c for a in "bdfgklmprst" for b in ("a", "e", "i", "o", "u") for c in ("n", "rt", "sh", "m", "x")]
LONG = "the old mill by the river has been closed for years"
NEARLY = f"{LONG} and nobody remembers why or when that was"
SHORT = "the old mill by the river"


def _corpus(
    *rows: tuple[str, str], groups: list[str] | None = None, passages: list[str] | None = None
) -> TokenizedCorpus:
    """Rows of (split, text) among rows of words of their own, ten a split."""
    rng = np.random.default_rng(0)
    splits = ("weak_train", "strong_train", "val", "test")
    filler = [(split, " ".join(rng.choice(WORDS, 12))) for split in splits for _ in range(10)]
    both = [*rows, *filler]
    texts = [f"Say: {text}\nIs it so?" for _, text in both]
    return TokenizedCorpus(
        texts=texts,
        splits=np.array([split for split, _ in both]),
        truth=np.arange(len(both)) % 2 == 0,
        groups=np.array([*(groups or map(str, range(len(rows)))), *(f"filler {i}" for i in range(len(filler)))]),
        passages=[*(passages or [""] * len(rows)), *[""] * len(filler)],
        tokens=tokenise(texts),
    )


@cache
def _all_said(corpus: str) -> list[str]:
    """Every finding's message that is no "none", for one of CORPORA."""
    made = CORPORA[corpus]()
    checks = (
        split_overlap.shared_groups,
        split_overlap.shared_passages,
        split_overlap.shared_sentences,
        split_overlap.contained_texts,
        split_overlap.exact_duplicates,
        split_overlap.near_duplicates,
    )
    found = [finding for check in checks if (finding := check(made))]
    return [finding.message for finding in found if finding.value or finding.check == "shared groups"]


CORPORA = {
    "apart": _corpus,
    "one group": lambda: _corpus(("test", "one"), ("weak_train", "other"), groups=["g", "g"]),
    "one passage": lambda: _corpus(
        ("test", "Of cats. Why?"), ("weak_train", "of  cats. Who?"), passages=["Of cats.", "of  cats."]
    ),
    "passages apart": lambda: _corpus(
        ("test", "Of cats. Why?"), ("test", "Of cats. Who?"), passages=["Of cats.", "Of cats."]
    ),
    "one sentence": lambda: _corpus(
        ("strong_train", f"{LONG}. What then, at last?"), ("weak_train", f"Who knows? {LONG}.")
    ),
    "a short one": lambda: _corpus(
        ("strong_train", f"{SHORT}. What then, at last?"), ("weak_train", f"Who knows? {SHORT}.")
    ),
    "a part": lambda: _corpus(("strong_train", SHORT), ("weak_train", f"we saw {SHORT} and went home again")),
    "no part": lambda: _corpus(("strong_train", SHORT), ("strong_train", f"we saw {SHORT} and went home again")),
    "the same": lambda: _corpus(("strong_train", "All is  well here"), ("test", "all is well, here!")),
    "nearly": lambda: _corpus(("strong_train", NEARLY + " said"), ("test", NEARLY + " told")),
    "twice in one split": lambda: _corpus(("test", NEARLY + " said"), ("test", NEARLY + " told")),
}


def said(name: str):
    return lambda: _all_said(name)


def bounded() -> list[str]:
    """The messages where the work was cut short."""
    with mock.patch.object(near_duplicates, "MAX_CANDIDATES", 0), mock.patch.object(split_overlap, "MAX_CANDIDATES", 0):
        made = CORPORA["nearly"]()
        return [split_overlap.near_duplicates(made).message, split_overlap.contained_texts(made).message]


CLAIMS: tuple[Claim, ...] = (
    Claim("each of {} groups lies in one split", said("apart"), said("one group")),
    Claim("{} of {} groups have rows in more than one split", said("one group"), said("apart")),
    Claim("whose passage rows of another split show too", said("one passage"), said("passages apart")),
    Claim(
        "that share a long sentence or their beginning with a row of another split",
        said("one sentence"),
        said("a short one"),
    ),
    Claim("that are a part of a text of another split, or have one as a part", said("a part"), said("no part")),
    Claim(
        "that are the same as a row of another split but for case, signs and spaces", said("the same"), said("nearly")
    ),
    Claim("that share {} of the word pairs with a row of another split", said("nearly"), said("twice in one split")),
    Claim(" (at least: not all were compared)", bounded, said("nearly")),
)
