"""Several processes that share one model: how they meet, deal out batches, add up results, and end together."""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore

from outshine.engine.errors import OutshineError, SettingsError, StoreError
from outshine.engine.process_group import ONE_PROCESS, ProcessGroup

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store


T = TypeVar("T")

# the others wait while the main process prepares, probes, audits or waits for a lock; a process that dies ends the wait
_PATIENCE = timedelta(days=365)
_FAILED = "failed"
SHARED_BY = "shared_by"  # the attribute of a base that processes share: their group


class EndedError(OutshineError):
    """Another process of the group has ended; if it could, it said why."""

    def __init__(self) -> None:
        super().__init__(
            "another process of this run has ended, perhaps killed for its memory; see what was said before"
        )


class TorchProcessGroup(ProcessGroup):
    """Several processes of one run, each with a device of its own and the same store before it.

    Values and tensors in CPU memory go over gloo; tensors on GPUs over NCCL. Nothing is pickled.
    """

    def __init__(self, store: Store | None) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        self._store = store
        control = dist.new_group(backend="gloo", timeout=_PATIENCE)
        assert isinstance(control, dist.ProcessGroup)
        self._control = control

    def broadcast(self, value: T) -> T:
        data = json.dumps(value).encode() if self.is_main else b""
        length = torch.tensor([len(data)])
        with _partners():
            dist.broadcast(length, 0, group=self._control)
            message = torch.empty(int(length), dtype=torch.uint8)
            if self.is_main:
                message.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
            dist.broadcast(message, 0, group=self._control)
        return json.loads(message.numpy().tobytes())

    def add_up(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes, to the same bits in each."""
        with _partners():
            dist.all_reduce(tensor, group=self._control if tensor.device.type == "cpu" else None)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return every process's tensor, by rank, in CPU memory; they are of one shape and dtype."""
        own = tensor.detach().cpu().contiguous().view(torch.uint8)
        parts = [torch.empty_like(own) for _ in range(self.size)]
        with _partners():
            dist.all_gather(parts, own, group=self._control)
        return [part.view(tensor.dtype) for part in parts]

    def claims(self) -> bool:
        """Whether this is the first process that failed: it says why, the others end in silence."""
        try:
            return self._store is None or self._store.add(_FAILED, 1) == 1
        except RuntimeError:  # the store went with the process that kept it
            return True


@cache  # a process has one group for its whole life
def join() -> TorchProcessGroup:
    """Meet the other processes that torchrun (or what sets the same variables) started.

    Each takes the GPU of its LOCAL_RANK where there is one. Raises SettingsError where they do not find each other.
    """
    if not dist.is_available():
        raise SettingsError("this build of torch cannot compute in several processes; start one, without torchrun")
    if dist.is_initialized():  # by the program that calls outshine
        return TorchProcessGroup(None)
    from torch.distributed.rendezvous import rendezvous

    cuda = torch.cuda.is_available()
    if cuda and local_rank() < torch.cuda.device_count():
        torch.cuda.set_device(local_rank())
    try:
        meeting, rank, size = next(rendezvous("env://"))
        # the same store serves a second start after a failure, and still has the addresses of the first
        store = PrefixStore(f"outshine/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", meeting)
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", store=store, rank=rank, world_size=size)
        processes = TorchProcessGroup(store)
    except (ValueError, RuntimeError) as error:
        raise SettingsError(
            f"WORLD_SIZE={os.environ.get('WORLD_SIZE')} asks for several processes, but they cannot find each other "
            f"({str(error).splitlines()[0]}); start them with torchrun, or unset WORLD_SIZE"
        ) from error
    atexit.register(dist.destroy_process_group)
    return processes


@contextmanager
def joined() -> Iterator[TorchProcessGroup]:
    """Give the process group to the block. The first process that fails raises why, the others exit with 1."""
    processes = join()
    try:
        yield processes
    except BaseException as error:
        atexit.unregister(dist.destroy_process_group)  # it would wait for those who are gone
        if not isinstance(error, Exception):
            raise
        if not processes.claims():
            raise SystemExit(1) from None
        if _is_lost(error):
            raise EndedError from error
        raise


def local_rank() -> int:
    """Return this process's number on its machine."""
    return int(os.environ.get("LOCAL_RANK", os.environ.get("RANK", "0")))


def local_size() -> int:
    """Return how many processes of the group are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))


@contextmanager
def _partners() -> Iterator[None]:
    """Raise EndedError where torch says that another process is gone."""
    try:
        yield
    except RuntimeError as error:
        if _is_lost(error):
            raise EndedError from error
        raise


def _is_lost(error: Exception) -> bool:
    """Whether torch says that another process did not answer."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        isinstance(error, dist.DistError) or any(sign in text for sign in ("gloo", "nccl", "connection"))
    )


