"""Forward passes in micro-batches: padded or packed, and in parallel on a CPU where that pays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from outshine.engine.errors import TrainingError
from outshine.engine.runtime import Runtime
from outshine.learn.batches import Limits, collate, evaluation_limits, micro_batches, packs
from outshine.learn.cohort import Model
from outshine.learn.packing import Pack
from outshine.learn.parallel_batches import num_parallel_batches, run_in_parallel
from outshine.learn.shard_batches import BatchOfProcess, shard_batches, sum_over_processes
from outshine.learn.sharding import forward_only, processes_of

if TYPE_CHECKING:
    from outshine.learn.cohort import Model


R = TypeVar("R")
LogOdds = Callable[[], Float[Tensor, "m b"]]  # of the texts of a pass: runs it


def passes(
    model: Model,
    tokens: Sequence[Sequence[int]],
    pad_id: int,
    limits: Limits,
    use: Callable[[BatchOfProcess, LogOdds], R],
    *,
    blocks: Iterable[nn.Module] = (),
    at_once: int = 1,
) -> Iterator[R]:
    """What `use` makes of each pass of this process, given its texts and a call for each member's log-odds of them.

    limits: of one member's texts; padding counts as tokens, where there is any. blocks: those that the backward pass
    runs again instead of keeping what is inside them. at_once: passes side by side, each on a thread of its own.
    """
    lengths, packed = [len(ids) for ids in tokens], model.packing is not None
    rows = range(len(tokens))
    batches = packs(lengths, rows, limits) if packed else micro_batches(lengths, rows, limits, model.sharing)

    def log_odds(turn: BatchOfProcess) -> Float[Tensor, "m b"]:
        if packed:
            return model.packed_log_odds(Pack.of([tokens[row] for row in turn.rows], model.device))
        return model.log_odds(*collate(tokens, turn.rows, pad_id, model.device))

    turns = shard_batches(batches, processes_of(model))
    with recomputed(blocks):
        yield from run_in_parallel(lambda turn: use(turn, lambda: log_odds(turn)), turns, at_once)


def predict(
    model: Model,
    tokens: Sequence[Sequence[int]],
    pad_id: int,
    runtime: Runtime,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Log-odds of P(y = 1) for each text, float64, shape [n]; of a cohort's first member.

    Raises TrainingError where one is not finite.
    """
    log_odds = predict_together(model, tokens, pad_id, runtime, advance)[0]
    check_finite(log_odds)
    return log_odds


def predict_together(
    model: Model,
    tokens: Sequence[Sequence[int]],
    pad_id: int,
    runtime: Runtime,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Log-odds of P(y = 1) that each member gives to each text, float64, shape [m, n]; they may not be finite.

    Batches are cut by the runtime's evaluation budget, which all members share.
    """
    num_members = len(model.members())
    log_odds = np.zeros((num_members, len(tokens), *model.task.score_shape), dtype=np.float64)
    limits = evaluation_limits(runtime, model.device.type).shared(num_members)
    done, processes = 0, processes_of(model)
    at_once = num_parallel_batches(runtime, model.head) if processes.size == 1 else 1

    def judge(turn: BatchOfProcess, run: LogOdds) -> tuple[BatchOfProcess, np.ndarray]:
        with forward_only(processes):
            return turn, run().cpu().double().numpy()

    for turn, found in passes(model, tokens, pad_id, limits, judge, at_once=at_once):
        if turn.counts:
            log_odds[:, turn.rows] = found
        done += sum(map(len, turn.dealt))
        advance(done, len(tokens))
    sum_over_processes(torch.from_numpy(log_odds), processes)
    return log_odds


def check_finite(log_odds: np.ndarray) -> None:
    """Raises TrainingError where one of a member's log-odds [n] is not finite."""
    broken = int(np.count_nonzero(~np.isfinite(log_odds)))
    if broken:
        raise TrainingError(
            f"the log-odds of {broken} of {len(log_odds)} texts are not finite: the weights have diverged; "
            "lower the learning rate or use compute_dtype: float32"
        )


# Dropout is off, so that there is no random state to keep; the re-entrant way needs inputs with gradients, which the
# first block of a frozen base has not.
_checkpointed = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)


@contextmanager
def recomputed(blocks: Iterable[nn.Module]) -> Iterator[None]:
    """Forward passes inside keep of each block only what goes in; the backward pass, in or outside, runs it again.

    The same operations on the same numbers, hence the same gradient. transformers' own checkpointing works in
    training mode only, which would switch dropout on. Blocks are as they were afterwards.
    """
    wrapped: list[nn.Module] = []
    try:
        for block in blocks:
            block.forward = partial(_checkpointed, block.forward)  # hides the class's own, no module is exchanged
            wrapped.append(block)
        yield
    finally:
        for block in wrapped:
            del block.forward
