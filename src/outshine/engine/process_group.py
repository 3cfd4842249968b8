"""The processes that compute one run together. Usually there is one, and everything here does nothing."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")
_SLOT = "team"


class ProcessGroup:
    """One process alone. Several, one for each GPU, are `outshine.learn.distributed.TorchProcessGroup`.

    All processes of a team call the same methods in the same order. The leader alone decides what is missing, takes
    locks, writes the store and prints; the others compute along.
    """

    rank: int = 0  # of this process
    size: int = 1  # processes

    @property
    def is_main(self) -> bool:
        """Whether this is the process that decides, writes and prints."""
        return self.rank == 0

    def broadcast(self, value: T) -> T:
        """The leader's value, as JSON keeps it; what the others give is not looked at. Waits for all of them."""
        return value


ONE_PROCESS = ProcessGroup()


def processes_in(memory: dict[str, Any]) -> ProcessGroup:
    """The team of a worker, from what it keeps between stages."""
    return memory.get(_SLOT, ONE_PROCESS)


def remember(processes: ProcessGroup, memory: dict[str, Any]) -> None:
    """Have the stages that are given this memory computed by the team."""
    memory[_SLOT] = processes
