"""Features of characters: white space, punctuation, capitals, look-alikes, invisible ones.

A language model's tokenizer sees every code point; a reader overlooks most of what is looked at here. Texts are
turned into *shapes*, in which letters and digits are blotted out, and into *normalised* texts, from which everything
is taken that does not change what a text says. Linear models on n-grams of characters do the rest.
"""

from __future__ import annotations

import html
import re
import unicodedata
import warnings
import zlib
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from outshine.data.audit.corpus import Bools, Ints, distinct

MAX_CHARACTERS = 600  # of each text: the first half and the last half of so many
SHAPE_LENGTHS = (1, 2, 3, 4)  # of n-grams, in characters
TEXT_LENGTHS = (1, 2, 3)
REGULARISATION = 0.1  # scikit-learn's C
MIN_ROWS_WITH = 3  # rows of those fitted on that must have an n-gram for it to count
_BITS = 18
BUCKETS = 2**_BITS  # n-grams are numbered by a hash; two may share a number
_FIRST, _LAST = "\ue000", "\ue001"  # marks of a text's beginning and end, of the private area
_FIRST_SCRIPT = 0xE010  # one sign for each script and letter case that is blotted out
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

Floats = NDArray[np.float64]

_WORD = re.compile(r"[^\W\d_]+(?:[\u0300-\u036f]+[^\W\d_]*)*")
_NUMBER = re.compile(r"\d+")
_SIGN = re.compile(r"[^\w\s]|_")
_IN_A_NUMBER = re.compile(r"(?<=\d)[ ,.'](?=\d{3}(?!\d))")
_ACCENTS = re.compile("[\u0300-\u036f]")

# Letters of other scripts with the Latin letters that they look like, and signs with their plainest form.
_LOOK_ALIKES = str.maketrans(
    'авеёѕіїјкмнорстухԁԛԝһԍɡьгпαβεηικνορστυχωϲϳɑıʟɴɪʀʏʙʜꮯꭰꭲ‘’‚‛“”„‟"`´«»‹›′″ʼ–—―‐‑‒−~[{]}⟨⟩【】、。·•⁄',
    "abeesiijkmhopctyxdqwhggbrnabenikvopotuxwcjailnirybhcdi''''''''''''''''''--------(())()(),..-/",
)


def shape(text: str) -> str:
    """The text with its letters and digits blotted out; signs, white space and everything odd stay as they are.

    A lower-case ASCII word becomes "w", one of a single letter "a"; capitals become "A" each, digits "0", of a number
    no more than five. Other scripts have signs of their own. In a word that mixes ASCII letters with others the
    others stay: accents, look-alikes.
    """
    text = _WORD.sub(_word_shape, text)
    return _NUMBER.sub(_number_shape, text)


def normalised(text: str) -> str:
    """The text without what does not change its words.

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
    return "".join(_blot(letter, mixed) for letter in word)


def _blot(letter: str, mixed: bool) -> str:
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
    """Whether it is neither a format character, nor a control other than white space, nor a variation selector."""
    category = unicodedata.category(character)
    if category == "Cf" or (category == "Cc" and not character.isspace()):
        return False
    return not ("\ufe00" <= character <= "\ufe0f" or "\U0001f3fb" <= character <= "\U0001f3ff")


def code_points(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """Which code point is in which text: rows and code points, each pair once, sorted."""
    found = [np.array(sorted(set(map(ord, text))), dtype=np.int64) for text in texts]
    rows = np.repeat(np.arange(len(texts)), [len(one) for one in found])
    return rows, np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def character_name(code: int) -> str:
    """A code point in words: the character where it can be seen, else its name in Unicode, and its number."""
    character = chr(code)
    seen = repr(character) if character.isprintable() and character != " " else ""
    return f"{seen or unicodedata.name(character, 'a character')} (U+{code:04X})"


def which_ngrams(texts: Sequence[str], lengths: Sequence[int]) -> tuple[Ints, Ints]:
    """Which n-gram of characters is in which text: rows and numbers below BUCKETS, each pair once, sorted.

    n-grams are numbered by a hash: two may share a number. The beginning and the end of a text count as characters.
    Of long texts the first and the last MAX_CHARACTERS / 2 characters are looked at.
    """
    half = MAX_CHARACTERS // 2
    ends = [text if len(text) <= MAX_CHARACTERS else text[:half] + text[-half:] for text in texts]
    row = np.repeat(np.arange(len(ends)), [len(text) + 2 for text in ends])
    codes = _codes("".join(f"{_FIRST}{text}{_LAST}" for text in ends))
    found = []
    for length in lengths:
        bucket = _buckets(codes, length)
        inside = row[: len(bucket)] == row[len(row) - len(bucket) :]
        found.append(row[: len(bucket)][inside] * BUCKETS + bucket[inside])
    rows, columns = np.divmod(distinct(np.concatenate(found)), BUCKETS)
    return rows, columns


class NgramNames(NamedTuple):
    """Says in words what the numbers of `which_ngrams` stand for."""

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


def ngram_scores(texts: Sequence[str], truth: Bools, fit: Bools, lengths: Sequence[int]) -> Floats:
    """The scores of a logistic regression on which n-grams are there, fitted on the rows of `fit`, for the others."""
    from scipy.sparse import csr_array
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    rows, columns = which_ngrams(texts, lengths)
    often = np.bincount(columns[fit[rows]], minlength=BUCKETS)
    kept = (often >= MIN_ROWS_WITH) & (often <= fit.sum() - MIN_ROWS_WITH)
    if not kept.any():
        return np.zeros(int((~fit).sum()))
    inside, number = kept[columns], np.cumsum(kept) - 1
    shape_of = (len(texts), int(kept.sum()))
    table = csr_array((np.ones(int(inside.sum())), (rows[inside], number[columns[inside]])), shape=shape_of)
    model = LogisticRegression(C=REGULARISATION, max_iter=100, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the ranking does not need the last digit
        model.fit(table[fit], truth[fit])
    return model.decision_function(table[~fit])
