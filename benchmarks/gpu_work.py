"""What the GPU benchmark puts through a model, and how it is timed."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from gpu_model import Batch, Setup, Students
from torch import Tensor, nn
from torch.nn import functional

UPDATE = 32  # texts of one optimizer update
ROUND_TO = 16  # widths of compiled batches: fewer shapes


class Workload(NamedTuple):
    """Texts like a dataset's: log-normal lengths with this mean; `sigma` of ln(length) makes the tail."""

    name: str
    mean: float
    sigma: float
    longest: int


SCIQ = Workload("SciQ-like", 31, 0.35, 128)
BOOLQ = Workload("BoolQ-like", 150, 0.5, 1024)


def lengths(workload: Workload, num_rows: int) -> list[int]:
    """Log-normal quantiles in a fixed random order: every run and setup has the same texts."""
    levels = (torch.arange(num_rows, dtype=torch.float64) + 0.5) / num_rows
    z = torch.special.ndtri(levels)
    drawn = torch.exp(math.log(workload.mean) - workload.sigma**2 / 2 + workload.sigma * z)
    order = torch.randperm(num_rows, generator=torch.Generator().manual_seed(0))
    return drawn.round().clamp(4, workload.longest).long()[order].tolist()


def texts(workload: Workload, num_rows: int, vocabulary: int) -> list[Tensor]:
    """Random token ids of these lengths."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(1, vocabulary, (n,), generator=generator) for n in lengths(workload, num_rows)]


def micro_batches(rows: Sequence[int], sizes: Sequence[int], setup: Setup) -> list[list[int]]:
    """Cut rows into micro-batches: one text each, packs as they come, or buckets of similar length, longest first.

    `setup.budget` counts the tokens of all members together; a single text may exceed it.
    """
    if setup.budget == 0:
        return [[row] for row in rows]
    budget = setup.budget // setup.members
    batches: list[list[int]] = []
    for row in rows if setup.packed else sorted(rows, key=lambda i: (-sizes[i], i)):
        current = batches[-1] if batches else []
        used = sum(sizes[i] for i in current) if setup.packed else len(current) * sizes[current[0]] if current else 0
        added = sizes[row] if setup.packed or not current else sizes[current[0]]
        if current and used + added <= budget:
            current.append(row)
        else:
            batches.append([row])
    return batches


def collate(corpus: Sequence[Tensor], rows: Sequence[int], setup: Setup, device: torch.device) -> Batch:
    """Texts as a padded batch [b, t], or one after the other as [1, t]."""
    if setup.packed:
        return _packed(corpus, rows, device)
    return _padded(corpus, rows, ROUND_TO if setup.compiled else 1, device)


def _padded(corpus: Sequence[Tensor], rows: Sequence[int], multiple: int, device: torch.device) -> Batch:
    chosen = [corpus[row] for row in rows]
    sizes = torch.tensor([len(text) for text in chosen])
    width = -(-int(sizes.max()) // multiple) * multiple
    ids = torch.zeros(len(chosen), width, dtype=torch.long)
    for row, text in enumerate(chosen):
        ids[row, : len(text)] = text
    mask = (torch.arange(width) < sizes[:, None]).long()
    places = (torch.arange(len(chosen), device=device), (sizes - 1).to(device))
    return Batch(torch.tensor(rows, device=device), ids.to(device), mask.to(device), places)


def _packed(corpus: Sequence[Tensor], rows: Sequence[int], device: torch.device) -> Batch:
    chosen = [corpus[row] for row in rows]
    sizes = torch.tensor([len(text) for text in chosen])
    ends = sizes.cumsum(0)
    positions = torch.cat([torch.arange(len(text)) for text in chosen])
    starts = functional.pad(ends, (1, 0)).to(torch.int32)
    return Batch(
        torch.tensor(rows, device=device),
        torch.cat(chosen)[None].to(device),
        None,
        (torch.zeros(len(chosen), dtype=torch.long, device=device), (ends - 1).to(device)),
        positions[None].to(device),
        starts.to(device),
        int(sizes.max()),
    )


class Run(NamedTuple):
    """A setup's students on a workload. Batches are on the device before the clock starts."""

    model: Students
    batches: list[list[Batch]]  # by update
    real_tokens: int  # of all members
    padded_tokens: int
    examples: int
    students: Tensor  # [m, 1] numbers of the members, which their labels follow


