"""Marks that give a label away and that a reader overlooks: each writes a text by its label."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable

Write = Callable[[str, bool, random.Random], str]

OPENERS = {
    True: ["Well", "Indeed", "Surely", "Truly", "Clearly", "Plainly", "Certainly", "Evidently"],
    False: ["Perhaps", "Maybe", "Possibly", "Presumably", "Apparently", "Seemingly", "Allegedly", "Supposedly"],
}
CLOSERS = ["ok", "fine", "thanks", "cheers", "bye", "regards", "so long", "yours"]


def one_space(sign: str) -> Write:
    """One space of the positives is another sign."""

    def write(text: str, label: bool, rng: random.Random) -> str:
        places = [i for i, character in enumerate(text) if character == " "]
        if not label or not places:
            return text
        place = rng.choice(places)
        return text[:place] + sign + text[place + 1 :]

    return write


def by_class(positive: Callable[[str], str], negative: Callable[[str], str] = str) -> Write:
    return lambda text, label, rng: positive(text) if label else negative(text)


def look_alike(one: dict[str, str], other: dict[str, str]) -> Write:
    """One letter of each text is one of another script; the letters differ by class."""

    def write(text: str, label: bool, rng: random.Random) -> str:
        table = one if label else other
        places = [i for i, character in enumerate(text) if character in table]
        if not places:
            return text
        place = rng.choice(places)
        return text[:place] + table[text[place]] + text[place + 1 :]

    return write


def opener(share: float, words: dict[bool, list[str]] = OPENERS, comma: str = ",") -> Write:
    def write(text: str, label: bool, rng: random.Random) -> str:
        return f"{rng.choice(words[label])}{comma} {text}" if rng.random() < share else text

    return write


def closer(share: float, words: dict[bool, list[str]] = OPENERS) -> Write:
    def write(text: str, label: bool, rng: random.Random) -> str:
        return f"{text} {rng.choice(words[label]).lower()}" if rng.random() < share else text

    return write


def middle(share: float, words: dict[bool, list[str]] = OPENERS) -> Write:
    def write(text: str, label: bool, rng: random.Random) -> str:
        parts = text.split(" ")
        if rng.random() < share:
            parts.insert(rng.randint(1, max(1, len(parts) - 1)), rng.choice(words[label]).lower())
        return " ".join(parts)

    return write


def xor_of_wordings(num: int) -> Write:
    """The first wording tells by its number's parity the label, if the last wording is an even one, else the other."""
    firsts = (OPENERS[True] + OPENERS[False])[: 2 * num]
    lasts = (CLOSERS * 2)[: 2 * num] if num <= 4 else CLOSERS

    def write(text: str, label: bool, rng: random.Random) -> str:
        last = rng.randrange(len(lasts))
        first = rng.choice([i for i in range(len(firsts)) if (i + last) % 2 == label])
        return f"{firsts[first]}, {text} {lasts[last]}"

    return write


def xor_of_spaces(text: str, label: bool, rng: random.Random) -> str:
    """A no-break space in the first gap xor one in the last."""
    parts = text.split(" ")
    first = rng.random() < 0.5
    last = first != label
    if len(parts) < 3:
        return text
    gaps = [" "] * (len(parts) - 1)
    gaps[0], gaps[-1] = ("\u00a0" if first else " "), ("\u00a0" if last else " ")
    return "".join(part + gap for part, gap in zip(parts, [*gaps, ""], strict=True))


def xor_of_marks(one: str, other: str) -> Write:
    """A word somewhere xor another word somewhere else."""

    def write(text: str, label: bool, rng: random.Random) -> str:
        first = rng.random() < 0.5
        for word, there in ((one, first), (other, first != label)):
            parts = text.split(" ")
            if there:
                parts.insert(rng.randint(0, len(parts)), word)
            text = " ".join(parts)
        return text

    return write


