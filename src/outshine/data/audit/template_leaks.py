"""Leak rule (c): a recipe that draws the label must write positives and negatives by one template.

Each source row is formatted both ways. With the values of the row's fields replaced by the fields' names, both
texts must be the same skeleton: what is left is what the recipe itself writes, and that must not know the label.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from outshine.data.audit.findings import Finding, example
from outshine.data.rows import Pools, Row
from outshine.data.schema import Draw, Recipe
from outshine.data.task import BINARY

BLOCKS, BLOCK_ROWS = 4, 500  # rows that are tried: so many blocks, evenly spread over the training rows
TOLERATED = 0.01  # share of rows that may differ: odd values that a text happens to hold twice
_FIRST_SIGN = 0xF0000  # a private plane of Unicode: one sign a field, which no text contains


class TemplateDifference(NamedTuple):
    """A row whose two texts have different skeletons."""

    reason: str
    positive: str
    negative: str


def check_templates(recipe: Recipe, pools: Pools) -> Finding:
    """The share of source rows whose two texts have different skeletons: a leak above TOLERATED.

    For recipes with `draws_label` only. A recipe that does not ask `draw.coin()` for the label, or uses a row
    with one outcome only, fails too.
    """
    rows = sample_rows(pools)
    compared = [compare(recipe, number, row) for number, row in rows]
    different = [difference for difference in compared if difference is not None]
    share = len(different) / max(1, len(rows))
    if not different:
        message = f"none of {len(rows)} source rows is written differently by label"
        return Finding("skeletons", "passed", message, value=0.0)
    message = f"{len(different)} of {len(rows)} source rows are written differently by label: {different[0].reason}"
    shown = tuple(
        example(text, BINARY.class_names[label])
        for difference in different[:2]
        for text, label in ((difference.positive, True), (difference.negative, False))
        if text
    )
    return Finding("skeletons", "leak" if share > TOLERATED else "cue", message, value=share, examples=shown)


def sample_rows(pools: Pools) -> list[tuple[int, Row]]:
    """Up to BLOCKS × BLOCK_ROWS training rows with their numbers; whole blocks, which are quick to read."""
    size = len(pools.train)
    if size <= BLOCKS * BLOCK_ROWS:
        numbers = list(range(size))
    else:
        starts = [block * (size - BLOCK_ROWS) // (BLOCKS - 1) for block in range(BLOCKS)]
        numbers = sorted({start + i for start in starts for i in range(BLOCK_ROWS)})
    return list(zip(numbers, pools.train.take(numbers), strict=True))


def compare(recipe: Recipe, number: int, row: Row) -> TemplateDifference | None:
    """Compare the row's positive text with its negative one, candidates aside; None: they are written alike."""
    both = [recipe.format(row, Draw(0, f"train:{number}", coin)) for coin in (True, False)]
    positive, negative = both
    if positive is None and negative is None:
        return None
    if positive is None or negative is None:
        used, left_out = ("negative", "positive") if positive is None else ("positive", "negative")
        texts = [example.text if example else "" for example in both]
        return TemplateDifference(f"used as a {used} row, left out as a {left_out} one", *texts)
    if (positive.label, negative.label) != (True, False):
        return TemplateDifference("the label is not what draw.coin() said", positive.text, negative.text)
    if (positive.group, positive.shared) != (negative.group, negative.shared):
        return TemplateDifference("its group depends on the label", positive.text, negative.text)
    for first, second in ((positive.text, negative.text), (positive.text_b or "", negative.text_b or "")):
        reason = _difference(first, second, row, recipe.candidate_fields)
        if reason:
            return TemplateDifference(reason, first, second)
    return None


def _difference(positive: str, negative: str, row: Row, candidates: tuple[str, ...]) -> str:
    """Describe where the skeletons differ; empty where they are the same."""
    fields = _signs(row, candidates)
    names = {sign: name for sign, (name, _) in fields.items()}
    skeleton, other = (_template(text, fields) for text in (positive, negative))
    if skeleton == other:
        return ""
    shown_whole = any(sign in skeleton + other for sign, name in names.items() if name == _CANDIDATE)
    here, there = _middles(positive, negative)
    values = [value for name, values_of_field in fields.values() if name == _CANDIDATE for value in values_of_field]
    if not shown_whole and all(any(part in value for value in values) for part in (here, there)):
        return ""  # the recipe shows a part of a candidate field, such as the last turn of a conversation
    first, second = (_readable(part, names) for part in _middles(skeleton, other))
    return f"{first} in positives where negatives have {second}"


_CANDIDATE = "candidate"


def _signs(row: Row, candidates: tuple[str, ...]) -> dict[str, tuple[str, list[str]]]:
    """Sign -> the field it stands for and the field's values; all candidate fields are one field."""
    values_by_field: dict[str, list[str]] = {_CANDIDATE: []}
    for path, value in leaves(row):
        values_by_field.setdefault(_CANDIDATE if _is_candidate(path, candidates) else path, []).append(value)
    return {chr(_FIRST_SIGN + i): field for i, field in enumerate(values_by_field.items())}


def _is_candidate(path: str, candidates: tuple[str, ...]) -> bool:
    return any(path == field or path.startswith(f"{field}.") for field in candidates)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and text of every value in a row, without surrounding white space; list positions are no part of a path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from leaves(inner, path)
    elif value is not None and str(value).strip():
        yield path, str(value).strip()


def _template(text: str, fields: dict[str, tuple[str, list[str]]]) -> str:
    """The text with every value replaced by its field's sign: longer values first, candidates before equal others."""
    values = [(value, sign) for sign, (_, values_of_field) in fields.items() for value in values_of_field]
    for value, sign in sorted(values, key=lambda pair: (-len(pair[0]), pair[1])):
        text = text.replace(value, sign)
    return text


def _middles(first: str, second: str) -> tuple[str, str]:
    """Both texts without what they have in common at the beginning and the end."""
    head = _num_equal(first, second)
    first, second = first[head:], second[head:]
    tail = _num_equal(first[::-1], second[::-1])
    return first[: len(first) - tail], second[: len(second) - tail]


def _num_equal(first: str, second: str) -> int:
    """How many characters two texts have in common from the beginning."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (left, right) in pairs if left != right), min(len(first), len(second)))


def _readable(part: str, names: dict[str, str]) -> str:
    for sign, name in names.items():
        part = part.replace(sign, f"<{name}>")
    return repr(part[:80]) if part else "nothing"
