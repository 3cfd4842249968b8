"""Checkpoints of a run in one safetensors file, from which it continues to the same bits.

A digest in the file covers all of it: a checkpoint in which one bit has changed is none.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from outshine.engine.checked_reading import ODD, parse_json
from outshine.engine.files import write_synced

_TRIES = 5  # where locks do nothing, another may finish the stage and remove the folder meanwhile


class Checkpoint(NamedTuple):
    """Everything a run needs to go on: tensors by name, and plain facts (step, curve, best so far)."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint in one step, on the disk when this returns: a killed writer leaves the old one."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    facts = json.dumps(checkpoint.facts)
    content = save(tensors, metadata={"facts": facts, "sha256": _digest(tensors, facts)})
    for left in reversed(range(_TRIES)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_synced(path, content)
            return
        except FileNotFoundError:
            if not left:
                raise


def read(path: Path) -> Checkpoint | None:
    """The checkpoint; None where there is none, or what lies there is not what was written."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts = parse_json(metadata["facts"])
        return Checkpoint(tensors, facts) if metadata["sha256"] == _digest(tensors, metadata["facts"]) else None
    except (OSError, SafetensorError, *ODD):
        return None


def _digest(tensors: dict[str, Tensor], facts: str) -> str:
    """sha256 (hex) of the facts and of all tensors: names, types, shapes and bytes."""
    found = hashlib.sha256(facts.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        if math.prod(tensor.shape):
            found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """The optimizer's state as flat tensors; `names` in the order of its parameters."""
    state: dict[int, dict[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"optimizer/{names[i]}/{part}": value for i, parts in state.items() for part, value in parts.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, names: list[str], tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for i, name in enumerate(names):
        prefix = f"optimizer/{name}/"
        parts = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        if parts:
            state[i] = parts
    whole = optimizer.state_dict()
    optimizer.load_state_dict({**whole, "state": state})
