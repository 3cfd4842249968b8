"""Which rows make up an update, and how they are cut into micro-batches that fit into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from outshine.engine.runtime import Runtime
from outshine.learn.model_checks import Sharing


class Limits(NamedTuple):
    """How batches are cut."""

    tokens: int  # in a batch at most, padding counts; a single text may exceed it
    rows: int | None = None  # in a batch at most
    cost: int = 32  # tokens that a batch costs beside its own
    parts: int = 1  # packs: a multiple of it, for so many are computed at once

    def shared(self, num_members: int) -> Limits:
        """What is left for the texts where each goes through once for every member of a cohort."""
        rows = None if self.rows is None else max(1, self.rows // num_members)
        return Limits(max(1, self.tokens // num_members), rows, self.cost // num_members, self.parts)


def training_limits(runtime: Runtime, device_type: str) -> Limits:
    """Of micro-batches."""
    budget = runtime.budget(device_type)
    return Limits(budget.training, runtime.max_rows, budget.batch_cost, _parts(device_type))


def evaluation_limits(runtime: Runtime, device_type: str) -> Limits:
    """Of batches that are predicted or read."""
    budget = runtime.budget(device_type)
    return Limits(budget.evaluation, runtime.max_eval_rows, budget.batch_cost, _parts(device_type))


def _parts(device_type: str) -> int:
    """As many as are computed at once where nothing else was asked for: results do not depend on `runtime.lanes`."""
    return 2 if device_type == "cpu" else 1


class LabelledRows(NamedTuple):
    """Training rows: ids, token ids and soft labels y = P(y = 1), all in the same order."""

    ids: list[str]
    tokens: list[list[int]]
    y: np.ndarray  # [n] float64 in [0, 1]

    def take(self, rows: Sequence[int]) -> LabelledRows:
        """The rows of these numbers, in this order."""
        return LabelledRows([self.ids[i] for i in rows], [self.tokens[i] for i in rows], self.y[list(rows)])


def epoch_order(ids: Sequence[str], seed: int, epoch: int) -> list[int]:
    """The order of an epoch's rows: by a hash of (seed, epoch, id).

    So it depends neither on the role nor on which other rows there are: ceiling and students share it,
    and dropping some rows leaves the order of the rest.
    """

    def rank(index: int) -> bytes:
        return hashlib.sha256(f"batch order\x1f{seed}\x1f{epoch}\x1f{ids[index]}".encode()).digest()

    return sorted(range(len(ids)), key=rank)


def effective_batch(
    ids: Sequence[str], seed: int, batch_size: int, step: int, cache: dict[int, list[int]]
) -> list[int]:
    """The rows of update `step` (from 0). `cache` keeps the order of the current epoch."""
    per_epoch = -(-len(ids) // batch_size)
    epoch, position = divmod(step, per_epoch)
    if epoch not in cache:
        cache.clear()
        cache[epoch] = epoch_order(ids, seed, epoch)
    return cache[epoch][position * batch_size : (position + 1) * batch_size]


def micro_batches(
    lengths: Sequence[int], rows: Sequence[int], limits: Limits, sharing: Sharing = "any"
) -> list[list[int]]:
    """Cut `rows` into micro-batches of similar length, each within the limits, of texts that may share a batch.

    Of all ways to cut the rows in the order of their lengths the one with the least Σ (padded tokens + cost), found
    by dynamic programming. The longest come first, so that too little memory shows at once.
    """
    order = sorted(rows, key=lambda i: (-lengths[i], i))
    if sharing == "none":
        return [[row] for row in order]
    widths = np.array([lengths[i] for i in order], dtype=np.int64)
    least = np.zeros(len(order) + 1, dtype=np.int64)  # cost of the first rows, cut at best
    first = [0] * len(order)  # where the last batch of these begins
    for last in range(len(order)):
        # a batch is as wide as its first row, and rows before this one are no narrower
        most = max(1, min(limits.tokens // int(widths[last]), limits.rows or len(order), last + 1))
        starts = np.arange(last + 1 - most, last + 1)
        padded = (last + 1 - starts) * widths[starts]
        fits = (padded <= limits.tokens) | (starts == last)
        if sharing == "equal":
            fits &= widths[starts] == widths[last]
        costs = np.where(fits, least[starts] + padded + limits.cost, np.iinfo(np.int64).max)
        chosen = int(costs.argmin())
        first[last], least[last + 1] = int(starts[chosen]), costs[chosen]
    batches, end = [], len(order)
    while end:
        batches.append(order[first[end - 1] : end])
        end = first[end - 1]
    return batches[::-1]


def packs(lengths: Sequence[int], rows: Sequence[int], limits: Limits) -> list[list[int]]:
    """Cut `rows` into micro-batches of about equally many tokens, none of them padding, each within the limits.

    There are as few as fit, and a multiple of the limits' `parts`. Where texts are too long for equal shares, each
    batch is filled as far as it goes. Rows of similar length lie together, the longest first.
    """
    order = sorted(rows, key=lambda i: (-lengths[i], i))
    total, most = sum(lengths[i] for i in order), limits.rows or len(order)
    least = max(-(-total // limits.tokens), -(-len(order) // most))
    for more in range(4):
        batches = _equal(order, lengths, (-(-least // limits.parts) + more) * limits.parts)
        if all(_fits(batch, lengths, limits) for batch in batches):
            return batches
    batches = [[order[0]]]
    for row in order[1:]:
        if _fits([*batches[-1], row], lengths, limits):
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def _equal(order: Sequence[int], lengths: Sequence[int], count: int) -> list[list[int]]:
    """At most `count` batches of about as many tokens: a row is in the one that its middle lies in."""
    tokens = np.array([lengths[i] for i in order])
    numbers = (2 * tokens.cumsum() - tokens) * count // (2 * tokens.sum())
    return [[row for _, row in batch] for _, batch in groupby(zip(numbers, order, strict=True), itemgetter(0))]


def _fits(batch: Sequence[int], lengths: Sequence[int], limits: Limits) -> bool:
    """Whether a pack is within the limits; a text alone is."""
    if limits.rows is not None and len(batch) > limits.rows:
        return False
    return len(batch) == 1 or sum(lengths[row] for row in batch) <= limits.tokens


def collate(
    tokens: Sequence[Sequence[int]], rows: Sequence[int], pad_id: int, device: torch.device
) -> tuple[Int[Tensor, "b t"], Int[Tensor, "b t"]]:
    """Token ids padded on the right, and the mask of real tokens."""
    width = max(len(tokens[row]) for row in rows)
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        length = len(tokens[row])
        ids[i, :length] = torch.tensor(tokens[row], dtype=torch.long)
        mask[i, :length] = 1
    return ids.to(device), mask.to(device)
