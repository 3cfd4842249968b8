"""Which rows make up an update, and how they are cut into micro-batches that fit into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


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
    lengths: Sequence[int], rows: Sequence[int], token_budget: int, max_rows: int | None = None
) -> list[list[int]]:
    """Cut `rows` into micro-batches of similar length with at most `token_budget` padded tokens each.

    The longest come first, so that too little memory shows at once. A single row may exceed the budget.
    """
    batches: list[list[int]] = []
    for row in sorted(rows, key=lambda i: (-lengths[i], i)):
        current = batches[-1] if batches else []
        width = lengths[current[0]] if current else 0
        full = (len(current) + 1) * width > token_budget or (max_rows is not None and len(current) >= max_rows)
        if current and not full:
            current.append(row)
        else:
            batches.append([row])
    return batches


def packs(
    lengths: Sequence[int], rows: Sequence[int], token_budget: int, max_rows: int | None = None
) -> list[list[int]]:
    """Cut `rows`, in the order given, into micro-batches of at most `token_budget` tokens, none of them padding.

    A single row may exceed the budget.
    """
    batches: list[list[int]] = []
    used = 0
    for row in rows:
        current = batches[-1] if batches else []
        full = used + lengths[row] > token_budget or (max_rows is not None and len(current) >= max_rows)
        if current and not full:
            current.append(row)
            used += lengths[row]
        else:
            batches.append([row])
            used = lengths[row]
    return batches


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
