"""Metrics by which predictions are measured against the truth, one idea a file."""

from outshine.stats.metrics.base import Metric, metrics

__all__ = ["Metric", "metrics"]
