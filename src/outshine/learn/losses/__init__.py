"""Losses for students, one idea a file."""

from outshine.learn.losses.base import Loss, RunningLoss, cross_entropy, losses

__all__ = ["Loss", "RunningLoss", "cross_entropy", "losses"]
