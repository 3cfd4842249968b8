"""Features of how a text is written: lengths and kinds of tokens, and which n-grams of characters it has.

A language model's tokenizer sees every code point; a reader overlooks most of what is looked at here: white space,
punctuation, capitals, look-alikes, invisible characters. So n-grams are taken of *shapes*, in which letters and digits
are replaced by their kind, and of *normalised* texts, without what does not change what a text says.
"""

from __future__ import annotations

import html
import re
import unicodedata
import zlib
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from outshine.data.audit.tokenized_corpus import Bools, CorpusTokens, Ints, Spans, TokenizedCorpus, distinct

MAX_CHARACTERS = 600  # of each text: the first half and the last half of so many
_BITS = 18
BUCKETS = 2**_BITS  # n-grams are numbered by a hash; two may share a number
_FIRST, _LAST = "\ue000", "\ue001"  # marks of a text's beginning and end, of the private area
_FIRST_SCRIPT = 0xE010  # one sign for each script and letter case
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

Floats = NDArray[np.float64]

_WORD = re.compile(r"[^\W\d_]+(?:[\u0300-\u036f]+[^\W\d_]*)*")
_NUMBER = re.compile(r"\d+")
_SIGN = re.compile(r"[^\w\s]|_")
_IN_A_NUMBER = re.compile(r"(?<=\d)[ ,.'](?=\d{3}(?!\d))")
_ACCENTS = re.compile("[\u0300-\u036f]")
_ASCII_NUMBER = re.compile(r"[0-9]+")
_TOKEN_SHAPES = ("none", "number", "letter", "UPPER", "Title", "lower", "mixed", "sign", "line break")

# Letters of other scripts with the Latin letters that they look like, and signs with their plainest form.
_LOOK_ALIKES = str.maketrans(
    'авеёѕіїјкмнорстухԁԛԝһԍɡьгпαβεηικνορστυχωϲϳɑıʟɴɪʀʏʙʜꮯꭰꭲ‘’‚‛“”„‟"`´«»‹›′″ʼ–—―‐‑‒−~[{]}⟨⟩【】、。·•⁄',
    "abeesiijkmhopctyxdqwhggbrnabenikvopotuxwcjailnirybhcdi''''''''''''''''''--------(())()(),..-/",
)


def shape(text: str) -> str:
    """The text with its letters and digits replaced by their kind; signs, white space and everything odd stay.

    A lower-case ASCII word becomes "w", one of a single letter "a"; capitals become "A" each, digits "0", of a number
    no more than five. Other scripts have signs of their own. In a word that mixes ASCII letters with others the
    others stay: accents, look-alikes.
    """
    text = _WORD.sub(_word_shape, text)
    return _NUMBER.sub(_number_shape, text)


def normalised(text: str) -> str:
    """The text without everything that does not change its words.

    HTML entities are resolved and compatible characters composed (NFKC); letters are in lower case, without accents
    and Latin where they look so; invisible characters are gone; signs have their plainest form, stand alone, and
    never between the digits of a number; white space is one space.
    """
    text = html.unescape(text).translate(_LOOK_ALIKES)  # before letters are composed: some would become others
    text = unicodedata.normalize("NFKC", text).casefold()
    if not text.isascii():
        text = "".join(filter(_is_visible, text)).translate(_LOOK_ALIKES)
        text = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", text)))
    else:
        text = text.translate(_LOOK_ALIKES)
    return " ".join(_SIGN.sub(r" \g<0> ", _IN_A_NUMBER.sub("", text)).split())


def _word_shape(match: re.Match[str]) -> str:
    word = match[0]
    if word.isascii():
        if word.islower():
            return "w" if len(word) > 1 else "a"
        return re.sub("[A-Z]", "A", re.sub("[a-z]{2,}", "w", re.sub("[a-z](?![a-z])(?<![a-z].)", "a", word)))
    mixed = any(letter.isascii() for letter in word)
    return "".join(_letter_shape(letter, mixed) for letter in word)


