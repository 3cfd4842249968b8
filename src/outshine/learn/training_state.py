"""The state of a training run, and its checkpoint, from which it continues to the same bits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from outshine.learn import checkpoint
from outshine.learn.losses import RunningLoss

FORMAT = 3  # of the checkpoint's contents


class Update(NamedTuple):
    """One line of the training curve."""

    step: int  # optimizer updates made
    loss: float  # mean over the effective batch
    grad_norm: float  # before clipping
    learning_rate: float
    val_auroc: float  # NaN where not validated


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
        """One update was made: a line of the curve, and perhaps the best weights so far."""
        self.curve.append(update)
        self._best.offer(update, self.parameters)

    def choose(self) -> int:
        """Put the chosen weights into the parameters (the last where validation chose none); their update."""
        _load(self.parameters, self._best.weights)
        return self._best.step if self._best.weights else len(self.curve)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps of it in tensors."""
        tensors: dict[str, Tensor] = {f"weights/{name}": parameter for name, parameter in self.parameters.items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self._best.weights.items()}
        tensors |= {f"loss/{name}": tensor for name, tensor in self.loss.state().items()}
        return tensors | checkpoint.optimizer_tensors(self.optimizer, list(self.parameters))

    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps of it beside the tensors."""
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
        checkpoint.load_optimizer(self.optimizer, list(self.parameters), tensors)


def save(states: Sequence[RunState], step: int, path: Path) -> None:
    """Write the runs, all after the same number of updates, as one checkpoint."""
    tensors = {f"{i}/{name}": tensor for i, state in enumerate(states) for name, tensor in state.tensors().items()}
    facts = {"format": FORMAT, "step": step, "runs": [state.facts() for state in states]}
    checkpoint.write(path, checkpoint.Checkpoint(tensors, facts))


def restore(states: Sequence[RunState], path: Path, note: Callable[[str], object] = lambda message: None) -> int:
    """Go on from the checkpoint; the updates made. One that is missing, damaged or of other runs is none: 0.

    `note` is told of a damaged one.
    """
    saved = checkpoint.read(path)
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


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _load(parameters: dict[str, torch.nn.Parameter], weights: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, weight in weights.items():
            parameters[name].copy_(weight)
