"""Predictions of classifiers: log-odds of many texts, in batches of similar length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from outshine.core.errors import TrainingError
from outshine.models.sharding import forward_only, team_of
from outshine.training.batching import collate, micro_batches
from outshine.training.dealing import add_up, deal
from outshine.training.gradient import Trainee, shared


def predict(
    trainee: Trainee,
    tokens: Sequence[Sequence[int]],
    pad_id: int,
    token_budget: int,
    max_rows: int | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Log-odds of P(y = 1) for each text, float64, shape [n]; of a cohort's first member.

    Raises TrainingError where one is not finite.
    """
    log_odds = predict_together(trainee, tokens, pad_id, token_budget, max_rows, advance)[0]
    check_finite(log_odds)
    return log_odds


def predict_together(
    trainee: Trainee,
    tokens: Sequence[Sequence[int]],
    pad_id: int,
    token_budget: int,
    max_rows: int | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Log-odds of P(y = 1) that each member gives to each text, float64, shape [m, n]; they may not be finite."""
    lengths, num_members = [len(ids) for ids in tokens], len(trainee.members())
    log_odds = np.zeros((num_members, len(tokens)), dtype=np.float64)
    most = max_rows and shared(max_rows, num_members)
    done, team = 0, team_of(trainee)
    with forward_only(team):
        batches = micro_batches(lengths, range(len(tokens)), shared(token_budget, num_members), most)
        for rows, counts, dealt in deal(batches, team):
            ids, mask = collate(tokens, rows, pad_id, trainee.device)
            found = trainee.log_odds(ids, mask)
            if counts:
                log_odds[:, rows] = found.cpu().double().numpy()
            done += sum(map(len, dealt))
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
