"""The process group of torchrun: how processes meet, communicate, and end together."""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore

from outshine.engine.errors import OutshineError, SettingsError
from outshine.engine.process_group import ProcessGroup

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")

# the others wait while the main process prepares, probes, audits or waits for a lock; a process that dies ends the wait
_PATIENCE = timedelta(days=365)
_FAILED = "failed"


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
            told = torch.empty(int(length), dtype=torch.uint8)
            if self.is_main:
                told.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
            dist.broadcast(told, 0, group=self._control)
        return json.loads(told.numpy().tobytes())

    def add_up(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes, to the same bits in each."""
        with _partners():
            dist.all_reduce(tensor, group=self._control if tensor.device.type == "cpu" else None)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Every process's tensor, by rank, in CPU memory; they are of one shape and dtype."""
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
        found, rank, size = next(rendezvous("env://"))
        # the same store serves a second start after a failure, and still has the addresses of the first
        store = PrefixStore(f"outshine/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", found)
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
    """The process group while the block runs. The first process that fails raises why, the others exit with 1."""
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
    """This process's number on its machine."""
    return int(os.environ.get("LOCAL_RANK", os.environ.get("RANK", "0")))


def local_size() -> int:
    """Processes of the group on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))


@contextmanager
def _partners() -> Iterator[None]:
    """What torch says where a partner is gone, as an error of ours."""
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
