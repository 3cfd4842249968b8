"""Sharding of one frozen base model: each process keeps a part of every block and gathers the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from outshine.engine.errors import SettingsError
from outshine.engine.process_group import ONE_PROCESS, ProcessGroup
from outshine.learn.blocks import every_block
from outshine.learn.distributed import local_rank, local_size
from outshine.learn.load import load_backbone
from outshine.learn.spec import ClassifierSpec, Full, in_four_bits

_TEAM = "team_of_shards"
FULL = (
    "tuning: full trains every weight, and several processes share only a frozen base; "
    "use tuning: lora or head, or start outshine in one process, without torchrun"
)
FOUR_BITS = (
    "tuning.base: nf4 keeps its constants beside the weights, where several processes cannot share them; "
    "use base: dense, or start outshine in one process, without torchrun"
)


def load_shared(spec: ClassifierSpec, device: torch.device, processes: ProcessGroup) -> nn.Module:
    """The frozen base, of whose every weight each process keeps the part 1 / `processes.size`; the adapters come later.

    The processes of a machine load it one after the other: its memory holds one whole model at a time, and no GPU
    ever more than its part and one block. Raises SettingsError for full tuning and for devices without partners.
    """
    if isinstance(spec.tuning, Full):
        raise SettingsError(FULL)
    if in_four_bits(spec):
        raise SettingsError(FOUR_BITS)
    _check_device(device)
    mesh = init_device_mesh(device.type, (processes.size,))
    shared: nn.Module | None = None
    for turn in range(processes.size):  # machines may have different numbers of processes, but all wait as often
        if turn == local_rank():
            shared = load_backbone(spec, device, lambda whole: _shard(whole, spec.num_layers, mesh))
        processes.broadcast(None)
    assert shared is not None
    setattr(shared, _TEAM, processes)
    return shared


def processes_of(holder: Any) -> ProcessGroup:
    """The process group that shares a base, or the base of a classifier or cohort; else one process."""
    return getattr(getattr(holder, "backbone", holder), _TEAM, ONE_PROCESS)


def forward_only(processes: ProcessGroup) -> torch.inference_mode | torch.no_grad:
    """A context for forward passes. What FSDP gathers in inference mode could not be used in training afterwards."""
    return torch.inference_mode() if processes.size == 1 else torch.no_grad()


def _shard(backbone: nn.Module, num_layers: int, mesh: DeviceMesh) -> nn.Module:
    from torch.distributed.fsdp import fully_shard  # most of a second to import: for those who need it

    backbone.requires_grad_(False)
    for block in every_block(backbone, num_layers):
        fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(backbone, mesh=mesh, reshard_after_forward=True)
    return backbone


def _check_device(device: torch.device) -> None:
    if device.type not in ("cpu", "cuda"):
        raise SettingsError(f"several processes cannot share a model on device '{device}'; use runtime.device: cpu")
    if device.type == "cuda" and local_rank() >= torch.cuda.device_count():
        raise SettingsError(
            f"{local_size()} processes on a machine with {torch.cuda.device_count()} GPUs; "
            "start as many as it has (torchrun --nproc-per-node), or use runtime.device: cpu"
        )