def plan_run(
    model: Students,
    setup: Setup,
    corpus: Sequence[Tensor],
    training: bool,
    device: torch.device,
    first_student: int = 0,
) -> Run:
    """Updates of 32 texts in training; in evaluation all texts at once."""
    sizes = [len(text) for text in corpus]
    step = UPDATE if training else len(corpus)
    updates = [range(start, min(start + step, len(corpus))) for start in range(0, len(corpus), step)]
    cut = [micro_batches(rows, sizes, setup) for rows in updates]
    batches = [[collate(corpus, rows, setup, device) for rows in update] for update in cut]
    padded = sum(batch.ids.numel() for update in batches for batch in update)
    numbers = first_student + torch.arange(setup.members, device=device)[:, None]
    members = setup.members
    return Run(model, batches, sum(sizes) * members, padded * members, len(corpus) * members, numbers)


def train_pass(run: Run, optimizer: torch.optim.Optimizer) -> None:
    """Every update once: cross-entropy of each member with its own labels, gradient clipped member by member."""
    for update in run.batches:
        num_texts = sum(len(batch.ends[0]) for batch in update)
        for batch in update:
            log_odds = run.model(batch)
            labels = (batch.rows + run.students) % 3 / 2
            loss = functional.binary_cross_entropy_with_logits(log_odds, labels, reduction="sum")
            (loss / num_texts).backward()
        clip(run.model.trainable(), run.model.members)
        optimizer.step()
        optimizer.zero_grad()


def clip(parameters: Sequence[nn.Parameter], members: int, largest: float = 1.0) -> None:
    """Scale each member's gradient down to this norm. With several members the first dimension is the member."""
    if members == 1:
        nn.utils.clip_grad_norm_(parameters, largest)
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    squares = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients])
    factors = (largest / (squares.sum(0).sqrt() + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.dim() - 1)))


@torch.no_grad()
def evaluate_pass(run: Run) -> list[Tensor]:
    """The log-odds [m, n] of every batch."""
    return [run.model(batch) for update in run.batches for batch in update]


class Timing(NamedTuple):
    """Seconds of the first pass (with compilation and warm-up), the median of later ones, how many, peak bytes."""

    first: float
    median: float
    passes: int
    peak_bytes: int | None


def timed(run: Callable[[], object], device: torch.device, seconds: float) -> Timing:
    """Run once to warm up, then at least twice and until `seconds` are over."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    first = _seconds(run, device)
    later: list[float] = []
    while len(later) < 2 or sum(later) < seconds:
        later.append(_seconds(run, device))
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return Timing(first, statistics.median(later), len(later), peak)


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    start = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    """Wait for what the device was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def clean(device: torch.device) -> None:
    """Give the memory of the last configuration back."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def matmul_rate(
    device: torch.device, dtype: torch.dtype, shapes: Sequence[tuple[int, int, int]], seconds: float
) -> float:
    """The best FLOP/s of x [n, in] times W [in, out] over these shapes (n, in, out), of random values."""
    best = 0.0
    for rows, inputs, outputs in shapes:
        x, w = (torch.randn(shape, device=device, dtype=dtype) for shape in ((rows, inputs), (inputs, outputs)))

        def several(x: Tensor = x, w: Tensor = w) -> None:
            for _ in range(10):
                torch.matmul(x, w)

        best = max(best, 10 * 2 * rows * inputs * outputs / timed(several, device, seconds).median)
    return best
