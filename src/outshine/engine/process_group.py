"""The group of processes that compute one run together; usually it has one member, and nothing here does anything."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")
_SLOT = "process_group"


class ProcessGroup:
    """The processes that compute one run together; this class is one process alone.

    Several, one for each GPU, are `outshine.learn.distributed.TorchProcessGroup`. All processes of a group call the
    same methods in the same order. The main process alone decides what is missing, takes locks, writes the store and
    prints; the others compute along.
    """

    rank: int = 0  # of this process
    size: int = 1  # processes

    @property
    def is_main(self) -> bool:
        """Whether this is the process that decides, writes and prints."""
        return self.rank == 0

    def broadcast(self, value: T) -> T:
        """The main process's value, as JSON keeps it; what the others give is not looked at. Waits for all of them."""
        return value


ONE_PROCESS = ProcessGroup()


def processes_in(memory: dict[str, Any]) -> ProcessGroup:
    """The process group of a worker, from what it keeps between stages."""
    return memory.get(_SLOT, ONE_PROCESS)


def remember(processes: ProcessGroup, memory: dict[str, Any]) -> None:
    """Have the stages that are given this memory computed by this process group."""
    memory[_SLOT] = processes
