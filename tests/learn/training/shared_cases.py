"""Runs that one process and two processes with one base between them must end alike; a program of its own for two."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from runs import rows, run, run_env, validation
from torch.distributed.tensor import DTensor

from outshine.engine.process_group import ONE_PROCESS, ProcessGroup, remember
from outshine.engine.runtime import Runtime
from outshine.learn import model_cache
from outshine.learn.activations import LayerReader
from outshine.learn.batches import collate, predict_together
from outshine.learn.loop import TrainJob, accumulate_gradient, finetune_together
from outshine.learn.losses import losses
from outshine.w2s.compute_study import together
from tiny_checkpoints import CPU, gradients, spec_of, stir

ROWS = 21  # batches of 8, the last of an epoch of 5: micro-batches that two processes cannot share evenly


class Case(NamedTuple):
    name: str
    kind: str
    dtype: str
    budget: int  # tokens of a micro-batch
    losses: tuple[str, ...]  # one: a classifier alone; more: a cohort
    tuning: str = "lora"


CASES = [
    Case("alone", "llama", "float32", 60, ("logconf",)),
    Case("rowwise", "llama", "float64", 1, ("xent",)),
    Case("head", "llama", "float64", 60, ("xent",), "head"),
    Case("cohort", "bert", "float32", 150, ("xent", "logconf", "entropy")),
    Case("cohort64", "gpt2", "float64", 150, ("xent", "logconf", "entropy")),
]


def jobs(case: Case) -> list[TrainJob]:
    """Labels and losses of their own on the same texts."""
    train = rows(ROWS)
    labels = [train.y, 1 - train.y[::-1], train.y**2]
    return [
        TrainJob(train._replace(y=labels[i].copy()), validation(), run(name, epochs=2))
        for i, name in enumerate(case.losses)
    ]


def compute(case: Case, checkpoint: Path, folder: Path, processes: ProcessGroup = ONE_PROCESS) -> dict[str, np.ndarray]:
    """Train, predict, and read activations on the same base afterwards."""
    memory: dict = {}
    remember(processes, memory)
    spec = spec_of(checkpoint, case.dtype, tuning=case.tuning)
    learners = jobs(case)
    where = run_env(folder, token_budget=case.budget, eval_token_budget=2 * case.budget, checkpoint_seconds=0)
    if len(learners) == 1:
        manager = model_cache.classifier(spec, 0, CPU, memory)
    else:
        manager = model_cache.cohort(spec, [0] * len(learners), CPU, memory)
    with manager as model:
        if len(learners) > 1:
            assert model.separates()
        results = finetune_together(model, learners, where)
        found = {f"curve {i}": np.array(result.curve) for i, result in enumerate(results)}
        for i, parameters in enumerate(model.members()):
            found |= {f"{i} {name}": parameter.detach().numpy() for name, parameter in parameters.items()}
        found["log-odds"] = predict_together(model, rows(ROWS).tokens, 0, Runtime(eval_token_budget=2 * case.budget))
        if len(learners) == 1:
            found |= gradient(stir(model), case)
    with model_cache.pretrained(spec, CPU, memory) as backbone:
        reader = LayerReader(backbone, spec.num_layers, [1, 2], spec.pooling)
        for layer, states in reader(*collate(rows(ROWS).tokens, range(5), 0, CPU)).items():
            found[f"layer {layer}"] = states.numpy()
        found["elements"] = np.array(list(map(held, backbone.parameters()))).sum(0)
    return found


def gradient(classifier: torch.nn.Module, case: Case) -> dict[str, np.ndarray]:
    """Of one batch, with weights that all matter, and what the losses were told."""
    batch = rows(7)
    loss = losses.parse(case.losses[0]).start(torch.as_tensor(batch.y), 10)
    runtime = run_env(Path(), token_budget=case.budget).runtime
    (outcome,) = accumulate_gradient(classifier, batch.tokens, [batch.y], [loss], 3, 0, runtime)
    found = {f"gradient {name}": part.numpy() for name, part in gradients(classifier)[0].items()}
    return {**found, "outcome": outcome.log_odds.numpy(), "loss": np.array(outcome.loss)}


def held(parameter: torch.nn.Parameter) -> tuple[int, int]:
    """Elements of a weight that this process holds, and all."""
    local = parameter.to_local() if isinstance(parameter, DTensor) else parameter
    return local.numel(), parameter.numel()


def main() -> None:
    """All cases in this process of two; checkpoints and results lie in the folder given."""
    root = Path(sys.argv[1])
    with together() as processes:
        assert processes.size == 2
        assert processes.broadcast({"said": ["by", processes.rank]}) == {"said": ["by", 0]}
        for case in CASES:
            found = compute(case, root / case.kind, root / case.name, processes)
            np.savez(root / f"{case.name}-{processes.rank}.npz", **found)


if __name__ == "__main__":
    main()
