"""Micro-batches in parallel on a CPU, one a thread, with results in the order of the micro-batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from outshine.engine.runtime import Runtime

T = TypeVar("T")
R = TypeVar("R")
LEAST_WIDTH = 128  # of the hidden states; below it issuing operations takes longest: measured, docs/performance.md


def num_parallel_batches(runtime: Runtime, head: Float[Tensor, "2 d"]) -> int:
    """How many micro-batches of the model with this head are computed at once.

    On a CPU the operations between the matrix products are too small to be shared by threads well, so that two
    micro-batches on half of the threads each are through sooner than one after the other on all of them. Not so where
    the model is so small that issuing operations takes longest, for only one thread at a time can do that.
    """
    if head.device.type != "cpu":
        return 1
    wanted = runtime.lanes or (2 if computes(head) else 1)
    return min(wanted, torch.get_num_threads())


def computes(head: Float[Tensor, "2 d"]) -> bool:
    """Whether the model with this head is large enough that computing takes longer than issuing operations."""
    return head.shape[-1] >= LEAST_WIDTH


@contextmanager
def suitable_threads(runtime: Runtime, head: Float[Tensor, "2 d"]) -> Iterator[None]:
    """One thread while the block runs where the model with this head is tiny and no number was asked for.

    Its products are so small that two threads mostly wait for each other: as long alone, and longer beside others.
    """
    before = torch.get_num_threads()
    if runtime.threads is None and head.device.type == "cpu" and not computes(head):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_in_parallel(compute: Callable[[T], R], items: Iterable[T], count: int) -> Iterator[R]:
    """`compute` of each item, in the order of the items, up to `count` at once, which share torch's threads.

    Modes that belong to a thread (gradients, autocast) are to be set by `compute`. Where one fails its error is raised
    when those that run are through: nothing goes on behind the back of the caller.
    """
    if count == 1:
        yield from map(compute, items)
        return
    pool = _pool(count, torch.get_num_threads())
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(compute, item))
            if len(waiting) > count:  # one behind those that run: a lane never stands still for a slow first
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting)


@cache
def _pool(count: int, threads: int) -> ThreadPoolExecutor:
    """Threads that stay, for what torch keeps for products of each shape it keeps for each thread."""
    pool = ThreadPoolExecutor(count, "lane")
    started = Barrier(count)

    def start() -> None:
        torch.get_num_threads()  # a new thread takes torch's number when it first asks: before it gets its own
        torch.set_num_threads(max(1, threads // count))
        started.wait()

    wait([pool.submit(start) for _ in range(count)])
    torch.set_num_threads(threads)  # for threads to come, which would take that of the lanes
    return pool
