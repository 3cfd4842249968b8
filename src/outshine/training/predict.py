"""Predictions of classifiers: log-odds of many texts, in batches of similar length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from outshine.core.errors import TrainingError
from outshine.core.runtime import Runtime
from outshine.models.cohort import Trainee
from outshine.models.sharding import forward_only, team_of
from outshine.training.batching import evaluation_limits
from outshine.training.dealing import Turn, add_up
from outshine.training.lanes import lanes
from outshine.training.passes import LogOdds, passes


def predict(
    trainee: Trainee,
    tokens: Sequence[Sequence[int]],
    pad_id: int,
    runtime: Runtime,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Log-odds of P(y = 1) for each text, float64, shape [n]; of a cohort's first member.

    Raises TrainingError where one is not finite.
    """
    log_odds = predict_together(trainee, tokens, pad_id, runtime, advance)[0]
    check_finite(log_odds)
    return log_odds


def predict_together(
    trainee: Trainee,
    tokens: Sequence[Sequence[int]],
    pad_id: int,
    runtime: Runtime,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Log-odds of P(y = 1) that each member gives to each text, float64, shape [m, n]; they may not be finite.

    Batches are cut by the runtime's evaluation budget, which all members share.
    """
    num_members = len(trainee.members())
    log_odds = np.zeros((num_members, len(tokens)), dtype=np.float64)
    limits = evaluation_limits(runtime, trainee.device.type).shared(num_members)
    done, team = 0, team_of(trainee)
    at_once = lanes(runtime, trainee.head) if team.size == 1 else 1

    def judge(turn: Turn, run: LogOdds) -> tuple[Turn, np.ndarray]:
        with forward_only(team):
            return turn, run().cpu().double().numpy()

    for turn, found in passes(trainee, tokens, pad_id, limits, judge, at_once=at_once):
        if turn.counts:
            log_odds[:, turn.rows] = found
        done += sum(map(len, turn.dealt))
        advance(done, len(tokens))
    add_up(torch.from_numpy(log_odds), team)
    return log_odds


def check_finite(log_odds: np.ndarray) -> None:
    """Raises TrainingError where one of a member's log-odds [n] is not finite."""
    broken = int(np.count_nonzero(~np.isfinite(log_odds)))
    if broken:
        raise TrainingError(
            f"the log-odds of {broken} of {len(log_odds)} texts are not finite: the weights have diverged; "
            "lower the learning rate or use compute_dtype: float32"
        )
