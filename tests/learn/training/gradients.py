"""The gradient of one update and what was predicted, of classifiers and cohorts of the tiny checkpoints."""

import numpy as np
import torch

from outshine.engine.runtime import Runtime
from outshine.learn.classifier import Cohort
from outshine.learn.load import load_backbone
from outshine.learn.loop import accumulate_gradient
from outshine.learn.losses import losses
from tiny_checkpoints import CPU, clear_gradients, gradients, spec_of, stir, token_rows

TOKENS = token_rows([9, 5, 12, 1, 7, 30])
Y = np.random.default_rng(0).random(len(TOKENS))


def gradient(model, runtime: Runtime) -> dict[str, torch.Tensor]:
    """Of every member's weights, and what each predicted."""
    members = model.members()
    clear_gradients(model)
    running = [losses.get("logconf")().start(torch.as_tensor(Y), 40) for _ in members]
    outcomes = accumulate_gradient(model, TOKENS, [Y] * len(members), running, 3, 0, runtime)
    found = {f"{i} {name}": part for i, member in enumerate(gradients(model)) for name, part in member.items()}
    return found | {f"{i} log-odds": outcome.log_odds for i, outcome in enumerate(outcomes)}


def cohort_of(folder, **settings) -> Cohort:
    spec = spec_of(folder, **settings)
    members = Cohort(load_backbone(spec, CPU), spec, [0, 1, 2])
    for seed in range(3):
        with members.alone(seed) as member:
            stir(member, seed)
    return members
