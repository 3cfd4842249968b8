"""What `audit` can say."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import pandas as pd
from claim import Claim
from marks import MARKS, OPENERS
from planted import WORDS, random_corpus, small_corpus

from outshine.cli.audit import verdicts
from outshine.data.audit.audit import _of_worst_class, class_balance, class_shares, long_texts, pair_length
from outshine.data.audit.feature_pairs import _remainders
from outshine.data.audit.findings import Finding, Severity
from outshine.data.audit.label_tokens import check_label_tokens, find_label_tokens
from outshine.data.audit.shallow_classifiers import (
    answer_only,
    bag_of_words,
    characters,
    format_tree,
    last_tokens,
    length,
    normalisation,
    pairs_of_marks,
)
from outshine.data.audit.template_leaks import check_templates
from outshine.data.audit.tokenized_corpus import TokenizedCorpus, corpora_of
from outshine.data.rows import ListRows, Pools
from outshine.data.schema import Draw, Example, Recipe
from outshine.data.splits import PreparedSplits
from outshine.data.task import task_of

MODULES: tuple[str, ...] = (
    "data/audit/audit.py",
    "data/audit/text_features.py",
    "data/audit/tokenized_corpus.py",
    "data/audit/shallow_classifiers.py",
    "data/audit/findings.py",
    "data/audit/feature_pairs.py",
    "data/audit/template_leaks.py",
    "data/audit/label_tokens.py",
    "cli/audit.py",
)

Printed = Callable[[], list[str]]


@cache
def corpus(mark: str = "", num_rows: int = 1200) -> TokenizedCorpus:
    """Random words with labels by coin, every row written with the mark."""
    rng = random.Random(1)
    rows = [
        (split, MARKS[mark](text.split("\n")[0], label, rng) if mark else text, label)
        for split, text, label in random_corpus(num_rows)
    ]
    return small_corpus(rows)


def says(check: Callable[..., Finding], mark: str = "", num_rows: int = 1200, **severity: Severity) -> Printed:
    """The message of one check."""
    return lambda: [check(corpus(mark, num_rows), **severity).message]


def form(check: Callable[..., Finding], mark: str = "", num_rows: int = 1200) -> Printed:
    return says(check, mark, num_rows, severity="leak")


def names_of_telling(mark: str) -> list[str]:
    return [mark.name for mark in find_label_tokens(corpus(mark))]


# --- rules of one or two marks: the sentence names the variable that was chosen ------------------------------


def by_rule(write: Callable[[str, bool, random.Random], str]) -> Printed:
    """The rule that is found in random words of which one class is written in eight ways and the other in eight more."""

    def printed() -> list[str]:
        rng = random.Random(2)
        rows = [(split, write(text.split("\n")[0], label, rng), label) for split, text, label in random_corpus(1600)]
        return [pairs_of_marks(small_corpus(rows), "leak").message]

    return cache(printed)


def wording(label: bool, rng: random.Random) -> str:
    return rng.choice(OPENERS[label]).lower()


def words(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(6, 12)))


AT_THE_BEGINNING = by_rule(lambda text, label, rng: f"{wording(label, rng)} {words(rng)}")
AT_THE_END = by_rule(lambda text, label, rng: f"{words(rng)} {wording(label, rng)}")
IN_THE_LAST_LINE = by_rule(lambda text, label, rng: f"{words(rng)}\n{wording(label, rng)} {words(rng)}")
IN_A_NUMBER = by_rule(lambda text, label, rng: MARKS["identity number"](words(rng), label, rng))


def counted(value: Callable[[str], int]) -> Printed:
    """The names of those variables of four texts that are the values which are counted here."""
    texts = ["one two 13, a", "x\ny z 4!", "no 77 more\nlines: 5", "word"]

    def printed() -> list[str]:
        expected = [value(text) % 10 for text in texts]
        found = _remainders(small_corpus([("test", text, True) for text in texts]))
        return [one.name for one in found if one.size == 10 and one.values.tolist() == expected]

    return printed


# --- skeletons ----------------------------------------------------------------------------------------------


class Asks(Recipe):
    """A recipe of a test that shows the right or a wrong answer."""

    draws_label: ClassVar[bool] = True
    candidate_fields: ClassVar[tuple[str, ...]] = ("right", "wrong")

    def format(self, row: Any, draw: Draw) -> Example | None:
        return Example(f"{row['question']} {row['right'] if draw.coin() else row['wrong']}!", draw.coin())


class ByLetter(Asks):
    def format(self, row: Any, draw: Draw) -> Example | None:
        return Example(f"{row['question']} {row['key'] if draw.coin() else row['wrong']}!", draw.coin())


class OnlyRight(Asks):
    def format(self, row: Any, draw: Draw) -> Example | None:
        return super().format(row, draw) if draw.coin() else None


class Always(Asks):
    def format(self, row: Any, draw: Draw) -> Example | None:
        return Example(f"{row['question']} {row['right']}!", True)


class Grouped(Asks):
    def format(self, row: Any, draw: Draw) -> Example | None:
        shown = super().format(row, draw)
        return shown and shown._replace(group=str(draw.coin()))


def skeleton(recipe: type[Recipe]) -> Printed:
    row = {"question": "which?", "right": "the cat", "wrong": "a dog", "key": "C"}
    return lambda: [check_templates(recipe(), Pools(ListRows([row]), None)).message]


# --- shape, verdicts ----------------------------------------------------------------------------------------


def balance(share: float) -> Printed:
    rows = [("test", f"row {i}", i < share * 1000) for i in range(1000)]
    return lambda: [class_balance(small_corpus(rows)).message]


def of_classes(num_classes: int, most: int) -> Printed:
    """What the audit's checks say of the worst of several classes, of which `most` are told from the others."""
    rows = [
        (("weak_train", "strong_train", "val", "test")[i // num_classes % 4], f"row {i} of {WORDS[i % num_classes]}")
        for i in range(400)
    ]
    texts = pd.DataFrame({"id": [f"{i:04}" for i in range(400)], "split": [split for split, _ in rows]})
    texts = texts.assign(text=[text for _, text in rows], group=texts["id"], cut_start=0, cut_end=0)
    truth = pd.DataFrame({"id": texts["id"], "label": [i % num_classes for i in range(400)]})
    task = task_of(WORDS[:num_classes])

    def said() -> list[str]:
        corpora = corpora_of(texts, truth, task, most)
        balance = (
            class_shares(PreparedSplits(texts, truth, {}, []), task) if num_classes > 2 else class_balance(corpora[0])
        )
        return [_of_worst_class(bag_of_words, corpora, num_classes).message, balance.message]

    return said


def pairs_of(longer: bool) -> Printed:
    """What is said of the lengths of pairs, of which the better text is always the longer one, or either."""
    better = [f"text {i} {'x' * (10 + i % 7)}" for i in range(200)]
    worse = [text[:-4] if longer or i % 3 else text + "xxxx" for i, text in enumerate(better)]
    first = [i % 2 == 0 for i in range(200)]
    ids = [f"{i:04}" for i in range(200)]
    sides = [(a, b) if is_first else (b, a) for a, b, is_first in zip(better, worse, first, strict=True)]
    texts = pd.DataFrame({"id": ids, "split": ["weak_train", "test"] * 100, "group": ids})
    texts["split"] = ["weak_train" if i % 4 < 2 else "test" for i in range(200)]
    texts = texts.assign(text=[a for a, _ in sides], text_b=[b for _, b in sides])
    truth = pd.DataFrame({"id": ids, "label": [int(one) for one in first]})
    return lambda: [pair_length(PreparedSplits(texts, truth, {}, []), "leak").message]


def long_of(num_characters: int) -> Printed:
    return lambda: [long_texts(small_corpus([("test", "x" * num_characters, True)])).message]


def verdict(*severities: Severity) -> Printed:
    return lambda: verdicts({str(i): [Finding("a", severity, "")] for i, severity in enumerate(severities)})


FORM = "lengths, numbers, capitals, signs, repeated words and the last token's shape"
ODD = "white space, signs, capitals and odd characters"
TELLING = "{} is in {} of the {} rows and goes with this label in {} (at least {}) of {} held-out rows{}"
COUNTS = (
    ("the number of characters", len),
    ("the number of words", lambda text: len(text.split())),
    ("the number of words and signs", lambda text: {"o": 5, "x": 6, "n": 7, "w": 1}[text[0]]),
    ("the number of words and signs in the last line", lambda text: {"o": 5, "x": 4, "n": 3, "w": 1}[text[0]]),
    ("the sum of the digits", lambda text: sum(int(digit) for digit in text if digit.isdigit())),
)


def drawn(num_rows: int) -> Printed:
    """The check with at most 300 rows of either half."""

    def printed() -> list[str]:
        import outshine.data.audit.shallow_classifiers as module

        kept, module.MAX_ROWS = module.MAX_ROWS, 300
        try:
            return [characters(corpus("", num_rows), "leak").message]
        finally:
            module.MAX_ROWS = kept

    return printed


CLAIMS: tuple[Claim, ...] = (
    Claim("the words of the text", says(bag_of_words), says(length)),
    Claim("the words of the last line", says(answer_only), says(bag_of_words)),
    Claim("the length of the text", says(length), says(bag_of_words)),
    Claim(FORM, form(format_tree), form(characters)),
    Claim("the last two tokens", form(last_tokens), form(format_tree)),
    Claim(ODD, form(characters), form(format_tree)),
    Claim(
        "AUC {} from groups of characters, {} once case, accents, white space and look-alikes are made equal{}",
        form(normalisation),
        form(characters),
    ),
    Claim(" ({} rows drawn at random)", drawn(1200), drawn(600)),
    Claim(
        ", surely above {}: the label can be told without reading the text",
        form(characters, "tab"),
        form(characters, "a third by tabs"),
    ),
    Claim(
        "; {} held-out rows are too few to be sure that it is above {}",
        form(characters, "tab", 60),
        form(characters, "tab"),
    ),
    Claim("every split has 49 % to 51 % positives", balance(0.5), balance(0.52)),
    Claim("{} against the rest, the worst {} classes: {}", of_classes(4, 10), of_classes(2, 10)),
    Claim("of the {} commonest of {}", of_classes(12, 10), of_classes(4, 10)),
    Claim(
        "{} classes: the commonest is {} with {} of the rows, the rarest in test {} with {}",
        of_classes(4, 10),
        of_classes(2, 10),
    ),
    Claim(
        "AUC {} from length alone: the {} text of a pair is called the better one",
        pairs_of(longer=True),
        None,
        "a measure of every dataset of pairs, whatever it is",
    ),
    Claim("about {} tokens in the median, {} (estimated at {} characters a token)", long_of(100), form(characters)),
    Claim("none of {} source rows is written differently by label", skeleton(Asks), skeleton(ByLetter)),
    Claim("{} of {} source rows are written differently by label: {}", skeleton(ByLetter), skeleton(Asks)),
    Claim("{} in positives where negatives have {}", skeleton(ByLetter), skeleton(Grouped)),
    Claim("used as a {} row, left out as a {} one", skeleton(OnlyRight), skeleton(ByLetter)),
    Claim("the label is not what draw.coin() said", skeleton(Always), skeleton(Grouped)),
    Claim("its group depends on the label", skeleton(Grouped), skeleton(Always)),
    Claim(
        "no token or character that is common enough was found to go with one label nearly always",
        form(check_label_tokens),
        form(check_label_tokens, "tab"),
    ),
    Claim(TELLING, form(check_label_tokens, "tab"), form(check_label_tokens)),
    Claim(
        "one of {} tokens or characters ({}, …)", form(check_label_tokens, "openers on 30 %"), form(check_label_tokens)
    ),
    Claim(", too few to be sure", form(check_label_tokens, "tab", 160), form(check_label_tokens, "tab")),
    Claim("; {} more cover {} or more, such as {}", form(check_label_tokens, "tab"), form(check_label_tokens)),
    *(
        Claim(f" as {place}", lambda mark=mark: names_of_telling(mark), lambda other=other: names_of_telling(other))
        for place, mark, other in (
            ("token {} of the content", "openers on all", "tab"),
            ("token {} from the end of the content", "British or American", "tab"),
            ("token {} of the last line", "openers on all", "tab"),
        )
    ),
    *(Claim(name, counted(value), counted(lambda text: ord(text[0]))) for name, value in COUNTS),
    Claim("token {} of the content", AT_THE_BEGINNING, IN_A_NUMBER),
    Claim("token {} from the end of the content", AT_THE_END, AT_THE_BEGINNING),
    Claim("token {} of the last line", IN_THE_LAST_LINE, AT_THE_BEGINNING),
    Claim("the last digit of the {} number", IN_A_NUMBER, AT_THE_END),
    Claim(
        "{} of {} datasets give their labels away; `run` refuses them without --allow-leaks",
        verdict("leak", "warning"),
        verdict("warning", "cue"),
    ),
    Claim(
        "{} of {} datasets have warnings: `run` prints them and goes on",
        verdict("warning", "passed"),
        verdict("leak", "warning"),
    ),
)
