"""Recipes with planted leaks, made-up rows for them, and small corpora."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

from outshine.data.audit.tokenized_corpus import TokenizedCorpus, corpus_of
from outshine.data.recipes.ethics_justice import EthicsJustice
from outshine.data.recipes.openbookqa import OpenBookQA
from outshine.data.recipes.sciq import SciQ
from outshine.data.rows import Hub, ListRows, ParquetRows, Pools, Row
from outshine.data.schema import Draw, Example, Recipe
from outshine.data.splits import SPLITS, PreparedSplits, SplitSettings, prepare

SIZES = SplitSettings(n_train=1200, n_val=200, n_test=600)
WORDS = [a + b + c for a in "bdfgklmprst" for b in ("a", "e", "i", "o", "u", "ou") for c in ("n", "rt", "sh", "m", "x")]


class LetterOrText(OpenBookQA):
    """The right answer shown by its letter, a wrong one by its text: the leak of the original study."""

    def format(self, row: Row, draw: Draw) -> Example | None:
        shown = super().format(row, draw)
        if shown is None or not draw.coin():
            return shown
        return shown._replace(text=self.write_proposed_answer(row["question_stem"].strip(), row["answerKey"]))


class LetterOrTextUndeclared(LetterOrText):
    """The same by a recipe that does not say that it draws the label: found by (a) and (b) alone."""

    draws_label: ClassVar[bool] = False


class SpelledAtTheEnd(EthicsJustice):
    """The prompt spells the label: "A: yes"."""

    def format(self, row: Row, draw: Draw) -> Example | None:
        shown = super().format(row, draw)
        return shown and shown._replace(text=f"{shown.text}\nA: {'yes' if shown.label else 'no'}")


class SpelledBeforeTheQuestion(EthicsJustice):
    """The label in the middle, below the statement, and the same question below all."""

    def format(self, row: Row, draw: Draw) -> Example | None:
        shown = super().format(row, draw)
        return shown and shown._replace(text=shown.text.replace("\nIs", f"\nA: {'yes' if shown.label else 'no'}\nIs"))


class SpelledAtTheBeginning(EthicsJustice):
    """The label above the statement."""

    def format(self, row: Row, draw: Draw) -> Example | None:
        shown = super().format(row, draw)
        return shown and shown._replace(text=f"A: {'yes' if shown.label else 'no'}\n{shown.text}")


class DoubleSpace(SciQ):
    """A second space before right answers, which no tokenizer of words sees."""

    draws_label: ClassVar[bool] = False

    def format(self, row: Row, draw: Draw) -> Example | None:
        shown = super().format(row, draw)
        return shown and shown._replace(text=shown.text.replace("answer: ", "answer:  " if shown.label else "answer: "))


class AQuarterMarked(SciQ):
    """One right answer in four begins with the same word: far too few for any AUC to notice."""

    draws_label: ClassVar[bool] = False

    def format(self, row: Row, draw: Draw) -> Example | None:
        shown = super().format(row, draw)
        if shown is None or not shown.label or draw.choice(range(4)):
            return shown
        return shown._replace(text=shown.text.replace("answer: ", "answer: Right, "))


def made_rows(repo: str, num_rows: int, seed: int) -> list[dict[str, Any]]:
    """Rows of the hub's schema whose words are drawn at random: nothing tells right from wrong."""
    rng = random.Random(seed)

    def words(least: int, most: int) -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(least, most)))

    def openbookqa() -> dict[str, Any]:
        texts = [words(1, 6) for _ in range(4)]
        return {
            "question_stem": words(6, 14),
            "choices": {"text": texts, "label": list("ABCD")},
            "answerKey": rng.choice("ABCD"),
        }

    def justice() -> dict[str, Any]:
        return {"scenario": f"I deserve {words(3, 9)} because {words(3, 9)}.", "label": rng.randrange(2)}

    def sciq() -> dict[str, Any]:
        names = ("correct_answer", "distractor1", "distractor2", "distractor3")
        return {"question": f"{words(6, 16)}?", "support": words(20, 40), **{name: words(1, 3) for name in names}}

    make = {"allenai/openbookqa": openbookqa, "hendrycks/ethics": justice, "allenai/sciq": sciq}[repo]
    return [make() for _ in range(num_rows)]


def made_pools(recipe: Recipe) -> Pools:
    """Random rows for a recipe of the sorts above."""
    hub = hub_of(recipe)
    train = ListRows(made_rows(hub.repo, 2000, seed=0))
    if hub.pooled:
        return Pools(train, None, 600)
    return Pools(train, ListRows(made_rows(hub.repo, 800, seed=1)))


def real_pools(recipe: Recipe, folder: Path) -> Pools:
    """The real rows beside the checkout; skips where this dataset is not among them."""
    hub = hub_of(recipe)

    def rows(*splits: str) -> ParquetRows:
        paths = [sorted((folder / hub.repo / hub.config / split).glob("*.parquet")) for split in splits]
        if not all(paths):
            pytest.skip(f"{hub.repo} ({hub.config}) is not among the real rows")
        return ParquetRows([path for found in paths for path in found])

    return Pools(rows(*hub.pooled), None, 600) if hub.pooled else Pools(rows(hub.train), rows(hub.test))


def prepared_from(recipe: Recipe, pools: Pools, monkeypatch: pytest.MonkeyPatch) -> PreparedSplits:
    """The recipe over these rows, wherever its own rows lie."""
    monkeypatch.setattr(type(recipe), "open", lambda self, identity: pools)
    return prepare(recipe, "rows of a test", SIZES)


def hub_of(recipe: Recipe) -> Hub:
    assert recipe.hub is not None
    return recipe.hub


def small_corpus(
    rows: Sequence[tuple[str, str, bool]], groups: Sequence[str] | None = None, passages: Sequence[str] | None = None
) -> TokenizedCorpus:
    """A corpus of (split, text, label) rows, in this order."""
    ids = [f"{i:016x}" for i in range(len(rows))]
    cuts = [(0, 0)] * len(rows)
    if passages is not None:
        cuts = [(row[1].index(p), row[1].index(p) + len(p)) for row, p in zip(rows, passages, strict=True)]
    texts = pd.DataFrame(
        {
            "id": ids,
            "split": [split for split, _, _ in rows],
            "text": [text for _, text, _ in rows],
            "group": list(groups) if groups is not None else ids,
            "cut_start": [start for start, _ in cuts],
            "cut_end": [end for _, end in cuts],
        }
    )
    return corpus_of(texts, pd.DataFrame({"id": ids, "label": [int(label) for _, _, label in rows]}))


def random_corpus(num_rows: int = 800, seed: int = 0) -> list[tuple[str, str, bool]]:
    """Rows of random words in all four splits, labels by coin: nothing is to be found in them."""
    rng = random.Random(seed)
    return [
        (
            SPLITS[i % 4],
            f"Say: {' '.join(rng.choices(WORDS, k=rng.randint(3, 12)))}\nIs it so?",
            rng.random() < 0.5,
        )
        for i in range(num_rows)
    ]