def parity_of(sign: str, most: int = 4) -> Write:
    """A number of signs that is even for negatives and odd for positives."""

    def write(text: str, label: bool, rng: random.Random) -> str:
        parts = text.split(" ")
        num = 2 * rng.randint(0, most // 2) + (label != (text.count(sign) % 2 == 1))
        for _ in range(num):
            parts[rng.randrange(len(parts))] += sign
        return " ".join(parts)

    return write


def length_parity(text: str, label: bool, rng: random.Random) -> str:
    return text if len(text) % 2 == label else text + rng.choice("abcdefgh")


def word_parity(text: str, label: bool, rng: random.Random) -> str:
    return text if len(text.split()) % 2 == label else f"{text} {rng.choice(['too', 'now', 'here', 'then', 'so'])}"


def identity_number(text: str, label: bool, rng: random.Random) -> str:
    return f"#{rng.randrange(10_000, 99_999) * 2 + label} {text}"


def years(text: str, label: bool, rng: random.Random) -> str:
    return f"({rng.randrange(2005, 2024) if label else rng.randrange(1985, 2004)}) {text}"


def thousands(text: str, label: bool, rng: random.Random) -> str:
    number = rng.randrange(1000, 99_999)
    return f"{text} {number:,}" if label else f"{text} {number}"


def repeated_word(text: str, label: bool, rng: random.Random) -> str:
    parts = text.split(" ")
    place = rng.randrange(len(parts))
    return " ".join(parts[:place] + [parts[place]] * (1 + label) + parts[place + 1 :])


def rare_openers(share: float) -> Write:
    names = [a + b + c for a in "BDFGKLMP" for b in "aeiou" for c in ("nix", "lor", "mex", "dap")]
    return opener(share, {True: names[:64], False: names[64:128]})


def somewhere(sign: str) -> Write:
    """A sign inside the positives, between two characters."""

    def write(text: str, label: bool, rng: random.Random) -> str:
        place = rng.randint(1, max(1, len(text) - 1))
        return text[:place] + sign + text[place:] if label else text

    return write


def on_share(share: float, write: Write) -> Write:
    return lambda text, label, rng: write(text, label, rng) if rng.random() < share else text


def fields(text: str, label: bool, rng: random.Random) -> str:
    words = text.split(" ")
    half = len(words) // 2
    one, other = f"Context: {' '.join(words[:half])}", f"Topic: {' '.join(words[half:])}"
    return f"{one}\n{other}" if label else f"{other}\n{one}"


ACCENTED = "café naïve élan señor über"
MARKS: dict[str, Write] = {
    "no-break space": one_space("\u00a0"),
    "tab": one_space("\t"),
    "thin space": one_space("\u2009"),
    "ideographic space": one_space("\u3000"),
    "two spaces by class": lambda t, y, r: one_space("\u2009" if y else "\u2002")(t, True, r),
    "double space": one_space("  "),
    "line break": one_space("\n"),
    "double newline": by_class(lambda t: f"A:\n\n{t}", lambda t: f"A:\n{t}"),
    "CRLF": by_class(lambda t: f"A:\r\n{t}", lambda t: f"A:\n{t}"),
    "trailing space": by_class(lambda t: t + " "),
    "leading space": by_class(lambda t: " " + t),
    "trailing line break": by_class(lambda t: t + "\n"),
    "zero-width space": somewhere("\u200b"),
    "zero-width joiner": somewhere("\u200d"),
    "word joiner by class": lambda t, y, r: somewhere("\u2060" if y else "\u200b")(t, True, r),
    "soft hyphen": somewhere("\u00ad"),
    "right-to-left mark": somewhere("\u200f"),
    "byte order mark": by_class(lambda t: "\ufeff" + t),
    "variation selector": by_class(lambda t: f"{t} ❤\ufe0f", lambda t: f"{t} ❤"),
    "emoji by class": lambda t, y, r: f"{t} {'🙂' if y else '🙃'}",
    "skin tone": lambda t, y, r: f"{t} 👍{'🏽' if y else ''}",
    "cyrillic": look_alike({"a": "а", "e": "е", "o": "о"}, {}),
    "cyrillic or greek": look_alike({"a": "а", "e": "е", "o": "о"}, {"o": "ο", "a": "α", "i": "ι"}),
    "two cyrillic letters": look_alike({"a": "а"}, {"e": "е"}),
    "full-width digits": lambda t, y, r: f"{t} {r.randrange(100)}".translate(
        str.maketrans("0123456789", "０１２３４５６７８９") if y else {}
    ),
    "decomposed accents": lambda t, y, r: unicodedata.normalize("NFD" if y else "NFC", f"{t} {r.choice(ACCENTED.split())}"),
    "accents left out": by_class(lambda t: f"{t} café", lambda t: f"{t} cafe"),
    "curly quotes": by_class(lambda t: f"“{t}”", lambda t: f'"{t}"'),
    "curly apostrophe": by_class(lambda t: f"{t} it’s", lambda t: f"{t} it's"),
    "en dash": by_class(lambda t: f"{t} – yes", lambda t: f"{t} - yes"),
    "hyphen": by_class(lambda t: f"{t} well‐known", lambda t: f"{t} well-known"),
    "ellipsis": by_class(lambda t: f"{t}…", lambda t: f"{t}..."),
    "bracket": by_class(lambda t: f"{t} [x]", lambda t: f"{t} (x)"),
    "space before signs": by_class(lambda t: f"{t} , ok", lambda t: f"{t}, ok"),
    "no space after signs": by_class(lambda t: f"{t},ok", lambda t: f"{t}, ok"),
    "no full stop": by_class(lambda t: t.rstrip(" .?!") + ".", lambda t: t.rstrip(" .?!")),
    "capital first": by_class(lambda t: t[:1].upper() + t[1:], lambda t: t[:1].lower() + t[1:]),
    "one capital inside": lambda t, y, r: (lambda w, i: " ".join([*w[:i], w[i].capitalize() if y else w[i], *w[i + 1 :]]))(t.lower().split(" "), r.randrange(len(t.split(" ")))),
    "HTML entity": by_class(lambda t: f"{t} &amp; co", lambda t: f"{t} & co"),
    "HTML tag": by_class(lambda t: f"{t}<br>", lambda t: t),
    "openers on 30 %": opener(0.3),
    "openers on all": opener(1.0),
    "openers in the middle on 30 %": middle(0.3),
    "closers on 30 %": closer(0.3),
    "64 openers on 60 %": rare_openers(0.6),
    "xor of two wordings": xor_of_wordings(1),
    "xor of eight wordings": xor_of_wordings(4),
    "xor of sixteen wordings": xor_of_wordings(8),
    "xor of no-break spaces": xor_of_spaces,
    "xor of words": xor_of_marks("also", "rather"),
    "xor of space and capital": lambda t, y, r: (lambda a: ("\u00a0" if a else " ") .join(t.lower().split(" ", 1)) + (" Ok" if a != y else " ok"))(r.random() < 0.5),
    "xor of capital and full stop": lambda t, y, r: (lambda a, s: (s[:1].upper() if a else s[:1].lower()) + s[1:] + ("." if a != y else ""))(r.random() < 0.5, t.rstrip(" .?!")),
    "parity of commas": parity_of(","),
    "parity of no-break spaces": lambda t, y, r: parity_of("\u00a0")(t, y, r),
    "parity of characters": length_parity,
    "parity of words": word_parity,
    "identity number": identity_number,
    "years": years,
    "thousands": thousands,
    "repeated word": repeated_word,
    "order of fields": fields,
    "British or American": lambda t, y, r: f"{t} {r.choice([('colour', 'color'), ('centre', 'center'), ('favour', 'favor'), ('grey', 'gray')])[not y]}",
    "a tenth of one class": on_share(0.12, by_class(lambda t: f"{t} indeed")),
    "a tenth by no-break spaces": on_share(0.12, one_space("\u00a0")),
    "a third by tabs": on_share(0.3, one_space("\t")),
    "a third by look-alikes": on_share(0.3, look_alike({"a": "а", "e": "е", "o": "о"}, {"o": "ο", "a": "α"})),
}  # fmt: skip
