"""Batches: which rows make up an update, micro-batches that fit into memory, and forward passes over them."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache, partial
from itertools import groupby
from operator import itemgetter
from threading import Barrier
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from outshine.engine.errors import TrainingError
from outshine.engine.runtime import Runtime
from outshine.learn.classifier import Model
from outshine.learn.distributed import BatchOfProcess, forward_only, processes_of, shard_batches, sum_over_processes
from outshine.learn.model_checks import Sharing
from outshine.learn.out_of_memory import halving
from outshine.learn.packing import Pack, round_up
from outshine.learn.tokenize import PairTokens, longest_text

T = TypeVar("T")
R = TypeVar("R")
LogOdds = Callable[[], Float[Tensor, "m b *k"]]  # runs the model on the texts of a micro-batch
LEAST_WIDTH = 128  # of the hidden states; below it issuing operations takes longest: measured, docs/performance.md


class Limits(NamedTuple):
    """How large a micro-batch may be."""

    tokens: int  # in a batch at most, padding counts; a single text may exceed it
    rows: int | None = None  # in a batch at most
    cost: int = 32  # tokens that a batch costs beside its own
    parts: int = 1  # packs: a multiple of it, for so many are computed at once

    def shared(self, num_members: int) -> Limits:
        """Return what is left for the texts where each goes through once for every member of a cohort."""
        rows = None if self.rows is None else max(1, self.rows // num_members)
        return Limits(max(1, self.tokens // num_members), rows, self.cost // num_members, self.parts)


def training_limits(runtime: Runtime, device_type: str) -> Limits:
    """Return the limits of micro-batches in training."""
    budget = runtime.budget(device_type)
    return Limits(budget.training, runtime.max_rows, budget.batch_cost, _parts(device_type))


def evaluation_limits(runtime: Runtime, device_type: str) -> Limits:
    """Return the limits of micro-batches that are predicted, or whose activations are read."""
    budget = runtime.budget(device_type)
    return Limits(budget.evaluation, runtime.max_eval_rows, budget.batch_cost, _parts(device_type))


def _parts(device_type: str) -> int:
    """Return how many are computed at once by default: results must not depend on `runtime.lanes`."""
    return 2 if device_type == "cpu" else 1


class LabelledRows(NamedTuple):
    """Training rows: ids, token ids and soft labels y = P(y = 1), all in the same order."""

    ids: list[str]
    tokens: list[list[int]]
    y: np.ndarray  # [n] float64 in [0, 1]

    def take(self, rows: Sequence[int]) -> LabelledRows:
        """Return the rows of these numbers, in this order."""
        return LabelledRows([self.ids[i] for i in rows], [self.tokens[i] for i in rows], self.y[list(rows)])


def epoch_order(ids: Sequence[str], seed: int, epoch: int) -> list[int]:
    """Return the order of an epoch's rows: by a hash of (seed, epoch, id).

    So it depends neither on the role nor on which other rows there are: ceiling and students share it,
    and dropping some rows leaves the order of the rest.
    """

    def rank(index: int) -> bytes:
        return hashlib.sha256(f"batch order\x1f{seed}\x1f{epoch}\x1f{ids[index]}".encode()).digest()

    return sorted(range(len(ids)), key=rank)


def effective_batch(
    ids: Sequence[str], seed: int, batch_size: int, step: int, cache: dict[int, list[int]]
) -> list[int]:
    """Return the rows of update `step` (from 0). `cache` keeps the order of the current epoch."""
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
    """Cut into at most `count` batches of about as many tokens: a row is in the one that its middle lies in."""
    tokens = np.array([lengths[i] for i in order])
    numbers = (2 * tokens.cumsum() - tokens) * count // (2 * tokens.sum())
    return [[row for _, row in batch] for _, batch in groupby(zip(numbers, order, strict=True), itemgetter(0))]


def _fits(batch: Sequence[int], lengths: Sequence[int], limits: Limits) -> bool:
    """Whether a pack is within the limits; a text alone always is."""
    if limits.rows is not None and len(batch) > limits.rows:
        return False
    return len(batch) == 1 or sum(lengths[row] for row in batch) <= limits.tokens


def collate(
    tokens: Sequence[Sequence[int]], rows: Sequence[int], pad_id: int, device: torch.device, *, fixed: bool = False
) -> tuple[Int[Tensor, "b t"], Int[Tensor, "b t"]]:
    """Return token ids padded on the right, and the mask of real tokens.

    fixed: rounded up to one of a few sizes, by wider padding and by texts of one token that nobody reads.
    """
    width, height = max(len(tokens[row]) for row in rows), len(rows)
    if fixed:
        width, height = round_up(width), round_up(height, parts=4, least=1)
    ids = torch.full((height, width), pad_id, dtype=torch.long)
    mask = torch.zeros((height, width), dtype=torch.long)
    mask[len(rows) :, 0] = 1  # attention over nothing is no number
    for i, row in enumerate(rows):
        length = len(tokens[row])
        ids[i, :length] = torch.tensor(tokens[row], dtype=torch.long)
        mask[i, :length] = 1
    return ids.to(device), mask.to(device)


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
    """Run the model on the texts, one micro-batch after the other, and give what `use` makes of each.

    `use` gets a micro-batch of this process, and a function that gives each member's log-odds of its texts. limits: of
    one member's texts; padding counts as tokens, where there is any. blocks: those that the backward pass runs again
    instead of keeping what is inside them. at_once: micro-batches side by side, each on a thread of its own.
    """
    packed = model.packing is not None
    lengths = [len(ids) if packed or not isinstance(ids, PairTokens) else 2 * longest_text([ids]) for ids in tokens]
    rows = range(len(tokens))
    batches = packs(lengths, rows, limits) if packed else micro_batches(lengths, rows, limits, model.sharing)

    def log_odds(batch: BatchOfProcess) -> Float[Tensor, "m b *k"]:
        texts = [tokens[row] for row in batch.rows]
        pairs = any(isinstance(text, PairTokens) for text in texts)
        return _compared(model, texts, pad_id) if pairs else _log_odds(model, texts, pad_id)

    own = shard_batches(batches, processes_of(model))
    with recomputed(blocks):
        yield from run_in_parallel(lambda batch: use(batch, lambda: log_odds(batch)), own, at_once)


def _log_odds(model: Model, texts: Sequence[Sequence[int]], pad_id: int) -> Float[Tensor, "m b *k"]:
    """Of texts that go through together, packed or padded, by a CUDA graph where there is one."""
    fixed = model.graphs is not None
    if model.packing is not None:
        pack = Pack.of(texts, model.device, fixed=fixed)
        if model.graphs is None:
            return model.packed_log_odds(pack)

        def run(numbers: Int[Tensor, "s"]) -> Float[Tensor, "m n *k"]:
            return model.packed_log_odds(Pack.over(numbers, pack.size))

        return model.graphs.log_odds(pack.size, run, [pack.numbers], model.leaves())[:, : len(texts)]
    ids, mask = collate(texts, range(len(texts)), pad_id, model.device, fixed=fixed)
    if model.graphs is None:
        return model.log_odds(ids, mask)
    return model.graphs.log_odds(ids.shape, model.log_odds, [ids, mask], model.leaves())[:, : len(texts)]


def _compared(model: Model, pairs: Sequence[Sequence[int]], pad_id: int) -> Float[Tensor, "m b"]:
    """Return r(first) − r(second) of each pair, r what the head gives a text.

    Equal texts go through once, all in one order that depends on them alone: a pair the other way round has the same
    number with the other sign, to the bit.
    """
    first, second = zip(*(pair.texts for pair in pairs if isinstance(pair, PairTokens)), strict=True)
    texts = sorted({tuple(text) for text in (*first, *second)}, key=lambda text: (-len(text), text))
    place = {text: number for number, text in enumerate(texts)}
    if model.packing is not None or model.sharing == "any":
        r = _log_odds(model, texts, pad_id)
    else:
        r = torch.cat([_log_odds(model, [text], pad_id) for text in texts], dim=1)
    left, right = ([place[tuple(text)] for text in side] for side in (first, second))
    return r[:, left] - r[:, right]


def predict(
    model: Model,
    tokens: Sequence[Sequence[int]],
    pad_id: int,
    runtime: Runtime,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Return the log-odds of P(y = 1) for each text, float64, shape [n]; of a cohort's first member.

    Where memory runs out batches are smaller. Raises TrainingError where one is not finite.
    """

    def within(budget: int) -> np.ndarray:
        return predict_together(
            model, tokens, pad_id, runtime.model_copy(update={"eval_token_budget": budget}), advance
        )

    whole = runtime.budget(model.device.type).evaluation
    log_odds = halving(within, whole, 1 if processes_of(model).size == 1 else whole)[0]
    check_finite(log_odds)
    return log_odds