def _letter_shape(letter: str, mixed: bool) -> str:
    if letter.isascii():
        return "A" if letter.isupper() else "a"
    return letter if mixed else _script_sign(letter)


@cache
def _script_sign(letter: str) -> str:
    """A sign for the letter's script and case: the first word of its name in Unicode."""
    script = unicodedata.name(letter, "UNNAMED").split()[0]
    return chr(_FIRST_SCRIPT + zlib.crc32(f"{script} {letter.islower()}".encode()) % 6_000)


def _number_shape(match: re.Match[str]) -> str:
    number = match[0]
    if number.isascii():
        return "0" * min(5, len(number))
    return "".join("0" if digit.isascii() else _script_sign(digit) for digit in number)


@cache
def _is_visible(character: str) -> bool:
    """Whether a reader sees it: no format character, no control other than white space, no variation selector."""
    category = unicodedata.category(character)
    if category == "Cf" or (category == "Cc" and not character.isspace()):
        return False
    return not ("\ufe00" <= character <= "\ufe0f" or "\U0001f3fb" <= character <= "\U0001f3ff")


def code_points(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """Which code point is in which text: rows and code points, each pair once, sorted."""
    codes = [np.array(sorted(set(map(ord, text))), dtype=np.int64) for text in texts]
    rows = np.repeat(np.arange(len(texts)), [len(codes_of_text) for codes_of_text in codes])
    return rows, np.concatenate(codes) if codes else np.empty(0, dtype=np.int64)


def character_name(code: int) -> str:
    """A code point in words: the character where it can be seen, else its name in Unicode, and its number."""
    character = chr(code)
    visible = repr(character) if character.isprintable() and character != " " else ""
    return f"{visible or unicodedata.name(character, 'a character')} (U+{code:04X})"


def which_ngrams(texts: Sequence[str], lengths: Sequence[int]) -> tuple[Ints, Ints]:
    """Which n-gram of characters is in which text: rows and numbers below BUCKETS, each pair once, sorted.

    n-grams are numbered by a hash: two may share a number. The beginning and the end of a text count as characters.
    Of long texts the first and the last MAX_CHARACTERS / 2 characters are looked at.
    """
    half = MAX_CHARACTERS // 2
    ends = [text if len(text) <= MAX_CHARACTERS else text[:half] + text[-half:] for text in texts]
    row = np.repeat(np.arange(len(ends)), [len(text) + 2 for text in ends])
    codes = _codes("".join(f"{_FIRST}{text}{_LAST}" for text in ends))
    row_and_bucket = []
    for length in lengths:
        bucket = _buckets(codes, length)
        inside = row[: len(bucket)] == row[len(row) - len(bucket) :]
        row_and_bucket.append(row[: len(bucket)][inside] * BUCKETS + bucket[inside])
    rows, buckets = np.divmod(distinct(np.concatenate(row_and_bucket)), BUCKETS)
    return rows, buckets


class NgramNames(NamedTuple):
    """Names the n-gram that a number of `which_ngrams` stands for, in words."""

    texts: Sequence[str]
    lengths: Sequence[int]

    def __call__(self, code: int) -> str:
        for text in self.texts:
            codes = _codes(f"{_FIRST}{text}{_LAST}")
            for length in self.lengths:
                places = np.flatnonzero(_buckets(codes, length) == code)
                if len(places):
                    return _in_words(f"{_FIRST}{text}{_LAST}"[places[0] : places[0] + length])
        return "characters"


def _in_words(ngram: str) -> str:
    kinds = {
        _FIRST: "the beginning",
        _LAST: "the end",
        "w": "a word",
        "a": "a letter",
        "A": "a capital",
        "0": "a digit",
    }
    return f"<{', '.join(kinds.get(character) or character_name(ord(character)) for character in ngram)}>"


def _codes(text: str) -> NDArray[np.uint64]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)


