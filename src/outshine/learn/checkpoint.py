"""The state of a training run, and its checkpoint, from which it continues to the same bits."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from outshine.engine.checked_reading import ODD, parse_json
from outshine.engine.files import write_synced
from outshine.learn.losses import RunningLoss

FORMAT = 4  # of the checkpoint's contents
_TRIES = 5  # where locks do nothing, another may finish the stage and remove the folder meanwhile


class Update(NamedTuple):
    """One line of the training curve."""

    step: int  # optimizer updates made
    loss: float  # mean over the effective batch
    grad_norm: float  # before clipping
    learning_rate: float
    val_auroc: float  # NaN where not validated


class _Best:
    """The weights with the highest validation AUROC so far; of equals, the earliest."""

    def __init__(self, select: Literal["best", "last"]) -> None:
        self.select = select
        self.step = 0
        self.auroc = -math.inf
        self.weights: dict[str, Tensor] = {}

    def offer(self, update: Update, parameters: dict[str, torch.nn.Parameter]) -> None:
        if self.select == "best" and update.val_auroc > self.auroc:  # never for NaN
            self.step, self.auroc = update.step, update.val_auroc
            self.weights = {name: parameter.detach().clone() for name, parameter in parameters.items()}


class RunState:
    """Weights, optimizer, the loss's memory, the curve, and the weights that validated best so far."""

    def __init__(
        self,
        parameters: dict[str, torch.nn.Parameter],
        optimizer: torch.optim.Optimizer,
        loss: RunningLoss,
        select: Literal["best", "last"],
    ) -> None:
        self.parameters = parameters
        self.optimizer = optimizer
        self.loss = loss
        self.curve: list[Update] = []
        self.error = ""  # why the run could not go on; the weights are those before
        self._best = _Best(select)

    def record(self, update: Update) -> None:
        """Write down an update: a line of the curve, and perhaps the best weights so far."""
        self.curve.append(update)
        self._best.offer(update, self.parameters)

    def choose(self) -> int:
        """Put the chosen weights into the parameters (the last where validation chose none) and return their update."""
        _load(self.parameters, self._best.weights)
        return self._best.step if self._best.weights else len(self.curve)

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps of it in tensors."""
        tensors: dict[str, Tensor] = {f"weights/{name}": parameter for name, parameter in self.parameters.items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self._best.weights.items()}
        tensors |= {f"loss/{name}": tensor for name, tensor in self.loss.state().items()}
        return tensors | optimizer_tensors(self.optimizer, list(self.parameters))

    def facts(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it beside the tensors."""
        return {"curve": self.curve, "best_step": self._best.step, "best_auroc": self._best.auroc, "error": self.error}

    def fits(self, tensors: dict[str, Tensor]) -> bool:
        """Whether these are of a run of the same weights."""
        return {name: tensor.shape for name, tensor in _part(tensors, "weights/").items()} == {
            name: parameter.shape for name, parameter in self.parameters.items()
        }

    def load(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Go on from what `tensors` and `facts` gave."""
        _load(self.parameters, _part(tensors, "weights/"))
        self.curve = [Update(*row) for row in facts["curve"]]
        self.error = facts["error"]
        self._best.weights = _part(tensors, "best/")
        self._best.step, self._best.auroc = facts["best_step"], facts["best_auroc"]
        self.loss.load_state(_part(tensors, "loss/"))
        load_optimizer(self.optimizer, list(self.parameters), tensors)


def save(states: Sequence[RunState], step: int, path: Path) -> None:
    """Write the runs, all after the same number of updates, as one checkpoint."""
    tensors = {f"{i}/{name}": tensor for i, state in enumerate(states) for name, tensor in state.tensors().items()}
    facts = {"format": FORMAT, "step": step, "runs": [state.facts() for state in states]}
    write(path, Checkpoint(tensors, facts))


def restore(states: Sequence[RunState], path: Path, note: Callable[[str], object] = lambda message: None) -> int:
    """Go on from the checkpoint and return the updates made. One that is missing, damaged or of other runs is none: 0.

    `note` is told of a damaged one.
    """
    saved = read(path)
    if saved is None and path.exists():
        note("the checkpoint is damaged or of another version and is not used: training starts anew")
    if saved is None or saved.facts.get("format") != FORMAT or len(saved.facts["runs"]) != len(states):
        return 0
    parts = [_part(saved.tensors, f"{i}/") for i in range(len(states))]
    if not all(state.fits(tensors) for state, tensors in zip(states, parts, strict=True)):
        return 0
    for state, tensors, facts in zip(states, parts, saved.facts["runs"], strict=True):
        state.load(tensors, facts)
    return saved.facts["step"]


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _load(parameters: dict[str, torch.nn.Parameter], weights: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, weight in weights.items():
            parameters[name].copy_(weight)


class Checkpoint(NamedTuple):
    """Everything a run needs to go on: tensors by name, and plain facts (step, curve, best so far)."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint in one step, on the disk when this returns: a killed writer leaves the old one."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    facts = json.dumps(checkpoint.facts)
    content = to_safetensors(tensors, metadata={"facts": facts, "sha256": _digest(tensors, facts)})
    for left in reversed(range(_TRIES)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_synced(path, content)
            return
        except FileNotFoundError:
            if not left:
                raise


def read(path: Path) -> Checkpoint | None:
    """Return the checkpoint; None where there is none, or what lies there is not what was written."""
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
    """Return the sha256 (hex) of the facts and of all tensors: names, types, shapes and bytes."""
    digest = hashlib.sha256(facts.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        if math.prod(tensor.shape):
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """Return the optimizer's state as flat tensors; `names` in the order of its parameters."""
    state: dict[int, dict[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"optimizer/{names[i]}/{part}": value for i, parts in state.items() for part, value in parts.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, names: list[str], tensors: dict[str, Tensor]) -> None:
    """Load what `optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for i, name in enumerate(names):
        prefix = f"optimizer/{name}/"
        parts = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        if parts:
            state[i] = parts
    whole = optimizer.state_dict()
    optimizer.load_state_dict({**whole, "state": state})
