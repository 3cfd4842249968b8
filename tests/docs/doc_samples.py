"""docs/samples.md: two rows of every dataset as a model reads them, and what its audit found.

`python tests/docs/doc_samples.py` writes the page anew. Real rows are read from a copy of the hub beside the checkout; where it
is not there, sections made from real rows stay as they are. Other rows are from dataset cards (`CARDS`), or made up.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from doc_pages import ROOT
from hub_places import REAL_HUB

from outshine.data.rows import ParquetRows, Row
from outshine.data.schema import Draw, Example, Recipe, recipes
from outshine.testing.recipes import sample_rows

PAGE = ROOT / "docs" / "samples.md"
LONGEST = 500  # characters of a shown text; the middle goes
SEARCHED = 400  # rows of the training pool among which samples are looked for

HEAD = """# Samples and findings

Two rows of each dataset, one of either class, as a model reads them, and what the [audit](audit.md) found. Rows are not chosen by hand: of the first
400 rows of the training pool those are taken whose text has the smallest hash, among the texts of at most 500 characters where there
are any; longer ones are cut in the middle (`[…]`). The texts belong to their authors and stand under the licences named; some are unpleasant.

*format* and *last tokens* are AUCs of classifiers that see form alone: near .5, the label cannot be had from form. *bag of words* is the AUC of a
classifier on single words: high where words suffice, as in reviews. All are measured on held-out rows, with 95 % bounds; the sizes and the
other checks are [on the audit's page](audit.md).
"""

CARDS: dict[str, list[dict[str, Any]]] = {
    "boolq": [
        {
            "passage": '"All biomass goes through at least some of these steps: it needs to be grown, collected, dried, fermented, '
            "distilled, and burned...",
            "question": "does ethanol take more energy make that produces",
            "answer": False,
        }
    ],
    "paws": [
        {
            "sentence1": "Although interchangeable, the body pieces on the 2 cars are not similar.",
            "sentence2": "Although similar, the body parts are not interchangeable on the 2 cars.",
            "label": 0,
        },
        {
            "sentence1": "Katz was born in Sweden in 1947 and moved to New York City at the age of 1.",
            "sentence2": "Katz was born in 1947 in Sweden and moved to New York at the age of one.",
            "label": 1,
        },
    ],
    "piqa": [
        {
            "goal": "How do I ready a guinea pig cage for it's new occupants?",
            "sol1": "Provide the guinea pig with a cage full of a few inches of bedding made of ripped paper strips, you will also "
            "need to supply it with a water bottle and a food dish.",
            "sol2": "Provide the guinea pig with a cage full of a few inches of bedding made of ripped jeans material, you will also "
            "need to supply it with a water bottle and a food dish.",
            "label": 0,
        }
    ],
    "quail": [
        {
            "context": '"That fall came and I went back to Michigan and the school year went by and summer came and I never really '
            "thought about it. I'm...",
            "context_id": "f001",
            "question": "After the events in the text what does the author think about the cousin?",
            "answers": [
                "the cousin is not friendly",
                "the cousin could have been pretier",
                "not enough information",
                "the cousin was too nice",
            ],
            "correct_answer_id": 0,
        }
    ],
    "quartz": [
        {
            "para": "Electrons at lower energy levels, which are closer to the nucleus, have less energy.",
            "question": "Electrons further away from a nucleus have _____ energy levels than close ones.",
            "choices": {"label": ["A", "B"], "text": ["higher", "lower"]},
            "answerKey": "A",
        }
    ],
    "social_i_qa": [
        {
            "context": "Sydney walked past a homeless woman asking for change but did not have any money they could give to her. "
            "Sydney felt bad afterwards.",
            "question": "How would you describe Sydney?",
            "answerA": "sympathetic",
            "answerB": "like a person who was unable to help",
            "answerC": "incredulous",
            "label": "1",
        }
    ],
}
"""Rows that the datasets' cards show, for datasets whose rows were not at hand."""


FROM_CARD = "From the dataset's card, whose long texts end in dots."
MADE_UP = "**Made-up rows** of the dataset's form: no real one was at hand."


class Shown(NamedTuple):
    """The samples of a dataset, by label, and where their rows are from."""

    examples: dict[bool, str]
    origin: str


def real_rows(recipe: Recipe) -> list[Row]:
    """The first rows of the training pool, where they lie beside the checkout."""
    assert recipe.hub is not None
    split = recipe.hub.pooled[0] if recipe.hub.pooled else recipe.hub.train
    files = sorted((REAL_HUB / "datasets" / recipe.hub.repo / recipe.hub.config / split).glob("*.parquet"))
    pool = ParquetRows(files) if files else None
    return pool.take(range(min(SEARCHED, len(pool)))) if pool else []


def samples(recipe: Recipe) -> Shown:
    """Real rows where there are any, else those of the card, else made-up ones."""
    if rows := real_rows(recipe):
        return Shown(picked(recipe, rows), "")
    if recipe.kind in CARDS:
        return Shown(picked(recipe, CARDS[recipe.kind]), FROM_CARD)
    return Shown(picked(recipe, sample_rows(recipe, 40)), MADE_UP)


def picked(recipe: Recipe, rows: list[Row]) -> dict[bool, str]:
    """A text of each label: short ones first, then by hash."""
    found: dict[bool, str] = {}
    for example in sorted(formatted(recipe, rows), key=lambda one: (len(one.text) > LONGEST, _hash(one.text))):
        found.setdefault(example.label, cut(example.text))
    return found


def formatted(recipe: Recipe, rows: list[Row]) -> Iterator[Example]:
    """All examples; a row that shows a candidate becomes one of each class."""
    for number, row in enumerate(rows):
        for coin in (True, False) if recipe.draws_label else (None,):
            example = recipe.format(row, Draw(0, number, coin))
            if example is not None:
                yield example


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def cut(text: str) -> str:
    """A text of at most about LONGEST characters: its beginning and its end."""
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half].rstrip()} […] {text[-half:].lstrip()}"