def _buckets(codes: NDArray[np.uint64], length: int) -> Ints:
    """The number of the n-gram that begins at each place."""
    num = max(0, len(codes) - length + 1)
    value = np.zeros(num, dtype=np.uint64)
    for i in range(length):
        value = (value + codes[i : i + num] + np.uint64(1)) * _MULTIPLIER
    return ((value ^ (value >> np.uint64(31))) * _MULTIPLIER >> np.uint64(64 - _BITS)).astype(np.int64)


# --- format ------------------------------------------------------------------------------------------------------


def format_features(corpus: TokenizedCorpus) -> Floats:
    """[n, d] Lengths, kinds of characters and shapes of tokens of each text; nothing of what it says.

    Of the raw text: characters, white space, double, leading and trailing spaces. Of the content and of the
    answer: tokens, characters, digits, capitals, signs, line breaks, characters beyond ASCII, single letters.
    Of the answer's first token and of the last two: their shape. Of the raw text again: words repeated at once;
    the first, the last and the largest number (−1: none).
    """
    tokens, columns = corpus.tokens, [_raw(corpus)]
    letters = _letters(tokens)
    for spans in (corpus.content, corpus.answer):
        columns.append((spans.end - spans.start)[:, None].astype(np.float64))
        columns.append(np.stack([_sums(tokens, values, spans) for values in letters], axis=1))
    shapes = np.array([_TOKEN_SHAPES.index(_token_shape(token)) for token in tokens.vocabulary] + [0])
    for place, inside in _shaped_places(corpus):
        columns.append(np.eye(len(_TOKEN_SHAPES))[shapes[tokens.at(place, inside)]])
    columns += [_repeated_words(tokens)[:, None], _numbers(corpus.texts)]
    return np.concatenate(columns, axis=1)


def _shaped_places(corpus: TokenizedCorpus) -> list[tuple[Ints, Bools]]:
    start, end = corpus.answer
    return [(place, (place >= start) & (place < end)) for place in (start, end - 1, end - 2)]


def _raw(corpus: TokenizedCorpus) -> Floats:
    rows = [
        (len(text), sum(map(text.count, " \t")), text.count("  "), text[:1].isspace(), text[-1:].isspace())
        for text in corpus.texts
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


def _repeated_words(tokens: CorpusTokens) -> Floats:
    """How many tokens of each row are words and the same as the one before."""
    row, flat = tokens.row_of_each(), tokens.flat
    words = np.array([token[0].isalnum() for token in tokens.vocabulary], dtype=bool)
    if not len(flat):
        return np.zeros(tokens.num_rows)
    same = (flat[1:] == flat[:-1]) & (row[1:] == row[:-1]) & words[flat[1:]]
    return np.bincount(row[1:][same], minlength=tokens.num_rows).astype(np.float64)


def _numbers(texts: Sequence[str]) -> Floats:
    rows = []
    for text in texts:
        numbers = [min(float(number), 1e12) for number in _ASCII_NUMBER.findall(text)] or [-1.0]
        rows.append((numbers[0], numbers[-1], max(numbers)))
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _letters(tokens: CorpusTokens) -> Floats:
    """[features, vocabulary] Counts of kinds of characters in each token."""
    rows = [
        (
            len(token),
            sum(map(str.isdigit, token)),
            sum(map(str.isupper, token)),
            not token[0].isalnum() and token[0] != "\n",
            token[0] == "\n",
            sum(character > "\x7f" for character in token),
            len(token) == 1 and token.isalpha(),
        )
        for token in tokens.vocabulary
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 7).T


def _sums(tokens: CorpusTokens, values: Floats, spans: Spans) -> Floats:
    """The sum of `values` [vocabulary] over the tokens of each row's span."""
    running = np.concatenate([[0.0], np.cumsum(values[tokens.flat])])
    return running[spans.end] - running[spans.start]


def _token_shape(token: str) -> str:
    if token[0] == "\n":
        return "line break"
    if token.isdigit():
        return "number"
    if not token[0].isalnum():
        return "sign"
    if len(token) == 1:
        return "letter"
    by_case = {"UPPER": token.isupper(), "lower": token.islower(), "Title": token.istitle()}
    return next((name for name, holds in by_case.items() if holds), "mixed")