def processes_of(holder: Any) -> ProcessGroup:
    """Return the process group that shares a base, or the base of a classifier or cohort; else one process."""
    return getattr(getattr(holder, "backbone", holder), SHARED_BY, ONE_PROCESS)


def forward_only(processes: ProcessGroup) -> torch.inference_mode | torch.no_grad:
    """Return a context for forward passes: what FSDP gathers in inference mode could not be trained afterwards."""
    return torch.inference_mode() if processes.size == 1 else torch.no_grad()


class BatchOfProcess(NamedTuple):
    """The batch of this process in one turn of all processes."""

    rows: list[int]
    counts: bool  # False: passed only because the others pass too, and each lends its part of the weights to all
    of_all: list[list[int]]  # the batches that all processes have in this turn, by rank; of the last ranks perhaps none


def shard_batches(batches: Sequence[list[int]], processes: ProcessGroup) -> Iterator[BatchOfProcess]:
    """Give this process its batches, as many as any other gets: they go round, neighbours being of similar length."""
    for start in range(0, len(batches), processes.size):
        of_all = list(batches[start : start + processes.size])
        counts = processes.rank < len(of_all)
        yield BatchOfProcess(of_all[processes.rank] if counts else of_all[-1][-1:], counts, of_all)


def sum_gradients(leaves: Sequence[nn.Parameter], processes: ProcessGroup) -> None:
    """Replace every `.grad` by its sum over all processes, in one exchange; all have the same parameters.

    A parameter that the loss does not reach has no gradient in any of them.
    """
    if not isinstance(processes, TorchProcessGroup):
        return
    gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
    if not gradients:
        return
    whole = torch.cat([gradient.flatten() for gradient in gradients])
    processes.add_up(whole)
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, part in zip(gradients, whole.split(sizes), strict=True):
        gradient.copy_(part.view_as(gradient))


def sum_over_processes(values: Tensor, processes: ProcessGroup) -> None:
    """Replace numbers in CPU memory, zero where this process found none, by the sum over all processes."""
    if isinstance(processes, TorchProcessGroup):
        processes.add_up(values)


def gather_states(
    batch: BatchOfProcess, states: dict[int, Tensor], processes: ProcessGroup
) -> list[tuple[list[int], dict[int, Tensor]]]:
    """Return the rows and their states [rows, d] by layer, of every process's batch in this turn."""
    if not isinstance(processes, TorchProcessGroup):
        return [(batch.rows, states)]
    most = max(map(len, batch.of_all))
    parts: list[dict[int, Tensor]] = [{} for _ in batch.of_all]
    for layer, own in sorted(states.items()):
        padded = own.new_zeros(most, *own.shape[1:])
        padded[: len(own)] = own
        for part, gathered in zip(parts, processes.gather(padded), strict=False):
            part[layer] = gathered
    return [
        (rows, {layer: own[: len(rows)] for layer, own in part.items()})
        for rows, part in zip(batch.of_all, parts, strict=True)
    ]


def check_same_checkpoint(made: int, processes: ProcessGroup) -> int:
    """Return the updates that a checkpoint has. Raises StoreError where the processes have read different ones."""
    in_main = processes.broadcast(made)
    if in_main != made:
        raise StoreError(
            f"process {processes.rank} reads a checkpoint after {made} updates, process 0 one after {in_main}; "
            "the store must lie on a file system that all processes share"
        )
    return made