def findings() -> dict[str, str]:
    """The row of each dataset in the table of measurements of docs/audit.md, in words."""
    text = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    found, names = {}, []
    for line in text.partition("Planted in the same real rows")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[:2] == ["dataset", "rows"]:
            names = cells
        elif len(cells) == len(names) and re.fullmatch(r"[\d,]+", cells[1]):
            row = dict(zip(names, cells, strict=True))
            shown = ", ".join(f"{check} {row[check]}" for check in ("format", "last tokens", "bag of words"))
            verdict = "see the audit's page" if "**" in line else "no leak, no warning"
            found[cells[0]] = f"{verdict} ({row['rows']} rows): {shown}"
    return found


def section(name: str, recipe: Recipe, audited: dict[str, str]) -> str:
    """A dataset's part of the page."""
    shown = samples(recipe)
    licence = recipe.license if recipe.license != "not stated" else "not stated; see its card"
    parts = [
        f"## {name}",
        f"{recipe.title}. Positive means: {recipe.positive_means}. Licence: {licence}. {recipe.source}.",
        f"Audit: {audited.get(name, 'not measured here; every run audits it')}.",
        *([shown.origin] if shown.origin else []),
    ]
    for label, word in ((True, "positive"), (False, "negative")):
        if label in shown.examples:
            parts.append(f"*{word}*\n\n```markdown\n{shown.examples[label]}\n```")
    return "\n\n".join(parts)


def sections() -> dict[str, str]:
    """The sections of the page as it is, by dataset."""
    parts = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0]: f"## {part}".rstrip("\n") for part in parts}


def page() -> str:
    """The whole page."""
    audited, before = findings(), sections() if PAGE.exists() else {}
    made = []
    for name, cls in recipes:
        if cls.hub is not None:
            kept = before.get(name, MADE_UP)
            keep = not real_rows(cls()) and FROM_CARD not in kept and MADE_UP not in kept
            made.append((kept if keep else section(name, cls(), audited)) + "\n")
    return "\n".join([HEAD, *made])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
