"""Tokenization of texts; those too long for the model are shortened where their recipe allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from outshine.engine.errors import ModelError
from outshine.learn.load import TokenizerInfo


class Text(NamedTuple):
    """A text and the span of characters that may be shortened ((0, 0): none is marked)."""

    text: str
    cut_start: int = 0
    cut_end: int = 0


class PairTokens(list[int]):
    """The token ids of two texts that are compared, one after the other.

    Args:
        first: Token ids of the first text.
        second: Token ids of the second.
    """

    def __init__(self, first: Sequence[int], second: Sequence[int]) -> None:
        super().__init__([*first, *second])
        self.num_first = len(first)

    @property
    def texts(self) -> tuple[list[int], list[int]]:
        """The token ids of each text."""
        return self[: self.num_first], self[self.num_first :]


def longest_text(tokens: Iterable[Sequence[int]]) -> int:
    """Count the tokens of the longest text, where some may be pairs of texts."""
    lengths = (max(map(len, ids.texts)) if isinstance(ids, PairTokens) else len(ids) for ids in tokens)
    return max(lengths)


class EncodedTexts(NamedTuple):
    """Token ids of each text, whether it had to be shortened, and the share of its tokens that are unknown."""

    tokens: list[list[int]]
    shortened: list[bool]
    unknown: list[float]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each text."""
        return [len(ids) for ids in self.tokens]


def encode(tokens: TokenizerInfo, texts: Sequence[Text], max_length: int) -> EncodedTexts:
    """Return token ids with the model's special tokens, at most `max_length` each.

    Raises ModelError where the tokenizer knows tokens that the model has no embedding for.
    """
    ids = _ids(tokens, [text.text for text in texts])
    long = [i for i, token_ids in enumerate(ids) if len(token_ids) > max_length]
    set_long = set(long)
    highest = max((max(token_ids) for token_ids in ids), default=0)
    if tokens.vocab_size is not None and highest >= tokens.vocab_size:
        raise ModelError(
            f"the tokenizer gives token id {highest}, but the model has embeddings for {tokens.vocab_size} tokens; "
            "tokenizer and weights do not belong together"
        )
    for i in long:
        ids[i] = _ids(tokens, [shorten(texts[i], lambda text: len(_ids(tokens, [text])[0]) <= max_length)])[0]
        ids[i] = ids[i][-max_length:]  # a limit below the special tokens' number: nothing else is left to cut
    unknown = [_unknown(tokens.tokenizer, text.text, token_ids) for text, token_ids in zip(texts, ids, strict=True)]
    return EncodedTexts(ids, [i in set_long for i in range(len(ids))], unknown)


def shorten(text: Text, fits: Callable[[str], bool]) -> str:
    """Return the longest version of the text that fits.

    The end of the marked span goes first, all else is kept; where that is not enough, or nothing is
    marked, the left end goes. `fits` must hold for a text whenever it holds for a longer version of it.
    """
    head, span, tail = text.text[: text.cut_start], text.text[text.cut_start : text.cut_end], text.text[text.cut_end :]
    if span and fits(head + tail):
        return _longest(len(span), lambda num_chars: head + span[:num_chars].rstrip() + tail, fits)
    rest = head + tail
    return _longest(len(rest), lambda num_chars: rest[len(rest) - num_chars :], fits)


def _longest(top: int, version: Callable[[int], str], fits: Callable[[str], bool]) -> str:
    """`version(n)` for the largest n in [0, top] that fits, found by bisection; `version(0)` is taken to fit."""
    low, high = 0, top
    while low < high:
        middle = (low + high + 1) // 2
        if fits(version(middle)):
            low = middle
        else:
            high = middle - 1
    return version(low)


def _unknown(tokenizer: Any, text: str, ids: list[int]) -> float:
    """Return the share of unknown tokens among the text's own; 1 where a tokenizer drops all that it is given."""
    special, unknown = set(tokenizer.all_special_ids), tokenizer.unk_token_id
    if unknown in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id):
        unknown = None  # cannot be told from those
    own = [token for token in ids if token == unknown or token not in special]
    return sum(token == unknown for token in own) / len(own) if own else float(bool(text.strip()))


def _ids(tokens: TokenizerInfo, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    encoded = tokens.tokenizer(texts, add_special_tokens=True, truncation=False, verbose=False)["input_ids"]
    return [list(ids) if ids else [tokens.pad_id] for ids in encoded]