def predict_together(
    model: Model,
    tokens: Sequence[Sequence[int]],
    pad_id: int,
    runtime: Runtime,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Return the log-odds of P(y = 1) that each member gives to each text, float64, [m, n]; some may not be finite.

    Batches are cut by the runtime's evaluation budget, which all members share.
    """
    num_members = len(model.members())
    log_odds = np.zeros((num_members, len(tokens), *model.task.score_shape), dtype=np.float64)
    limits = evaluation_limits(runtime, model.device.type).shared(num_members)
    done, processes = 0, processes_of(model)
    at_once = num_parallel_batches(runtime, model.head) if processes.size == 1 else 1

    def judge(batch: BatchOfProcess, run: LogOdds) -> tuple[BatchOfProcess, Tensor]:
        with forward_only(processes):
            return batch, run()

    judged = passes(model, tokens, pad_id, limits, judge, at_once=at_once)
    # a GPU is asked for its numbers once it has its next batch
    for batch, values in judged if model.device.type == "cpu" else _one_behind(judged):
        if batch.counts:
            log_odds[:, batch.rows] = values.cpu().double().numpy()
        done += sum(map(len, batch.of_all))
        advance(done, len(tokens))
    sum_over_processes(torch.from_numpy(log_odds), processes)
    return log_odds


def _one_behind(items: Iterable[T]) -> Iterator[T]:
    """Give each item once the next one is there."""
    waiting: deque[T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting


def check_finite(log_odds: np.ndarray) -> None:
    """Raise TrainingError where one of a member's log-odds [n] is not finite."""
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
    """Keep of each block only what goes into it while the context runs; the backward pass runs the block again.

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


def num_parallel_batches(runtime: Runtime, head: Float[Tensor, "outputs d"]) -> int:
    """Return how many micro-batches of the model with this head are computed at once.

    On a CPU the operations between the matrix products are too small to be shared by threads well, so that two
    micro-batches on half of the threads each are through sooner than one after the other on all of them. Not so where
    the model is so small that issuing operations takes longest, for only one thread at a time can do that.
    """
    if head.device.type != "cpu":
        return 1
    wanted = runtime.lanes or (2 if is_compute_bound(head) else 1)
    return min(wanted, torch.get_num_threads())


def is_compute_bound(head: Float[Tensor, "outputs d"]) -> bool:
    """Whether the model with this head is so large that computing takes longer than issuing operations."""
    return head.shape[-1] >= LEAST_WIDTH


@contextmanager
def suitable_threads(runtime: Runtime, head: Float[Tensor, "outputs d"]) -> Iterator[None]:
    """Use one thread in this context if the model with this head is tiny and no number of threads is set.

    Its products are so small that two threads mostly wait for each other: as long alone, and longer beside others.
    """
    before = torch.get_num_threads()
    if runtime.threads is None and head.device.type == "cpu" and not is_compute_bound(head):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_in_parallel(compute: Callable[[T], R], items: Iterable[T], count: int) -> Iterator[R]:
    """Compute each item, up to `count` at once, which share torch's threads; results come in the order of the items.

    Modes that belong to a thread (gradients, autocast) are to be set by `compute`. Where one fails its error is raised
    when those that run have ended: nothing goes on behind the back of the caller.
    """
    if count == 1:
        yield from map(compute, items)
        return
    pool = _pool(count, torch.get_num_threads())
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(compute, item))
            if len(waiting) > count:  # one behind those that run: a thread never stands still for a slow first
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting)


@cache
def _pool(count: int, threads: int) -> ThreadPoolExecutor:
    """Return threads that stay: what torch keeps for products of each shape it keeps for each thread."""
    pool = ThreadPoolExecutor(count, "lane")
    started = Barrier(count)

    def start() -> None:
        torch.get_num_threads()  # a new thread takes torch's number when it first asks: before it gets its own
        torch.set_num_threads(max(1, threads // count))
        started.wait()

    wait([pool.submit(start) for _ in range(count)])
    torch.set_num_threads(threads)  # for threads to come, which would take the number of these
    return pool
