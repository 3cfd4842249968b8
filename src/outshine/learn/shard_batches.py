"""Batches scattered over the processes that share a model, and their results gathered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from outshine.engine.errors import StoreError
from outshine.engine.process_group import ProcessGroup
from outshine.learn.distributed import TorchProcessGroup


class BatchOfProcess(NamedTuple):
    """The batch of this process in one turn of all processes."""

    rows: list[int]
    counts: bool  # False: passed only because the others pass too, and each lends its part of the weights to all
    dealt: list[list[int]]  # the batches that all processes have in this turn, by rank; of the last ranks perhaps none


def shard_batches(batches: Sequence[list[int]], processes: ProcessGroup) -> Iterator[BatchOfProcess]:
    """The passes of this process, as many as any other makes: batches go round, neighbours being of similar length."""
    for start in range(0, len(batches), processes.size):
        dealt = list(batches[start : start + processes.size])
        counts = processes.rank < len(dealt)
        yield BatchOfProcess(dealt[processes.rank] if counts else dealt[-1][-1:], counts, dealt)


def sum_gradients(members: Sequence[dict[str, nn.Parameter]], processes: ProcessGroup) -> None:
    """Replace every `.grad` by its sum over all processes, in one exchange; all have the same parameters.

    A parameter that the loss does not reach has no gradient in any of them.
    """
    if not isinstance(processes, TorchProcessGroup):
        return
    found = [p.grad for parameters in members for p in parameters.values() if p.grad is not None]
    if not found:
        return
    whole = torch.cat([gradient.flatten() for gradient in found])
    processes.add_up(whole)
    for gradient, part in zip(found, whole.split([one.numel() for one in found]), strict=True):
        gradient.copy_(part.view_as(gradient))


def sum_over_processes(values: Tensor, processes: ProcessGroup) -> None:
    """Replace numbers in CPU memory, zero where this process found none, by the sum over all processes."""
    if isinstance(processes, TorchProcessGroup):
        processes.add_up(values)


def collected(
    turn: BatchOfProcess, states: dict[int, Tensor], processes: ProcessGroup
) -> list[tuple[list[int], dict[int, Tensor]]]:
    """Rows and their states [rows, d] by layer, of every process's batch in this turn."""
    if not isinstance(processes, TorchProcessGroup):
        return [(turn.rows, states)]
    most = max(map(len, turn.dealt))
    parts: list[dict[int, Tensor]] = [{} for _ in turn.dealt]
    for layer, own in sorted(states.items()):
        padded = own.new_zeros(most, *own.shape[1:])
        padded[: len(own)] = own
        for part, found in zip(parts, processes.gather(padded), strict=False):
            part[layer] = found
    return [
        (rows, {layer: found[: len(rows)] for layer, found in part.items()})
        for rows, part in zip(turn.dealt, parts, strict=True)
    ]


def agreed(made: int, processes: ProcessGroup) -> int:
    """The updates that a checkpoint has; all processes must have read the same one. Raises StoreError."""
    told = processes.broadcast(made)
    if told != made:
        raise StoreError(
            f"process {processes.rank} reads a checkpoint after {made} updates, process 0 one after {told}; "
            "the store must lie on a file system that all processes share"
        )
    return made
