"""Predictions of classifiers: log-odds of many texts, in batches of similar length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from outshine.core.errors import TrainingError
from outshine.training.gradient import Trainee, shared
from outshine.training.passes import passes


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
    num_members = len(trainee.members())
    log_odds = np.empty((num_members, len(tokens)), dtype=np.float64)
    most = max_rows and shared(max_rows, num_members)
    done = 0
    with torch.inference_mode():
        for rows, found in passes(trainee, tokens, pad_id, shared(token_budget, num_members), most):
            log_odds[:, rows] = found.cpu().double().numpy()
            done += len(rows)
            advance(done, len(tokens))
    return log_odds


def check_finite(log_odds: np.ndarray) -> None:
    """Raises TrainingError where one of a member's log-odds [n] is not finite."""
    broken = int(np.count_nonzero(~np.isfinite(log_odds)))
    if broken:
        raise TrainingError(
            f"the log-odds of {broken} of {len(log_odds)} texts are not finite: the weights have diverged; "
            "lower the learning rate or use compute_dtype: float32"
        )
