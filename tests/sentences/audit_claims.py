"""What `audit` can say."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

from claim import Claim
from marks import MARKS, OPENERS
from planted import WORDS, random_corpus, small_corpus

from outshine.cli.audit import verdicts
from outshine.data.audit.audit import class_balance, long_texts
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
from outshine.data.audit.tokenized_corpus import TokenizedCorpus
from outshine.data.rows import ListRows, Pools
from outshine.data.schema import Draw, Example, Recipe

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
